/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache is one allocation: this header, an array of buckets, and a ring of blocks.
 *
 *     buckets: place of the first block of a chain      ring, in units of 8 bytes
 *     +---+---+---+---+                                 +----------------------------------------+
 *     | . | 0 | . | 0 |                                 |ccc|  free  |aaaaa|bbb|dead|ddddd| unused|
 *     +-|-+---+-|-+---+                                 +---+--------+-----+---+----+-----+-------+
 *       v       v                                          head      tail                 wrap
 *
 * A block is one answer: what it is found by, the places of its TTLs, the message (its question in
 * lower case: the asker's own replaces it), the EDE options. It lies in one piece, so that a hit is
 * one copy, and no free space is ever scattered: new blocks are written at the head; when it would
 * run into the tail, the oldest block goes. A block that was asked for since it was written (USED)
 * is not dropped but moved from the tail to the head, as the CLOCK algorithm passes over it; after
 * CHANCES of them in one insert the next is dropped all the same, which bounds the work.
 *
 * A dead block (replaced by a longer answer, or expired) is in no chain; its space comes back when
 * the tail reaches it. An answer of the same question that fits is written over the old one.
 *
 * Places are indexes of units; 0 is none. Who asks can choose names but does not know the hash key.
 */
#include "dns/resolve/cache.h"

#include "packet/siphash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define UNIT_BYTES       8
#define BYTES_PER_BUCKET 128 /* less than most answers take: chains are short */
#define FIRST            1
#define CHANCES          128
#define LARGEST_SHARE    8 /* one answer is at most this part of the ring */

enum { LIVE = 1, USED = 2 };
enum { KEY_DO = 1, KEY_CD = 2 };

struct block {
    uint32_t units; /* of the whole block, and to the next one */
    uint32_t next;  /* in the chain */
    uint64_t hash;
    uint64_t stored_ms;
    uint32_t ttl_s;
    uint16_t type, class;
    uint16_t length, ede_length, rcode, ttl_count;
    uint8_t name_length, key_flags, state;
    uint16_t data[]; /* TTL offsets, then bytes */
};

struct dns_cache {
    uint8_t hash_key[SIPHASH_KEY_BYTES];
    struct dns_cache_stats stats;
    uint32_t stale_s;
    uint32_t bucket_mask;
    uint32_t *buckets;
    uint8_t *ring;             /* so that the unit FIRST is its first one that is used */
    uint32_t end;              /* behind the last unit */
    uint32_t head, tail, wrap; /* wrap: end of what is used of the ring, while head <= tail */
    uint32_t blocks;           /* in the ring, dead ones too */
};

/* What a question is found by. */
struct lookup {
    struct dns_name name; /* lower case */
    uint16_t type, class;
    uint8_t key_flags;
    uint64_t hash;
};

static inline struct block *block_at(const struct dns_cache *cache, uint32_t place)
{
    return (struct block *)(void *)(cache->ring + (size_t)place * UNIT_BYTES);
}

static inline uint8_t *message_of(struct block *block)
{
    return (uint8_t *)(block->data + block->ttl_count);
}

static void make_lookup(const struct dns_cache *cache, const struct dns_cache_key *key,
                        struct lookup *out)
{
    uint8_t bytes[DNS_NAME_BYTES + 5];
    size_t length = key->question->name.length;

    dns_name_lower(&key->question->name, &out->name);
    out->type = key->question->type;
    out->class = key->question->class;
    out->key_flags =
        (uint8_t)((key->dnssec_ok ? KEY_DO : 0) | (key->checking_disabled ? KEY_CD : 0));
    memcpy(bytes, out->name.wire, length);
    memcpy(bytes + length, &out->type, 2);
    memcpy(bytes + length + 2, &out->class, 2);
    bytes[length + 4] = out->key_flags;
    out->hash = siphash13(cache->hash_key, bytes, length + 5);
}

/* ---- chains ---- */

static inline uint32_t *bucket_of(const struct dns_cache *cache, uint64_t hash)
{
    return &cache->buckets[hash & cache->bucket_mask];
}

static bool is_answer_to(struct block *block, const struct lookup *lookup)
{
    return block->hash == lookup->hash && block->name_length == lookup->name.length &&
           block->type == lookup->type && block->class == lookup->class &&
           block->key_flags == lookup->key_flags &&
           memcmp(message_of(block) + DNS_HEADER_BYTES, lookup->name.wire, lookup->name.length) ==
               0;
}

static uint32_t find_place(const struct dns_cache *cache, const struct lookup *lookup)
{
    uint32_t place = *bucket_of(cache, lookup->hash);

    while (place != 0 && !is_answer_to(block_at(cache, place), lookup))
        place = block_at(cache, place)->next;
    return place;
}

/* Where the chain says `place`; the block there must be live. */
static uint32_t *link_to(const struct dns_cache *cache, uint32_t place)
{
    uint32_t *link = bucket_of(cache, block_at(cache, place)->hash);

    while (*link != place)
        link = &block_at(cache, *link)->next;
    return link;
}

static void kill_block(struct dns_cache *cache, uint32_t place)
{
    struct block *block = block_at(cache, place);

    *link_to(cache, place) = block->next;
    block->state = 0;
    cache->stats.entries--;
    cache->stats.bytes_used -= (uint64_t)block->units * UNIT_BYTES;
}

/* ---- the ring ---- */

/* A place at the head for so many units in one piece, 0 while the tail is in the way. */
static uint32_t place_at_head(struct dns_cache *cache, uint32_t units)
{
    if (cache->blocks == 0)
        cache->head = cache->tail = FIRST;
    else if (cache->head <= cache->tail) /* wrapped */
        return cache->tail - cache->head >= units ? cache->head : 0;
    if (cache->end - cache->head >= units)
        return cache->head;
    if (cache->tail - FIRST < units)
        return 0;
    cache->wrap = cache->head;
    cache->head = FIRST;
    return FIRST;
}

static void advance_head(struct dns_cache *cache, uint32_t units)
{
    cache->head += units;
    cache->blocks++;
}

static void advance_tail(struct dns_cache *cache, uint32_t units)
{
    bool wrapped = cache->head <= cache->tail;

    cache->tail += units;
    cache->blocks--;
    if (wrapped && cache->tail == cache->wrap)
        cache->tail = FIRST;
}

static uint32_t age_of(const struct block *block, uint64_t now_ms)
{
    uint64_t age_s = now_ms > block->stored_ms ? (now_ms - block->stored_ms) / 1000 : 0;
    return age_s < UINT32_MAX ? (uint32_t)age_s : UINT32_MAX;
}

static bool is_over(const struct dns_cache *cache, const struct block *block, uint32_t age_s)
{
    return age_s >= (uint64_t)block->ttl_s + cache->stale_s;
}

/* Gives the tail's block, which was used, another round. What it leaves is room enough. */
static void move_to_head(struct dns_cache *cache, uint32_t from)
{
    struct block *block = block_at(cache, from);
    uint32_t *link = link_to(cache, from);
    uint32_t units = block->units;

    block->state = LIVE;
    advance_tail(cache, units);
    uint32_t to = place_at_head(cache, units);
    memmove(block_at(cache, to), block, (size_t)units * UNIT_BYTES);
    *link = to;
    advance_head(cache, units);
}

static void take_oldest(struct dns_cache *cache, uint64_t now_ms, unsigned *chances)
{
    struct block *block = block_at(cache, cache->tail);
    bool over = is_over(cache, block, age_of(block, now_ms));

    if ((block->state & USED) && !over && *chances > 0) {
        --*chances;
        move_to_head(cache, cache->tail);
        return;
    }
    if (block->state & LIVE) {
        kill_block(cache, cache->tail);
        ++*(over ? &cache->stats.expired : &cache->stats.evicted);
    }
    advance_tail(cache, block->units);
}

static uint32_t make_room(struct dns_cache *cache, uint32_t units, uint64_t now_ms)
{
    unsigned chances = CHANCES;
    uint32_t place;

    while ((place = place_at_head(cache, units)) == 0)
        take_oldest(cache, now_ms, &chances);
    return place;
}

/* ---- the cache ---- */

static uint32_t bucket_count(size_t bytes)
{
    uint32_t count = 1;

    while (count < (1u << 30) && (size_t)count * 2 * BYTES_PER_BUCKET <= bytes)
        count *= 2;
    return count;
}

struct dns_cache *dns_cache_create(size_t bytes, uint32_t stale_s)
{
    uint32_t buckets = bucket_count(bytes);
    size_t before = sizeof(struct dns_cache) + (size_t)buckets * sizeof(uint32_t);
    struct dns_cache *cache = bytes >= DNS_CACHE_BYTES_MIN ? malloc(bytes) : NULL;

    if (!cache)
        return NULL;
    memset(cache, 0, sizeof(*cache));
    if (getrandom(cache->hash_key, sizeof(cache->hash_key), 0) != sizeof(cache->hash_key)) {
        free(cache);
        return NULL;
    }
    before = (before + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES;
    cache->stale_s = stale_s;
    cache->bucket_mask = buckets - 1;
    cache->buckets = (uint32_t *)(cache + 1);
    cache->ring = (uint8_t *)cache + before - FIRST * UNIT_BYTES;
    size_t units = (bytes - before) / UNIT_BYTES;
    cache->end = FIRST + (units < UINT32_MAX / 2 ? (uint32_t)units : UINT32_MAX / 2);
    dns_cache_flush(cache);
    return cache;
}

void dns_cache_free(struct dns_cache *cache)
{
    free(cache);
}

enum dns_cache_result dns_cache_find(struct dns_cache *cache, const struct dns_cache_key *key,
                                     uint64_t now_ms, struct dns_cache_hit *hit)
{
    struct lookup lookup;

    make_lookup(cache, key, &lookup);
    uint32_t place = find_place(cache, &lookup);
    if (place == 0)
        return DNS_CACHE_MISS;
    struct block *block = block_at(cache, place);
    uint32_t age_s = age_of(block, now_ms);
    if (is_over(cache, block, age_s)) {
        kill_block(cache, place);
        cache->stats.expired++;
        return DNS_CACHE_MISS;
    }
    block->state = LIVE | USED;
    hit->age_s = age_s;
    hit->stored = (struct dns_stored){
        .bytes = message_of(block),
        .length = block->length,
        .ede_length = block->ede_length,
        .rcode = block->rcode,
        .ttl_count = block->ttl_count,
        .ttl_offsets = block->data,
    };
    return age_s < block->ttl_s ? DNS_CACHE_FRESH : DNS_CACHE_STALE;
}

static size_t block_bytes(const struct dns_stored *stored)
{
    return offsetof(struct block, data) + stored->ttl_count * sizeof(uint16_t) + stored->length +
           stored->ede_length;
}

/* Everything but units and next. */
static void fill_block(struct block *block, const struct lookup *lookup,
                       const struct dns_stored *stored, uint32_t ttl_s, uint64_t now_ms)
{
    block->hash = lookup->hash;
    block->stored_ms = now_ms;
    block->ttl_s = ttl_s;
    block->type = lookup->type;
    block->class = lookup->class;
    block->length = stored->length;
    block->ede_length = stored->ede_length;
    block->rcode = stored->rcode;
    block->ttl_count = stored->ttl_count;
    block->name_length = lookup->name.length;
    block->key_flags = lookup->key_flags;
    memcpy(block->data, stored->ttl_offsets, stored->ttl_count * sizeof(uint16_t));
    memcpy(message_of(block), stored->bytes, (size_t)stored->length + stored->ede_length);
    memcpy(message_of(block) + DNS_HEADER_BYTES, lookup->name.wire, lookup->name.length);
}

/* An empty block of so many units, live and in its chain. */
static struct block *add_block(struct dns_cache *cache, uint64_t hash, uint32_t units,
                               uint64_t now_ms)
{
    uint32_t place = make_room(cache, units, now_ms), *bucket = bucket_of(cache, hash);
    struct block *block = block_at(cache, place);

    advance_head(cache, units);
    block->units = units;
    block->next = *bucket;
    block->state = LIVE;
    *bucket = place;
    cache->stats.entries++;
    cache->stats.bytes_used += (uint64_t)units * UNIT_BYTES;
    return block;
}

static void forget(struct dns_cache *cache, const struct dns_cache_key *key)
{
    struct lookup lookup;

    make_lookup(cache, key, &lookup);
    uint32_t place = find_place(cache, &lookup);
    if (place != 0)
        kill_block(cache, place);
}

/* A name that does not exist has no records of any type (RFC 8020): those that are asked for much.
 */
static void forget_name(struct dns_cache *cache, const struct dns_question *question)
{
    static const uint16_t types[] = {DNS_TYPE_A,
                                     DNS_TYPE_AAAA,
                                     DNS_TYPE_CNAME,
                                     DNS_TYPE_NS,
                                     DNS_TYPE_SOA,
                                     DNS_TYPE_PTR,
                                     15 /* MX */,
                                     16 /* TXT */,
                                     33 /* SRV */,
                                     64 /* SVCB */,
                                     65 /* HTTPS */};
    struct dns_question other = *question;

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        for (unsigned flags = 0; flags < 4; flags++) {
            other.type = types[i];
            forget(cache,
                   &(struct dns_cache_key){&other, (flags & KEY_DO) != 0, (flags & KEY_CD) != 0});
        }
}

void dns_cache_contradict(struct dns_cache *cache, const struct dns_cache_key *key,
                          const struct dns_answer *answer)
{
    if (answer->rcode == DNS_NXDOMAIN)
        forget_name(cache, key->question);
    else if (answer->rcode == DNS_NOERROR && (!answer->cacheable || answer->ttl_s == 0))
        forget(cache, key);
}

void dns_cache_insert(struct dns_cache *cache, const struct dns_cache_key *key,
                      const struct dns_answer *answer, const struct dns_stored *stored,
                      uint64_t now_ms)
{
    size_t units = (block_bytes(stored) + UNIT_BYTES - 1) / UNIT_BYTES;
    struct lookup lookup;
    struct block *block = NULL;

    if (!answer->cacheable || answer->ttl_s == 0)
        return;
    if (units > (cache->end - FIRST) / LARGEST_SHARE) {
        cache->stats.too_large++;
        return;
    }
    make_lookup(cache, key, &lookup);
    uint32_t old = find_place(cache, &lookup);
    if (old != 0 && block_at(cache, old)->units >= units)
        block = block_at(cache, old);
    else if (old != 0)
        kill_block(cache, old);
    if (!block)
        block = add_block(cache, lookup.hash, (uint32_t)units, now_ms);
    fill_block(block, &lookup, stored, answer->ttl_s, now_ms);
    cache->stats.inserted++;
}

void dns_cache_set_stale(struct dns_cache *cache, uint32_t stale_s)
{
    cache->stale_s = stale_s;
}

void dns_cache_flush(struct dns_cache *cache)
{
    memset(cache->buckets, 0, ((size_t)cache->bucket_mask + 1) * sizeof(uint32_t));
    cache->head = cache->tail = cache->wrap = FIRST;
    cache->blocks = 0;
    cache->stats.entries = cache->stats.bytes_used = 0;
}

const struct dns_cache_stats *dns_cache_stats(const struct dns_cache *cache)
{
    return &cache->stats;
}
