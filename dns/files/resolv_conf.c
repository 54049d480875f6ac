/* SPDX-License-Identifier: Apache-2.0 */
/* Our resolv.conf: one name server, and everything else that the original says. */
#include <ctype.h>
#include <string.h>

#include "dns/files/takeover.h"
#include "packet/addr.h"

static bool is_kept(const char *line, size_t length)
{
    static const char *const words[] = {"search", "domain", "options", "sortlist"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t word = strlen(words[i]);
        if (length > word && memcmp(line, words[i], word) == 0 &&
            isblank((unsigned char)line[word]))
            return true;
    }
    return false;
}

/* Without "trust-ad": it was said of another server than the one that now stands there. */
static void put_line(const char *line, size_t length, FILE *out)
{
    static const char word[] = "trust-ad";
    size_t size = sizeof(word) - 1;

    for (size_t at = 0; at < length; at++) {
        bool starts = at > 0 && isblank((unsigned char)line[at - 1]) && length - at >= size &&
                      memcmp(line + at, word, size) == 0;
        if (starts && (length - at == size || isspace((unsigned char)line[at + size])))
            at += size - 1;
        else
            fputc(line[at], out);
    }
    fputc('\n', out);
}

bool resolv_conf_edit(const char *original, const void *context, FILE *out, struct failure *failure)
{
    char address[ADDR_TEXT_BYTES];

    (void)failure;
    fprintf(out, "# Written by causeway-dns, which puts the original back when it stops.\n");
    fprintf(out, "nameserver %s\n", addr_format(context, address));
    for (const char *line = original; line != NULL && *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (is_kept(line, length))
            put_line(line, length, out);
        line += length + (line[length] == '\n');
    }
    return true;
}
