/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. Open addressing with linear probing, at most half full: only clients with a
 * waiting question have an entry, and of those there are no more than questions. A client that has
 * none left is taken out by moving later entries of its cluster back, so no tombstones gather. The
 * hash is keyed: a stranger cannot choose addresses that meet in one cluster.
 */
#include "dns/resolve/client_limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "packet/siphash.h"

struct entry {
    struct ip_addr who;
    unsigned waiting; /* 0: free */
};

struct client_limits {
    uint8_t key[SIPHASH_KEY_BYTES];
    unsigned per_client;
    size_t mask; /* number of entries, a power of two, less one */
    struct entry entries[];
};

struct client_limits *client_limits_create(unsigned questions, unsigned per_client)
{
    size_t count = 16;

    while (count < 2 * (size_t)questions)
        count *= 2;
    struct client_limits *limits = calloc(1, sizeof(*limits) + count * sizeof(struct entry));
    if (limits == NULL)
        return NULL;
    limits->mask = count - 1;
    limits->per_client = per_client;
    if (getrandom(limits->key, sizeof(limits->key), 0) != sizeof(limits->key)) {
        free(limits);
        return NULL;
    }
    return limits;
}

void client_limits_free(struct client_limits *limits)
{
    free(limits);
}

static size_t home_of(const struct client_limits *limits, const struct ip_addr *who)
{
    return (size_t)siphash13(limits->key, who, sizeof(*who)) & limits->mask;
}

static bool same(const struct ip_addr *a, const struct ip_addr *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}
static_assert(sizeof(struct ip_addr) == 17, "no padding: entries are hashed and compared whole");

static size_t find(const struct client_limits *limits, const struct ip_addr *who)
{
    size_t at = home_of(limits, who);

    while (limits->entries[at].waiting > 0 && !same(&limits->entries[at].who, who))
        at = (at + 1) & limits->mask;
    return at;
}

bool client_limits_enter(struct client_limits *limits, const struct ip_addr *who)
{
    struct entry *entry = &limits->entries[find(limits, who)];

    if (entry->waiting >= limits->per_client)
        return false;
    entry->who = *who;
    entry->waiting++;
    return true;
}

/* Fills the gap with the next entry that may stand there, whose place is the next gap. */
static void close_gap(struct client_limits *limits, size_t gap)
{
    for (size_t at = (gap + 1) & limits->mask; limits->entries[at].waiting > 0;
         at = (at + 1) & limits->mask) {
        size_t home = home_of(limits, &limits->entries[at].who);
        if (((at - home) & limits->mask) < ((at - gap) & limits->mask))
            continue; /* its home lies behind the gap */
        limits->entries[gap] = limits->entries[at];
        limits->entries[at].waiting = 0;
        gap = at;
    }
}

void client_limits_leave(struct client_limits *limits, const struct ip_addr *who)
{
    size_t at = find(limits, who);

    if (limits->entries[at].waiting > 0 && --limits->entries[at].waiting == 0)
        close_gap(limits, at);
}
