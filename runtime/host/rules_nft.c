/* SPDX-License-Identifier: Apache-2.0 */
/* The nftables form of a rule set: one table, replaced as a whole in one transaction. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/host/rules_private.h"

static bool run_nft_script(const char *script, struct failure *failure)
{
    static const char *const nft[] = {"nft", "-f", "-", NULL};
    struct run_result result;
    bool success = rules_run(nft, script, &result);

    if (!success)
        run_complaint(&result, "nft", failure);
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

bool nft_apply(const struct rules_set *set, const struct rules_values *values,
               struct failure *failure)
{
    char *script = rules_render(set->nft, values, failure);
    bool success = script != NULL && run_nft_script(script, failure);

    free(script);
    return success;
}

bool nft_remove(const struct rules_set *set, struct failure *failure)
{
    struct text script = {0};
    bool success;

    /* Made first if it is absent, so that its absence is no error: one transaction, never seen. */
    text_printf(&script, "table %s\ndelete table %s\n", set->nft_table, set->nft_table);
    success = run_nft_script(script.bytes, failure);
    text_free(&script);
    return success;
}

int nft_print(const struct rules_set *set, const struct rules_values *values)
{
    struct failure failure;
    char *script = rules_render(set->nft, values, &failure);

    if (script == NULL) {
        fprintf(stderr, "%s\n", failure.text);
        return -1;
    }
    printf("nft -f - <<'EOF'\n%sEOF\n", script);
    free(script);
    return 0;
}
