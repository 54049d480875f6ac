/* SPDX-License-Identifier: Apache-2.0 */
/* A line of the control protocol. What is accepted, joined by single spaces, gives the same words.
 */
#include <string.h>

#include "runtime/base/control_request.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_words first, second;
    char *line = malloc(size + 1), *joined = malloc(size + 2);
    size_t length = 0;

    memcpy(line, data, size);
    if (control_split(line, size, &first)) {
        CHECK(first.count >= 1 && first.count <= CONTROL_WORDS_MAX);
        for (unsigned i = 0; i < first.count; i++) {
            size_t bytes = strlen(first.word[i]);
            CHECK(first.word[i] >= line && first.word[i] + bytes <= line + size);
            CHECK(bytes > 0 && strpbrk(first.word[i], " \n") == NULL);
            memcpy(joined + length, first.word[i], bytes);
            length += bytes;
            joined[length++] = ' ';
        }
        CHECK(control_split(joined, length - 1, &second) && second.count == first.count);
        for (unsigned i = 0; i < first.count; i++)
            CHECK(strcmp(first.word[i], second.word[i]) == 0);
    }
    free(line);
    free(joined);
    return 0;
}
