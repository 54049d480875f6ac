/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/serve/stream_output.h"

#include "tests/unit/support.h"

enum { BLOCKS = 80 };

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8));
}

static void fill(uint8_t *bytes, size_t from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(from + i);
}

/* Pieces of all sizes go in and come out in other sizes; no byte is lost and no block. */
static void test_order(void **state)
{
    struct stream_blocks *blocks = stream_blocks_create(BLOCKS);
    struct stream_output output;
    static uint8_t bytes[20000];
    size_t in = 0, out = 0;
    unsigned random = 7;

    (void)state;
    stream_output_init(&output);
    for (int step = 0; step < 20000; step++) {
        random = random * 1103515245 + 12345;
        size_t length = (random >> 8) % (step % 3 == 0 ? 12000 : 600) + 1;
        if ((random >> 28) % 2 == 0) {
            fill(bytes, in, length);
            if (stream_output_add(blocks, &output, bytes, length))
                in += length;
        } else {
            const uint8_t *at = NULL;
            size_t have = stream_output_peek(blocks, &output, &at);
            length = length < have ? length : have;
            for (size_t i = 0; i < length; i++)
                assert_int_equal(at[i], pattern(out + i));
            if (length > 0)
                stream_output_drop(blocks, &output, length);
            out += length;
        }
        assert_int_equal(output.bytes, in - out);
    }
    assert_true(in > 1000000);
    stream_output_clear(blocks, &output);
    /* Every block is free again. */
    for (unsigned i = 0; i < STREAM_OUTPUT_MAX / STREAM_BLOCK_BYTES; i++)
        assert_true(stream_output_add(blocks, &output, bytes, STREAM_BLOCK_BYTES));
    stream_blocks_free(blocks);
}

static void test_limits(void **state)
{
    struct stream_blocks *blocks = stream_blocks_create(3);
    struct stream_output a, b;
    static uint8_t bytes[STREAM_OUTPUT_MAX + 1];
    const uint8_t *at = NULL;

    (void)state;
    stream_output_init(&a);
    stream_output_init(&b);
    assert_int_equal(stream_output_peek(blocks, &a, &at), 0);
    assert_true(stream_output_add(blocks, &a, bytes, 1));
    assert_false(stream_output_add(blocks, &b, bytes, 2 * STREAM_BLOCK_BYTES + 1));
    assert_int_equal(b.bytes, 0);
    assert_true(stream_output_add(blocks, &b, bytes, 2 * STREAM_BLOCK_BYTES));
    /* The pool is empty, but the first still has room in its own block. */
    assert_true(stream_output_add(blocks, &a, bytes, STREAM_BLOCK_BYTES - 1));
    assert_false(stream_output_add(blocks, &a, bytes, 1));
    stream_output_clear(blocks, &b);
    assert_true(stream_output_add(blocks, &a, bytes, 1));
    stream_blocks_free(blocks);

    blocks = stream_blocks_create(100);
    stream_output_init(&a);
    assert_false(stream_output_add(blocks, &a, bytes, STREAM_OUTPUT_MAX + 1));
    assert_true(stream_output_add(blocks, &a, bytes, STREAM_OUTPUT_MAX));
    assert_false(stream_output_add(blocks, &a, bytes, 1));
    stream_blocks_free(blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
