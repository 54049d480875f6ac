/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/attempt.h"

#include <stdlib.h>

#include "dns/upstream/pipeline.h"

#define ID_COUNT 65536

bool attempts_init(struct attempts *attempts, struct upstream *upstream, unsigned count,
                   struct random_pool *random)
{
    list_init(&attempts->free);
    list_init(&attempts->orphans);
    attempts->random = random;
    attempts->upstream = upstream;
    attempts->count = count;
    attempts->untouched = 0;
    attempts->all = calloc(count, sizeof(*attempts->all));
    attempts->by_id = calloc(ID_COUNT, sizeof(*attempts->by_id));
    return attempts->all != NULL && attempts->by_id != NULL;
}

void attempts_free(struct attempts *attempts)
{
    free(attempts->all);
    free(attempts->by_id);
}

static void touch_next(struct attempts *attempts)
{
    struct attempt *attempt = &attempts->all[attempts->untouched++];

    attempt->upstream = attempts->upstream;
    list_init(&attempt->orphan_node);
    list_append(&attempts->free, &attempt->node);
}

struct attempt *attempts_take(struct attempts *attempts)
{
    if (list_empty(&attempts->free) && attempts->untouched < attempts->count)
        touch_next(attempts);
    if (list_empty(&attempts->free) && !list_empty(&attempts->orphans))
        attempts_release(attempts, LIST_ENTRY(attempts->orphans.next, struct attempt, orphan_node));
    if (list_empty(&attempts->free))
        return NULL;
    struct attempt *attempt = LIST_ENTRY(attempts->free.next, struct attempt, node);
    list_remove(&attempt->node);
    attempt->state = ATTEMPT_WAITING;
    attempt->resends = 0;
    attempt->is_hedge = attempt->is_probe = attempt->is_again = false;
    attempt->question = NULL;
    attempt->place = NULL;
    attempt->query = NULL;
    return attempt;
}

/* The question has the twin instead, or nothing. */
static void leave_place(struct attempt *attempt)
{
    if (attempt->place != NULL && *attempt->place == attempt)
        *attempt->place = attempt->twin;
    attempt->place = NULL;
}

void attempts_release(struct attempts *attempts, struct attempt *attempt)
{
    if (attempt->state == ATTEMPT_OPEN)
        pipeline_remove(attempt);
    attempts_drop_id(attempts, attempt);
    leave_place(attempt);
    attempts_part(attempt);
    attempt->question = NULL;
    attempt->query = NULL;
    attempt->state = ATTEMPT_FREE;
    list_remove(&attempt->orphan_node);
    list_remove(&attempt->node);
    list_insert(&attempts->free, &attempt->node);
}

void attempts_give_id(struct attempts *attempts, struct attempt *attempt)
{
    do
        attempt->id = random_pool_16(attempts->random);
    while (attempts->by_id[attempt->id] != 0);
    attempts->by_id[attempt->id] = (uint16_t)(attempt - attempts->all + 1);
}

void attempts_drop_id(struct attempts *attempts, struct attempt *attempt)
{
    if (attempts_by_id(attempts, attempt->id) == attempt)
        attempts->by_id[attempt->id] = 0;
}

struct attempt *attempts_by_id(const struct attempts *attempts, uint16_t id)
{
    unsigned index = attempts->by_id[id];

    return index > 0 ? &attempts->all[index - 1] : NULL;
}

void attempts_join(struct attempt *attempt, struct attempt *twin)
{
    attempt->twin = twin;
    twin->twin = attempt;
}

void attempts_part(struct attempt *attempt)
{
    if (attempt->twin != NULL)
        attempt->twin->twin = NULL;
    attempt->twin = NULL;
}

void attempts_orphan(struct attempts *attempts, struct attempt *attempt)
{
    leave_place(attempt);
    attempts_part(attempt);
    attempt->question = NULL;
    attempt->query = NULL;
    list_append(&attempts->orphans, &attempt->orphan_node);
}
