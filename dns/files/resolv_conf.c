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

bool resolv_conf_edit(const char *original, const void *context, FILE *out, struct failure *failure)
{
    char address[ADDR_TEXT_BYTES];

    (void)failure;
    fprintf(out, "# Written by causeway-dns, which puts the original back when it stops.\n");
    fprintf(out, "nameserver %s\n", addr_format(context, address));
    for (const char *line = original; line != NULL && *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (is_kept(line, length))
            fprintf(out, "%.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    return true;
}
