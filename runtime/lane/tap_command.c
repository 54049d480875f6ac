/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/tap_command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/options.h"

#define HEX_PER_STEP 16 /* code 4, jt 2, jf 2, k 8 digits */

static bool parse_hex(const char *text, unsigned digits, uint32_t *out)
{
    *out = 0;
    for (unsigned i = 0; i < digits; i++) {
        static const char hex[] = "0123456789abcdef";
        const char *digit = text[i] != '\0' ? strchr(hex, text[i]) : NULL;
        if (digit == NULL)
            return false;
        *out = *out << 4 | (uint32_t)(digit - hex);
    }
    return true;
}

static bool parse_filter(const char *text, struct tap_wish *wish)
{
    size_t length = strlen(text);

    if (length == 0 || length % HEX_PER_STEP != 0 || length / HEX_PER_STEP > BPF_PROGRAM_MAX)
        return false;
    wish->filter_count = (unsigned)(length / HEX_PER_STEP);
    for (unsigned i = 0; i < wish->filter_count; i++, text += HEX_PER_STEP) {
        uint32_t code, jt, jf, k;
        if (!parse_hex(text, 4, &code) || !parse_hex(text + 4, 2, &jt) ||
            !parse_hex(text + 6, 2, &jf) || !parse_hex(text + 8, 8, &k))
            return false;
        wish->filter[i] = (struct sock_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
    }
    return bpf_check(wish->filter, wish->filter_count);
}

static bool parse_which(const char *text, struct tap_wish *wish)
{
    static const struct {
        const char *name;
        uint8_t directions;
        bool only_dropped;
    } kinds[] = {
        {"all", 1 << TAP_TO_LINK | 1 << TAP_FROM_LINK, false},
        {"out", 1 << TAP_TO_LINK, false},
        {"in", 1 << TAP_FROM_LINK, false},
        {"dropped", 1 << TAP_TO_LINK | 1 << TAP_FROM_LINK, true},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(text, kinds[i].name) == 0) {
            wish->directions = kinds[i].directions;
            wish->only_dropped = kinds[i].only_dropped;
            return true;
        }
    }
    return false;
}

static bool parse_word(const char *word, struct tap_wish *wish)
{
    unsigned long snap;

    if (strncmp(word, "filter=", 7) == 0)
        return parse_filter(word + 7, wish);
    if (strncmp(word, "which=", 6) == 0)
        return parse_which(word + 6, wish);
    if (strncmp(word, "enclave=", 8) == 0)
        return (size_t)snprintf(wish->enclave, sizeof(wish->enclave), "%s", word + 8) <
               sizeof(wish->enclave);
    if (strncmp(word, "snap=", 5) != 0 || !option_number(word + 5, 1, PACKET_MAX_BYTES, &snap))
        return false;
    wish->snap = (uint32_t)snap;
    return true;
}

bool tap_parse_wish(unsigned count, const char *const *words, struct tap_wish *out,
                    struct failure *failure)
{
    *out = (struct tap_wish){.snap = PACKET_MAX_BYTES};
    parse_which("all", out);
    for (unsigned i = 0; i < count; i++) {
        if (!parse_word(words[i], out))
            return failure_set(failure, "capture: '%.60s' is not acceptable", words[i]);
    }
    return true;
}

bool tap_command(struct tap_table *table, const struct control_request *request, struct json *reply,
                 struct failure *failure)
{
    static struct tap_wish wish; /* too large for a stack; one thread */
    int fd;

    if (!tap_parse_wish(request->words->count - 1, request->words->word + 1, &wish, failure))
        return false;
    struct tap *tap = tap_begin(table, &wish, &fd, failure);
    if (tap == NULL)
        return false;
    if (!control_hold(request, fd, tap_end, tap)) {
        close(fd);
        tap_end(tap);
        return failure_set(failure, "capture: one runs on this connection already");
    }
    json_number(reply, "rings", TAP_RINGS_MAX);
    json_number(reply, "ring_bytes", TAP_RING_BYTES);
    json_number(reply, "lanes", tap->ring_count);
    json_number(reply, "lanes_left_out", tap->left_out);
    return true;
}
