/* SPDX-License-Identifier: Apache-2.0 */
/* The nftables form of a rule set: one table, replaced as a whole in one transaction. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/host/rules_private.h"

static bool run_nft_script(const char *script, char *error, size_t error_size)
{
    static const char *const nft[] = {"nft", "-f", "-", NULL};
    struct run_result result;
    bool success = rules_run(nft, script, &result);

    if (!success)
        run_complaint(&result, "nft", error, error_size);
    run_result_free(&result);
    return success;
}

bool nft_usable(void)
{
    static const char *const list[] = {"nft", "list", "tables", NULL};
    struct run_result result;
    bool success = run_found("nft") && rules_run(list, NULL, &result);

    if (run_found("nft"))
        run_result_free(&result);
    return success;
}

int nft_apply(const struct rules_set *set, const struct rules_values *values, char *error,
              size_t error_size)
{
    char *script = rules_render(set->nft, values, error, error_size);
    bool success = script != NULL && run_nft_script(script, error, error_size);

    free(script);
    return success ? 0 : -1;
}

int nft_remove(const struct rules_set *set, char *error, size_t error_size)
{
    struct text script = {0};
    bool success;

    /* Made first if it is absent, so that its absence is no error: one transaction, never seen. */
    text_printf(&script, "table %s\ndelete table %s\n", set->nft_table, set->nft_table);
    success = run_nft_script(script.bytes, error, error_size);
    text_free(&script);
    return success ? 0 : -1;
}

int nft_print(const struct rules_set *set, const struct rules_values *values)
{
    char error[256];
    char *script = rules_render(set->nft, values, error, sizeof(error));

    if (script == NULL) {
        fprintf(stderr, "%s\n", error);
        return -1;
    }
    printf("nft -f - <<'EOF'\n%sEOF\n", script);
    free(script);
    return 0;
}
