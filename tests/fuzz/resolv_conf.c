/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolv.conf, read and written anew. Input: the file. What is read are at most UPSTREAMS_MAX
 * servers, none of them our own; what we write in its place names our server alone.
 */
#include <string.h>

#include "dns/files/follow.h"
#include "dns/files/takeover.h"
#include "tests/fuzz/fuzz.h"

static void check_edit(const char *text, const struct ip_addr *server)
{
    struct upstream_spec specs[UPSTREAMS_MAX];
    struct failure failure = {""};
    char *ours = NULL;
    size_t length;
    FILE *out = open_memstream(&ours, &length);

    CHECK(out != NULL && resolv_conf_edit(text, server, out, &failure));
    fclose(out);
    CHECK(length == strlen(ours) && ours[length - 1] == '\n');
    CHECK(strstr(ours, " trust-ad\n") == NULL);
    CHECK(follow_parse(ours, NULL, 0, specs) == 1);
    CHECK(addr_equal(&specs[0].address, server) && specs[0].port == 53);
    free(ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct upstream_spec specs[UPSTREAMS_MAX];
    struct ip_addr own[2];
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    CHECK(addr_parse("192.0.2.53", &own[0]) && addr_parse("::", &own[1]));
    unsigned count = follow_parse(text, own, 2, specs);
    CHECK(count <= UPSTREAMS_MAX);
    for (unsigned i = 0; i < count; i++) {
        CHECK(specs[i].kind == UPSTREAM_TCP && addr_bits(&specs[i].address) != 0);
        CHECK(!addr_equal(&specs[i].address, &own[0]));
    }
    check_edit(text, &own[0]);
    free(text);
    return 0;
}
