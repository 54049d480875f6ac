/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/siphash.h"

#include "packet/parse.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s); /* the "1" */
    s->v0 ^= word;
}

uint64_t siphash13(const uint8_t key[SIPHASH_KEY_BYTES], const void *bytes, size_t length)
{
    uint64_t k0 = load_le64(key), k1 = load_le64(key + 8), last = (uint64_t)length << 56;
    struct sip s = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                    k1 ^ 0x7465646279746573};
    const uint8_t *p = bytes, *end = p + (length & ~(size_t)7);

    for (; p < end; p += 8)
        sip_word(&s, load_le64(p));
    for (size_t i = 0; i < (length & 7); i++)
        last |= (uint64_t)p[i] << (8 * i);
    sip_word(&s, last);
    s.v2 ^= 0xff;
    sip_round(&s); /* the "3" */
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
