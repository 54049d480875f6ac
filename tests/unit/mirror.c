/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/mirror.h"

#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/support.h"

static void test_both_halves_are_one(void **state)
{
    struct mirror mirror = {0};
    size_t size = 4 * (size_t)sysconf(_SC_PAGESIZE);

    (void)state;
    unsigned fds = support_open_fds();
    assert_int_equal(mirror_map(&mirror, size), 0);
    assert_int_equal(mirror.size, size);
    assert_int_equal(support_open_fds(), fds);
    for (size_t i = 0; i < size; i++)
        mirror.base[i] = (uint8_t)(i * 7 + i / 256);
    assert_memory_equal(mirror.base, mirror.base + size, size);
    for (size_t i = 0; i < size; i++)
        mirror.base[size + i] = (uint8_t)(i * 5 + 1);
    assert_memory_equal(mirror.base, mirror.base + size, size);
    mirror_unmap(&mirror);
    assert_null(mirror.base);
    mirror_unmap(&mirror);
}

/* What is written over the seam in one piece is there, in two pieces, in the memory behind it. */
static void test_across_the_seam(void **state)
{
    struct mirror mirror = {0};
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    char text[] = "contiguous where it lies";

    (void)state;
    assert_int_equal(mirror_map(&mirror, size), 0);
    for (size_t before = 1; before < sizeof(text); before++) {
        memset(mirror.base, 0, size);
        memcpy(mirror.base + size - before, text, sizeof(text));
        assert_string_equal((char *)mirror.base, text + before);
        assert_memory_equal(mirror.base + 2 * size - before, text, before);
    }
    mirror_unmap(&mirror);
}

static void test_two_mirrors_are_apart(void **state)
{
    struct mirror a = {0}, b = {0};
    size_t size = (size_t)sysconf(_SC_PAGESIZE);

    (void)state;
    assert_int_equal(mirror_map(&a, size), 0);
    assert_int_equal(mirror_map(&b, size), 0);
    memset(a.base, 1, size);
    memset(b.base, 2, size);
    assert_int_equal(a.base[size], 1);
    mirror_unmap(&a);
    assert_int_equal(b.base[2 * size - 1], 2);
    mirror_unmap(&b);
}

static void test_impossible_sizes(void **state)
{
    struct mirror mirror = {0};

    (void)state;
    unsigned fds = support_open_fds();
    assert_true(mirror_map(&mirror, (size_t)1 << 62) < 0);
    assert_true(mirror_map(&mirror, 100) < 0); /* not a page: the second half cannot be placed */
    assert_null(mirror.base);
    assert_int_equal(support_open_fds(), fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_halves_are_one),
        cmocka_unit_test(test_across_the_seam),
        cmocka_unit_test(test_two_mirrors_are_apart),
        cmocka_unit_test(test_impossible_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
