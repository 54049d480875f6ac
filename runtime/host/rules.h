/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firewall rule sets: rendered from the templates of iptables/, applied and removed by the host's
 * own tools (nft, iptables-restore and the legacy forms), each set in tables or chains of its own.
 *
 * Templates are compiled into the program, so that an enclave image needs no data files. Template
 * language: `${name}` is replaced by the value of name; a line `%for NAME` … `%end` is repeated for
 * every group of values added under NAME (inner names of the group win over the outer ones); `%if
 * NAME` … `%else` … `%end` keeps its first lines when NAME has a non-empty value, the others when
 * it is empty; `%else` may be missing. Nothing else. A name or list that is not known is an error,
 * in a place that is rendered at all: it would be a rule set with a hole. What may be empty is
 * therefore set to "" or declared with rules_list(). The names each set takes: docs/rules.md.
 */
#ifndef CAUSEWAY_RUNTIME_HOST_RULES_H
#define CAUSEWAY_RUNTIME_HOST_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/failure.h"
#include "packet/addr.h"

/* Values for a template. Names are short, values are made by us: checked to hold no newline. */
struct rules_values;
struct rules_values *
rules_values_new(void); /* never NULL: dies when out of memory (start-up only) */
void rules_values_free(struct rules_values *values);
void rules_set(struct rules_values *values, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Declares a list, which stays empty unless groups are added to it. */
void rules_list(struct rules_values *values, const char *list);
/* Begins a group in list; the following rules_group_set() calls fill it. */
void rules_group(struct rules_values *values, const char *list);
void rules_group_set(struct rules_values *values, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * One published port or range, as a group of list "publish4" or "publish6", after the family of to.
 * The range [first, last] of any local address, or of listen if its version is not 0, is mapped one
 * to one to the range of the same size at to_first. What listens on loopback is for this host
 * alone.
 */
struct rules_publish {
    const char *protocol; /* "tcp" or "udp" */
    struct ip_addr listen;
    uint16_t first, last;
    struct ip_addr to;
    uint16_t to_first;
};
void rules_publish(struct rules_values *values, const struct rules_publish *publish);

/* Renders; the text is the caller's to free. NULL and a message in error[] for a bad template or
 * unknown name. */
char *rules_render(const char *template_text, const struct rules_values *values,
                   struct failure *failure);

enum rules_backend { RULES_IPTABLES, RULES_IPTABLES_LEGACY, RULES_NFT, RULES_NONE, RULES_AUTO };
bool rules_backend_parse(const char *text, enum rules_backend *out);
const char *rules_backend_name(enum rules_backend backend);

/* Can this backend be used here at all (program found, kernel answers)? Changes nothing.
 * RULES_NONE always; RULES_AUTO if any other. */
bool rules_backend_usable(enum rules_backend backend);

/*
 * One rule set in its forms. Templates for RULES_IPTABLES and RULES_IPTABLES_LEGACY are
 * iptables-restore texts (`--noflush`), one per family, that declare each chain of ours (":NAME -",
 * which empties it). `hooks` lists the jumps from built-in chains, one a line, by table: "raw
 * PREROUTING -i ${device} -j CAUSEWAY-CAPTURE", the jump last; behind the word "last" the jump
 * stands at the end of its chain instead of the top. Chain names are constant text: they are read
 * from the template when the set is removed. NULL: the set has no such form.
 */
struct rules_set {
    const char *name;      /* for messages */
    const char *nft;       /* `nft -f` text; begins by emptying its own table */
    const char *nft_table; /* "inet causeway": removed to remove the set */
    const char *ipv4, *ipv6;
    const char *hooks;
};

/*
 * Applies the set atomically as far as the tool allows, replacing an earlier one of ours; hooks are
 * placed first in their chains and never twice. What an earlier run put into another backend is
 * removed. RULES_AUTO tries iptables, iptables-legacy, nft and stores the one that worked in *used.
 * False (the failure has the tool's own words): nothing of ours is left in that backend.
 *
 * A family without an iptables of its own is left out with a warning if the other one works: a
 * caller that forwards a family asks rules_family_usable() first.
 */
bool rules_family_usable(enum rules_backend backend, int version); /* 4 or 6 */
bool rules_apply(const struct rules_set *set, enum rules_backend backend,
                 const struct rules_values *values, enum rules_backend *used,
                 struct failure *failure);

/* Removes exactly what rules_apply() makes, from every usable backend if RULES_AUTO; what is absent
 * is success. */
bool rules_remove(const struct rules_set *set, enum rules_backend backend, struct failure *failure);

/* Prints what rules_apply() would feed to which program, on standard output. */
int rules_print(const struct rules_set *set, enum rules_backend backend,
                const struct rules_values *values);

#endif
