/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Published vectors: key 00 01 .. 0f, message 00 01 .. of the length (Rust's and CPython's
 * implementations give the same). */
static void gives_the_published_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        uint64_t hash;
    } vectors[] = {
        {0, 0xabac0158050fc4dc},  {1, 0xc9f49bf37d57ca93},  {7, 0xd3927d989bb11140},
        {8, 0x369095118d299a8e},  {9, 0x25a48eb36c063de4},  {15, 0xd320d86d2a519956},
        {16, 0xcc4fdd1a7d908b66}, {63, 0x9d199062b7bbb3a8},
    };
    uint8_t key[SIPHASH_KEY_BYTES], message[64];

    for (unsigned i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)i;
    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        assert_true(siphash13(key, message, vectors[i].length) == vectors[i].hash);
}

static void depends_on_the_key(void **state)
{
    (void)state;
    static const uint8_t a[SIPHASH_KEY_BYTES] = {0}, b[SIPHASH_KEY_BYTES] = {[15] = 1};

    assert_true(siphash13(a, "x", 1) != siphash13(b, "x", 1));
    assert_true(siphash13(a, "\0", 1) == 0x68a914128e01e473);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_published_vectors),
        cmocka_unit_test(depends_on_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
