/* SPDX-License-Identifier: Apache-2.0 */
/* What is written, as libpcap reads it, and the blocks that libpcap does not show. */
#include "ctl/pcapng.h"

#include <pcap/pcap.h>

#include "packet/bytes.h"
#include "tests/unit/support.h"

#define COOKED 16

static char *text;
static size_t length;
static FILE *out;

static int set_up(void **state)
{
    (void)state;
    out = open_memstream(&text, &length);
    return out == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    fclose(out);
    free(text);
    return 0;
}

static uint32_t word(size_t at)
{
    uint32_t value;

    assert_true(at + 4 <= length);
    memcpy(&value, text + at, sizeof(value));
    return value;
}

/* The i-th block: its offset. Every block is whole, and says its length at both ends. */
static size_t block(unsigned i)
{
    size_t at = 0;

    assert_int_equal(fflush(out), 0);
    for (;; i--) {
        assert_true(at < length);
        uint32_t size = word(at + 4);
        assert_true(size >= 12 && size % 4 == 0 && at + size <= length);
        assert_int_equal(word(at + size - 4), size);
        if (i == 0)
            return at;
        at += size;
    }
}

static bool block_has(unsigned i, const char *bytes)
{
    size_t at = block(i);

    return memmem(text + at, word(at + 4), bytes, strlen(bytes)) != NULL;
}

static pcap_t *open_written(void)
{
    char error[PCAP_ERRBUF_SIZE];

    assert_int_equal(fflush(out), 0);
    FILE *in = fmemopen(text, length, "r");
    assert_non_null(in);
    pcap_t *reader =
        pcap_fopen_offline_with_tstamp_precision(in, PCAP_TSTAMP_PRECISION_NANO, error);
    if (reader == NULL)
        fail_msg("libpcap: %s", error);
    return reader;
}

static void begin(void)
{
    pcapng_begin(out, "causewayctl 1");
    pcapng_interface(out, "web lane 0", 65535);
    pcapng_interface(out, "db lane 1", 65535);
}

static void test_packets_read_back(void **state)
{
    static const uint8_t v4[] = {0x45, 1, 2, 3, 4}, v6[] = {0x60, 9};
    const struct pcapng_packet packets[] = {
        {.interface = 0,
         .time_ns = 1700000000123456789u,
         .captured = 5,
         .length = 1500,
         .outbound = true,
         .bytes = v4},
        {.interface = 1,
         .time_ns = 1700000001000000001u,
         .captured = 2,
         .length = 2,
         .comment = "dropped: policy_source",
         .bytes = v6},
    };
    struct pcap_pkthdr *header;
    const uint8_t *bytes;

    (void)state;
    begin();
    pcapng_packet(out, &packets[0]);
    pcapng_packet(out, &packets[1]);
    pcapng_statistics(out, 0, 1700000002000000000u, 3);
    pcap_t *reader = open_written();
    assert_int_equal(pcap_datalink(reader), DLT_LINUX_SLL);

    assert_int_equal(pcap_next_ex(reader, &header, &bytes), 1);
    assert_int_equal(header->ts.tv_sec, 1700000000);
    assert_int_equal(header->ts.tv_usec, 123456789); /* nanoseconds */
    assert_int_equal(header->caplen, COOKED + 5);
    assert_int_equal(header->len, COOKED + 1500);
    assert_int_equal(load_be16(bytes), 4); /* outgoing */
    assert_int_equal(load_be16(bytes + 14), 0x0800);
    assert_memory_equal(bytes + COOKED, v4, 5);

    assert_int_equal(pcap_next_ex(reader, &header, &bytes), 1);
    assert_int_equal(header->caplen, COOKED + 2);
    assert_int_equal(load_be16(bytes), 0);
    assert_int_equal(load_be16(bytes + 14), 0x86dd);
    assert_memory_equal(bytes + COOKED, v6, 2);
    assert_int_equal(pcap_next_ex(reader, &header, &bytes), PCAP_ERROR_BREAK); /* the end */
    pcap_close(reader);
}

static void test_names_and_comments(void **state)
{
    static const uint8_t byte[] = {0x45};
    struct pcapng_packet packet = {
        .captured = 1, .length = 1, .comment = "dropped: x", .bytes = byte};

    (void)state;
    begin();
    pcapng_packet(out, &packet);
    packet.comment = NULL;
    pcapng_packet(out, &packet);
    assert_true(block_has(0, "causewayctl 1"));
    assert_true(block_has(1, "web lane 0"));
    assert_true(block_has(2, "db lane 1"));
    assert_true(block_has(3, "dropped: x"));
    assert_false(block_has(4, "dropped"));
}

/* Every length of packet, name and comment ends at a multiple of four. */
static void test_padding(void **state)
{
    static const uint8_t bytes[9] = {0x45, 1, 2, 3, 4, 5, 6, 7, 8};
    static const char letters[] = "abcdefgh";
    struct pcap_pkthdr *header;
    const uint8_t *read;

    (void)state;
    pcapng_begin(out, "");
    for (uint32_t i = 0; i <= 8; i++)
        pcapng_interface(out, letters + i, 100);
    for (uint32_t i = 0; i <= 8; i++)
        pcapng_packet(out, &(struct pcapng_packet){.interface = i,
                                                   .captured = i,
                                                   .length = 9,
                                                   .comment = letters + i,
                                                   .bytes = bytes});
    block(18);
    pcap_t *reader = open_written();
    for (uint32_t i = 0; i <= 8; i++) {
        assert_int_equal(pcap_next_ex(reader, &header, &read), 1);
        assert_int_equal(header->caplen, COOKED + i);
        assert_memory_equal(read + COOKED, bytes, i);
    }
    pcap_close(reader);
}

static void test_lost_packets(void **state)
{
    uint64_t lost;

    (void)state;
    begin();
    pcapng_statistics(out, 1, 5000000007u, 77);
    size_t at = block(3);
    assert_int_equal(word(at), 5);
    assert_int_equal(word(at + 8), 1);
    assert_int_equal((uint64_t)word(at + 12) << 32 | word(at + 16), 5000000007u);
    memcpy(&lost, text + at + 24, sizeof(lost));
    assert_int_equal(lost, 77);
}

#define PCAPNG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PCAPNG_TEST(test_packets_read_back),
        PCAPNG_TEST(test_names_and_comments),
        PCAPNG_TEST(test_padding),
        PCAPNG_TEST(test_lost_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
