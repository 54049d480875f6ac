/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the enclave's helper is told to write down as the parent's resolvers. Input: the text. The
 * file then has whole lines with addresses that packets may go to, no more than a CONFIG can offer;
 * or it is as it was, and nothing lies beside it.
 */
#include <string.h>
#include <unistd.h>

#include "enclave/resolvers.h"
#include "packet/policy.h"
#include "tests/fuzz/fuzz.h"

static char folder[] = "/tmp/causeway-fuzz-XXXXXX";
static char path[sizeof(folder) + 16], fresh[sizeof(folder) + 20];

static void end(void)
{
    unlink(path);
    rmdir(folder);
}

static void begin(void)
{
    if (path[0] != '\0')
        return;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/resolv.conf", folder);
    snprintf(fresh, sizeof(fresh), "%s/resolv.conf.new", folder);
    atexit(end);
}

static void check_file(void)
{
    FILE *file = fopen(path, "r");
    char line[256];
    unsigned count = 0;

    CHECK(file != NULL && fgets(line, sizeof(line), file) != NULL && line[0] == '#');
    while (fgets(line, sizeof(line), file) != NULL) {
        struct ip_addr address;
        size_t length = strlen(line);
        CHECK(length > 0 && line[length - 1] == '\n' && strncmp(line, "nameserver ", 11) == 0);
        line[length - 1] = '\0';
        CHECK(addr_parse(line + 11, &address) && policy_is_ordinary(&address));
        count++;
    }
    CHECK(count <= WIRE_MAX_DNS);
    fclose(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct failure failure = {""};
    char *text = malloc(size + 1);

    begin();
    memcpy(text, data, size);
    text[size] = '\0';
    unlink(path);
    if (resolvers_serve(path, text, &failure)) {
        check_file();
    } else {
        CHECK(failure.text[0] != '\0');
        CHECK(access(path, F_OK) != 0);
    }
    CHECK(access(fresh, F_OK) != 0);
    free(text);
    return 0;
}
