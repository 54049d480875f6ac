/* SPDX-License-Identifier: Apache-2.0 */
/* Choice of the backend. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/log.h"
#include "runtime/host/rules_private.h"

static const struct {
    const char *name;
    enum rules_backend backend;
} names[] = {
    {"iptables", RULES_IPTABLES}, {"iptables-legacy", RULES_IPTABLES_LEGACY},
    {"nft", RULES_NFT},           {"none", RULES_NONE},
    {"auto", RULES_AUTO},
};

/* What RULES_AUTO tries, in this order: iptables first, because an accept of ours, ahead of the
 * host's own rules in the same chain, also passes a host's FORWARD policy of DROP. */
static const enum rules_backend candidates[] = {RULES_IPTABLES, RULES_IPTABLES_LEGACY, RULES_NFT};
#define CANDIDATES (sizeof(candidates) / sizeof(candidates[0]))

bool rules_backend_parse(const char *text, enum rules_backend *out)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i].name) == 0) {
            *out = names[i].backend;
            return true;
        }
    }
    return false;
}

const char *rules_backend_name(enum rules_backend backend)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].backend == backend)
            return names[i].name;
    }
    return "unknown";
}

bool rules_backend_usable(enum rules_backend backend)
{
    switch (backend) {
    case RULES_IPTABLES:
    case RULES_IPTABLES_LEGACY:
        return iptables_usable(backend);
    case RULES_NFT:
        return nft_usable();
    case RULES_NONE:
        return true;
    case RULES_AUTO:
        break;
    }
    for (size_t i = 0; i < CANDIDATES; i++) {
        if (rules_backend_usable(candidates[i]))
            return true;
    }
    return false;
}

bool rules_family_usable(enum rules_backend backend, int version)
{
    switch (backend) {
    case RULES_IPTABLES:
    case RULES_IPTABLES_LEGACY:
        return iptables_family_usable(backend, version);
    case RULES_NFT:
        return nft_usable(); /* its inet tables hold both families */
    case RULES_NONE:
        return true;
    case RULES_AUTO:
        break;
    }
    for (size_t i = 0; i < CANDIDATES; i++) {
        if (rules_backend_usable(candidates[i]))
            return rules_family_usable(candidates[i], version);
    }
    return false;
}

static bool has_form(const struct rules_set *set, enum rules_backend backend)
{
    if (backend == RULES_NFT)
        return set->nft != NULL;
    return set->hooks != NULL && (set->ipv4 != NULL || set->ipv6 != NULL);
}

static bool remove_one(const struct rules_set *set, enum rules_backend backend,
                       struct failure *failure)
{
    if (!has_form(set, backend) || !rules_backend_usable(backend))
        return true;
    return backend == RULES_NFT ? nft_remove(set, failure) : iptables_remove(set, backend, failure);
}

/* Do both backends write to the same tables of the kernel? */
static bool same_tables(enum rules_backend a, enum rules_backend b)
{
    if (a == b)
        return true;
    if (a == RULES_NFT || b == RULES_NFT)
        return false;
    return iptables_is_legacy(a) == iptables_is_legacy(b);
}

static bool apply_one(const struct rules_set *set, enum rules_backend backend,
                      const struct rules_values *values, struct failure *failure)
{
    struct failure ignored;

    if (!has_form(set, backend))
        return failure_set(failure, "the %s rules have no %s form", set->name,
                           rules_backend_name(backend));
    bool applied = backend == RULES_NFT ? nft_apply(set, values, failure)
                                        : iptables_apply(set, backend, values, failure);
    if (!applied) {
        (void)remove_one(set, backend, &ignored);
        return false;
    }
    for (size_t i = 0; i < CANDIDATES; i++) {
        if (!same_tables(candidates[i], backend) && !remove_one(set, candidates[i], &ignored))
            log_warning("%s rules of an earlier run stay behind: %s", set->name, ignored.text);
    }
    return true;
}

bool rules_apply(const struct rules_set *set, enum rules_backend backend,
                 const struct rules_values *values, enum rules_backend *used,
                 struct failure *failure)
{
    bool tried = false;

    *used = backend;
    if (backend == RULES_NONE)
        return true;
    if (backend != RULES_AUTO)
        return apply_one(set, backend, values, failure);
    failure_set(failure, "none of iptables, iptables-legacy and nft works here");
    for (size_t i = 0; i < CANDIDATES; i++) {
        struct failure reason;

        *used = candidates[i];
        if (!has_form(set, candidates[i]) || !rules_backend_usable(candidates[i]))
            continue;
        if (apply_one(set, candidates[i], values, &reason))
            return true;
        failure_set(failure, "%s%s%s", tried ? failure->text : "", tried ? "; " : "", reason.text);
        tried = true;
    }
    return false;
}

bool rules_remove(const struct rules_set *set, enum rules_backend backend, struct failure *failure)
{
    bool removed = true;

    if (backend == RULES_NONE)
        return true;
    if (backend != RULES_AUTO)
        return remove_one(set, backend, failure);
    for (size_t i = 0; i < CANDIDATES; i++) {
        if (!remove_one(set, candidates[i], failure))
            removed = false;
    }
    return removed;
}

int rules_print(const struct rules_set *set, enum rules_backend backend,
                const struct rules_values *values)
{
    for (size_t i = 0; i < CANDIDATES && backend == RULES_AUTO; i++) {
        if (has_form(set, candidates[i]) && rules_backend_usable(candidates[i]))
            backend = candidates[i];
    }
    if (backend == RULES_NONE)
        return 0;
    if (backend == RULES_AUTO)
        backend = set->hooks != NULL ? RULES_IPTABLES : RULES_NFT;
    if (!has_form(set, backend)) {
        fprintf(stderr, "the %s rules have no %s form\n", set->name, rules_backend_name(backend));
        return -1;
    }
    return backend == RULES_NFT ? nft_print(set, values) : iptables_print(set, backend, values);
}
