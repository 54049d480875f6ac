/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolve/failures.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "packet/siphash.h"

#define PLACES 1024 /* a power of two */

struct place {
    uint64_t hash; /* of the question; until_ms 0: nothing is here */
    uint64_t until_ms;
    uint16_t rcode;
    uint8_t again; /* how often it failed anew */
};

struct failures {
    uint8_t hash_key[SIPHASH_KEY_BYTES];
    struct place places[PLACES];
};

struct failures *failures_create(void)
{
    struct failures *failures = calloc(1, sizeof(*failures));

    if (failures == NULL)
        return NULL;
    if (getrandom(failures->hash_key, sizeof(failures->hash_key), 0) ==
        (ssize_t)sizeof(failures->hash_key))
        return failures;
    free(failures);
    return NULL;
}

void failures_free(struct failures *failures)
{
    free(failures);
}

void failures_flush(struct failures *failures)
{
    memset(failures->places, 0, sizeof(failures->places));
}

static uint64_t hash_of(const struct failures *failures, const struct dns_cache_key *key)
{
    uint8_t bytes[DNS_NAME_BYTES + 6];
    struct dns_name lowered;
    size_t length;

    dns_name_lower(&key->question->name, &lowered);
    length = lowered.length;
    memcpy(bytes, lowered.wire, length);
    memcpy(bytes + length, &key->question->type, 2);
    memcpy(bytes + length + 2, &key->question->class, 2);
    bytes[length + 4] = key->dnssec_ok;
    bytes[length + 5] = key->checking_disabled;
    return siphash13(failures->hash_key, bytes, length + 6);
}

static uint64_t period_ms(unsigned again)
{
    uint64_t seconds = (uint64_t)FAILURES_FIRST_S << again;

    return 1000 * (seconds < FAILURES_MOST_S ? seconds : FAILURES_MOST_S);
}

void failures_note(struct failures *failures, const struct dns_cache_key *key, uint16_t rcode,
                   uint64_t now_ms)
{
    uint64_t hash = hash_of(failures, key);
    struct place *place = &failures->places[hash & (PLACES - 1)];
    bool is_anew = place->until_ms != 0 && place->hash == hash &&
                   now_ms < place->until_ms + period_ms(place->again + 1u);

    if (!is_anew)
        place->again = 0;
    else if (period_ms(place->again) < 1000 * FAILURES_MOST_S)
        place->again++;
    place->hash = hash;
    place->rcode = rcode;
    place->until_ms = now_ms + period_ms(place->again);
}

static const struct place *find(const struct failures *failures, const struct dns_cache_key *key)
{
    uint64_t hash = hash_of(failures, key);
    const struct place *place = &failures->places[hash & (PLACES - 1)];

    return place->until_ms != 0 && place->hash == hash ? place : NULL;
}

void failures_forget(struct failures *failures, const struct dns_cache_key *key)
{
    const struct place *place = find(failures, key);

    if (place != NULL)
        failures->places[place - failures->places].until_ms = 0;
}

bool failures_find(const struct failures *failures, const struct dns_cache_key *key,
                   uint64_t now_ms, uint16_t *rcode)
{
    const struct place *place = find(failures, key);

    if (place == NULL || now_ms >= place->until_ms)
        return false;
    *rcode = place->rcode;
    return true;
}
