/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosts file. Input: the file. Names of it, and of the corpus, are asked for; each answer is
 * one that a resolver would take.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dns/message/message.h"
#include "dns/resolve/local.h"
#include "runtime/base/log.h"
#include "tests/fuzz/fuzz.h"

static void ask(const struct dns_local *local, const struct dns_name *name, uint16_t type,
                size_t limit)
{
    static uint8_t out[DNS_MESSAGE_BYTES];
    struct dns_query query = {.id = 9, .udp_size = 512};
    struct dns_answer answer;

    query.question = (struct dns_question){.name = *name, .type = type, .class = DNS_CLASS_IN};
    size_t length = dns_local_answer(local, &query, limit, out);
    CHECK(length <= limit);
    if (length > 0)
        CHECK(dns_answer_parse(out, length, 9, &query.question, &answer) == DNS_ANSWER_OK);
}

static void ask_all(const struct dns_local *local, const struct dns_name *name)
{
    static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_PTR, DNS_TYPE_ANY};

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        ask(local, name, types[i], DNS_MESSAGE_BYTES);
        ask(local, name, types[i], 512);
    }
}

static void ask_words(const struct dns_local *local, char *text)
{
    char *rest = NULL;
    unsigned asked = 0;
    struct dns_name name;

    for (char *word = strtok_r(text, " \t\r\n#", &rest); word != NULL && asked < 32;
         word = strtok_r(NULL, " \t\r\n#", &rest))
        if (dns_name_from_text(word, &name)) {
            ask_all(local, &name);
            asked++;
        }
    CHECK(dns_name_from_text("1.2.0.192.in-addr.arpa", &name));
    ask_all(local, &name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[40];
    int fd = memfd_create("hosts", MFD_CLOEXEC);
    char *text = malloc(size + 1);

    log_set_level(LOG_LEVEL_ERROR);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    memcpy(text, data, size);
    text[size] = '\0';
    struct dns_local *local = dns_local_create(path);
    CHECK(local != NULL);
    ask_words(local, text);
    dns_local_free(local);
    close(fd);
    free(text);
    return 0;
}
