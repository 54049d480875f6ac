/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/control_request.h"

bool control_split(char *line, size_t length, struct control_words *out)
{
    bool inside = false;

    out->count = 0;
    for (size_t i = 0; i < length; i++) {
        if (line[i] == ' ') {
            line[i] = '\0';
            inside = false;
            continue;
        }
        if (line[i] < ' ' || line[i] > '~')
            return false;
        if (inside)
            continue;
        if (out->count == CONTROL_WORDS_MAX)
            return false;
        out->word[out->count++] = line + i;
        inside = true;
    }
    line[length] = '\0';
    return out->count > 0;
}
