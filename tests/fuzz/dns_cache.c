/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache against a model of it: whatever is found is what was stored last, and its age is right.
 * That something is not found any more is allowed, except straight after it was stored.
 * Input: operations of four bytes (make_corpus.py).
 */
#include <string.h>

#include "dns/resolve/cache.h"
#include "tests/fuzz/fuzz.h"

#define QUESTIONS 64
#define STALE_S   100
#define BYTES     DNS_CACHE_BYTES_MIN

/* What was stored last of each question; length 0: nothing. */
struct expected {
    uint16_t length, ttl_count;
    uint8_t tag;
    uint32_t ttl_s;
    uint64_t stored_ms;
};

struct model {
    struct dns_cache *cache;
    struct expected expected[QUESTIONS];
    uint64_t now_ms;
};

static struct dns_question question_of(unsigned index)
{
    struct dns_question question = {.type = (uint16_t)(1 + index % 2), .class = DNS_CLASS_IN};
    char text[16];

    snprintf(text, sizeof(text), "Name%u.x", index / 8);
    CHECK(dns_name_from_text(text, &question.name));
    return question;
}

static struct dns_cache_key key_of(const struct dns_question *question, unsigned index)
{
    return (struct dns_cache_key){question, index & 2, index & 4};
}

static void check_found(const struct model *model, unsigned index, enum dns_cache_result result,
                        const struct dns_cache_hit *hit)
{
    const struct expected *expected = &model->expected[index];
    uint64_t age_s = (model->now_ms - expected->stored_ms) / 1000;
    size_t named = DNS_HEADER_BYTES + (size_t)question_of(index).name.length;

    CHECK(expected->length != 0);
    CHECK(hit->age_s == age_s && age_s < expected->ttl_s + STALE_S);
    CHECK(result == (age_s < expected->ttl_s ? DNS_CACHE_FRESH : DNS_CACHE_STALE));
    CHECK(hit->stored.length == expected->length);
    CHECK(hit->stored.ttl_count == expected->ttl_count);
    for (size_t i = named; i < expected->length; i++)
        CHECK(hit->stored.bytes[i] == expected->tag);
    for (unsigned i = 0; i < expected->ttl_count; i++)
        CHECK(hit->stored.ttl_offsets[i] == expected->tag);
}

static enum dns_cache_result find(struct model *model, unsigned index)
{
    struct dns_question question = question_of(index);
    struct dns_cache_key key = key_of(&question, index);
    struct dns_cache_hit hit;
    enum dns_cache_result result = dns_cache_find(model->cache, &key, model->now_ms, &hit);

    if (result != DNS_CACHE_MISS)
        check_found(model, index, result, &hit);
    return result;
}

static void insert(struct model *model, unsigned index, unsigned size, uint8_t tag)
{
    static uint8_t bytes[16384];
    static uint16_t ttls[64];
    struct dns_question question = question_of(index);
    struct dns_cache_key key = key_of(&question, index);
    struct expected expected = {.length = (uint16_t)(64 + 37 * size),
                                .ttl_count = (uint16_t)(size % 64),
                                .tag = tag,
                                .ttl_s = tag,
                                .stored_ms = model->now_ms};
    struct dns_answer answer = {.cacheable = true, .ttl_s = tag};
    struct dns_stored stored = {bytes, expected.length, 0, 0, expected.ttl_count, ttls};
    uint64_t too_large = dns_cache_stats(model->cache)->too_large;

    memset(bytes, tag, expected.length);
    for (unsigned i = 0; i < expected.ttl_count; i++)
        ttls[i] = tag;
    dns_cache_insert(model->cache, &key, &answer, &stored, model->now_ms);
    if (tag == 0 || dns_cache_stats(model->cache)->too_large != too_large)
        return; /* what was there before is there still */
    model->expected[index] = expected;
    CHECK(find(model, index) == DNS_CACHE_FRESH);
}

static void run(struct model *model, const uint8_t *operation)
{
    unsigned index = operation[1] % QUESTIONS;

    switch (operation[0] % 4) {
    case 0:
        insert(model, index, operation[2], operation[3]);
        break;
    case 1:
        find(model, index);
        break;
    case 2:
        model->now_ms += operation[2] * 1000u + operation[3];
        break;
    case 3:
        dns_cache_flush(model->cache);
        memset(model->expected, 0, sizeof(model->expected));
        break;
    }
    CHECK(dns_cache_stats(model->cache)->bytes_used <= BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model model = {.cache = dns_cache_create(BYTES, STALE_S), .now_ms = 5000};
    unsigned found = 0;

    CHECK(model.cache != NULL);
    for (; size >= 4; size -= 4, data += 4)
        run(&model, data);
    for (unsigned i = 0; i < QUESTIONS; i++)
        found += find(&model, i) != DNS_CACHE_MISS;
    CHECK(dns_cache_stats(model.cache)->entries == found); /* what had expired went as it was met */
    dns_cache_free(model.cache);
    return 0;
}
