/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/csum.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "tests/unit/packet_build.h"

static uint8_t buffer[66000];

/* RFC 1071 3: the words 0001 f203 f4f5 f6f7 sum to ddf2. */
static void rfc_1071_example(void **state)
{
    (void)state;
    static const uint8_t words[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(csum_fold(csum_add(0, words, sizeof(words))), htons(0xddf2));
    assert_int_equal(csum_finish(csum_add(0, words, sizeof(words))), htons(0x220d));
}

static void ipv4_header_example(void **state)
{
    (void)state;
    static const uint8_t header[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                                     0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
    assert_int_equal(csum_finish(csum_add(0, header, sizeof(header))), htons(0xb861));
}

/* Every length around the unrolled loop's edges at every alignment, in a block of exactly so many
 * bytes. */
static void agrees_with_slow_sum(void **state)
{
    (void)state;
    for (size_t length = 0; length < 200; length++)
        for (size_t shift = 0; shift < 16; shift++) {

            uint8_t *exact = malloc(shift + length > 0 ? shift + length : 1);
            random_fill(exact, shift + length);
            assert_int_equal(csum_finish(csum_add(0, exact + shift, length)),
                             htons(slow_checksum(exact + shift, length)));
            free(exact);
        }
}

static void agrees_on_long_and_extreme_data(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        size_t length = random_below(sizeof(buffer));
        if (round % 3 == 0)
            memset(buffer, 0xff, sizeof(buffer));
        else
            random_fill(buffer, sizeof(buffer));
        assert_int_equal(csum_finish(csum_add(0, buffer, length)),
                         htons(slow_checksum(buffer, length)));
    }
}

static void pieces_add_up(void **state)
{
    (void)state;
    random_fill(buffer, sizeof(buffer));
    for (unsigned round = 0; round < 2000; round++) {
        size_t length = random_below(3000), cut = random_below((uint32_t)length + 1) & ~1u;
        uint64_t sum = csum_add(csum_add(0, buffer, cut), buffer + cut, length - cut);
        assert_int_equal(csum_fold(sum), csum_fold(csum_add(0, buffer, length)));
    }
}

static void fold_takes_any_sum(void **state)
{
    (void)state;
    static const uint64_t sums[] = {0,
                                    0xffff,
                                    0x10000,
                                    0xffffffff,
                                    0x100000000,
                                    UINT64_MAX,
                                    UINT64_MAX - 1,
                                    0xffff0000ffff0001,
                                    0xfffffffeffffffff};
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        /* A sum that is not 0 folds to a number from 1 to 0xffff, equal to it modulo 0xffff. */
        uint16_t folded = csum_fold(sums[i]);
        assert_int_equal(folded % 0xffff, sums[i] % 0xffff);
        assert_int_equal(folded == 0, sums[i] == 0);
        assert_int_equal(csum_finish(sums[i]), (uint16_t)~folded);
    }
}

static void pseudo_header(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 500; round++) {
        struct parsed_packet parsed = {.protocol = round % 3 ? IPPROTO_TCP : IPPROTO_UDP};
        size_t bytes = round % 2 ? 4 : 16;
        uint8_t plain[40] = {0};
        uint32_t length = random_below(65536);
        parsed.src.version = parsed.dst.version = bytes == 4 ? 4 : 6;
        random_fill(parsed.src.bytes, bytes);
        random_fill(parsed.dst.bytes, bytes);
        memcpy(plain, parsed.src.bytes, bytes);
        memcpy(plain + bytes, parsed.dst.bytes, bytes);
        if (bytes == 4) {
            plain[9] = parsed.protocol;
            store_be16(plain + 10, (uint16_t)length);
        } else {
            store_be32(plain + 32, length);
            plain[39] = parsed.protocol;
        }
        assert_int_equal(csum_finish(csum_pseudo(&parsed, length)),
                         htons(slow_checksum(plain, bytes == 4 ? 12 : 40)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_1071_example),     cmocka_unit_test(ipv4_header_example),
        cmocka_unit_test(agrees_with_slow_sum), cmocka_unit_test(agrees_on_long_and_extreme_data),
        cmocka_unit_test(pieces_add_up),        cmocka_unit_test(fold_takes_any_sum),
        cmocka_unit_test(pseudo_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
