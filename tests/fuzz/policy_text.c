/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parent's helper is told to open and publish. Input: the text, as a daemon in strange
 * hands may write it. What is accepted is printed, taken again and printed again: both prints are
 * the same. What is not accepted leaves everything as it was.
 */
#include <string.h>

#include "parent/policy.h"
#include "tests/fuzz/fuzz.h"

static struct parent_config config, before, again;

static char *print(const struct parent_config *from)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    CHECK(out != NULL);
    parent_policy_print(from, out);
    fclose(out);
    return text;
}

static void begin(void)
{
    static char *arguments[] = {"causeway-parent",        "--enclave",
                                "vsock:16:5005,name=web", "--enclave",
                                "vsock:17:5005,name=db",  NULL};
    struct failure failure = {""};

    if (before.enclave_count != 0)
        return;
    if (parent_config_read(&before, 5, arguments, NULL, &failure) != OPTIONS_OK) {
        fprintf(stderr, "%s\n", failure.text);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct failure failure = {""};
    char *text = malloc(size + 1);

    begin();
    memcpy(text, data, size);
    text[size] = '\0';
    config = again = before;
    if (parent_policy_take(&config, text, &failure)) {
        CHECK(config.publish_count <= PARENT_PUBLISH_MAX);
        CHECK(config.allow.count <= PREFIX_TABLE_MAX);
        CHECK(config.connected.count <= PREFIX_TABLE_MAX);
        char *once = print(&config), *copy = strdup(once);
        CHECK(parent_policy_take(&again, copy, &failure));
        char *twice = print(&again);
        CHECK(strcmp(once, twice) == 0);
        free(once);
        free(copy);
        free(twice);
    } else {
        CHECK(failure.text[0] != '\0');
        CHECK(memcmp(&config, &before, sizeof(config)) == 0);
    }
    free(text);
    return 0;
}
