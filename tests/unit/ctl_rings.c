/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of a capture's memory, against one that a daemon fills as it should, and others. */
#include "ctl/rings.h"

#include <sys/mman.h>

#include "tests/unit/support.h"

static struct rings rings;
static struct rings_packet packet;

static int set_up(void **state)
{
    (void)state;
    rings = (struct rings){0};
    rings.memory = mmap(NULL, TAP_MEMORY_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return rings.memory == MAP_FAILED;
}

static int tear_down(void **state)
{
    (void)state;
    return munmap(rings.memory, TAP_MEMORY_BYTES);
}

static void use(unsigned ring, const char *name)
{
    strncpy(rings.memory[ring].name, name, TAP_NAME_BYTES);
    rings.memory[ring].in_use = 1;
}

/* Writes a header where the ring's head is, and moves that by `advance`. */
static void put(unsigned ring, struct tap_record record, uint64_t advance)
{
    struct tap_ring *memory = &rings.memory[ring];

    memcpy(memory->records + memory->head % TAP_RING_BYTES, &record, sizeof(record));
    memory->head += advance;
}

/* A packet of 8 bytes, as a daemon writes it. */
static void put_packet(unsigned ring, uint64_t time_ns, uint8_t first_byte)
{
    struct tap_ring *memory = &rings.memory[ring];
    struct tap_record record = {.size = 32,
                                .captured = 8,
                                .length = 8,
                                .time_ns = time_ns,
                                .direction = TAP_TO_LINK,
                                .reason = TAP_PASSED};

    memory->records[memory->head % TAP_RING_BYTES + sizeof(record)] = first_byte;
    put(ring, record, record.size);
}

/* Both positions at this many bytes. */
static void start_at(unsigned ring, uint64_t position)
{
    rings.memory[ring].head = rings.memory[ring].tail = rings.tail[ring] = position;
}

static void assert_next(unsigned ring, uint8_t first_byte)
{
    assert_true(rings_oldest(&rings, &packet));
    assert_int_equal(packet.ring, ring);
    assert_int_equal(packet.record.captured, 8);
    assert_int_equal(packet.bytes[0], first_byte);
    rings_release(&rings, &packet);
}

static void test_empty(void **state)
{
    (void)state;
    assert_int_equal(rings_count(&rings), 0);
    assert_false(rings_oldest(&rings, &packet));
    use(0, "lane 0");
    assert_int_equal(rings_count(&rings), 1);
    assert_false(rings_oldest(&rings, &packet));
}

static void test_oldest_first(void **state)
{
    (void)state;
    use(0, "a");
    use(1, "b");
    put_packet(0, 100, 1);
    put_packet(0, 300, 3);
    put_packet(1, 200, 2);
    put_packet(1, 400, 4);
    assert_next(0, 1);
    assert_next(1, 2);
    assert_next(0, 3);
    assert_next(1, 4);
    assert_false(rings_oldest(&rings, &packet));
    assert_int_equal(rings.memory[0].tail, 64);
    assert_int_equal(rings.memory[1].tail, 64);
}

/* What is not released comes again. */
static void test_look_is_not_release(void **state)
{
    (void)state;
    use(0, "a");
    put_packet(0, 1, 7);
    assert_true(rings_oldest(&rings, &packet));
    assert_int_equal(rings.memory[0].tail, 0);
    assert_next(0, 7);
}

static void test_around_the_end(void **state)
{
    (void)state;
    use(0, "a");
    start_at(0, 5ull * TAP_RING_BYTES - 64);
    put_packet(0, 1, 1);
    put(0, (struct tap_record){.direction = TAP_SKIP}, 32);
    put_packet(0, 2, 2);
    assert_next(0, 1);
    assert_next(0, 2);
    assert_int_equal(rings.memory[0].tail, rings.memory[0].head);
}

/* Too little room in front of the end even for a header: nothing is written there. */
static void test_no_room_for_a_header(void **state)
{
    (void)state;
    use(0, "a");
    start_at(0, TAP_RING_BYTES - 16);
    rings.memory[0].head += 16;
    put_packet(0, 1, 9);
    assert_next(0, 9);
}

static void test_up_to_the_end(void **state)
{
    (void)state;
    use(0, "a");
    start_at(0, TAP_RING_BYTES - 32);
    put_packet(0, 1, 1);
    put_packet(0, 2, 2);
    assert_next(0, 1);
    assert_next(0, 2);
}

static void test_positions_wrap(void **state)
{
    (void)state;
    use(0, "a");
    start_at(0, UINT64_MAX - 31);
    put_packet(0, 1, 1);
    put_packet(0, 2, 2);
    assert_next(0, 1);
    assert_next(0, 2);
}

/* ---- memory that contradicts itself ---- */

static void test_impossible_records(void **state)
{
    static const struct tap_record records[] = {
        {.size = 0},
        {.size = 16},                         /* below its own header */
        {.size = 28},                         /* not a multiple of 8 */
        {.size = 32, .captured = 9},          /* beyond the record */
        {.size = 32, .captured = UINT32_MAX}, /* a sum would wrap */
        {.size = UINT32_MAX - 7},             /* beyond the ring */
        {.size = TAP_RING_BYTES + 8},         /* the same */
        {.size = 64, .captured = 40},         /* beyond what has been written */
    };

    (void)state;
    use(0, "a");
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        start_at(0, 0);
        put(0, records[i], 32);
        assert_false(rings_oldest(&rings, &packet));
        assert_int_equal(rings.memory[0].tail, 0);
    }
}

static void test_record_beyond_the_end_of_the_ring(void **state)
{
    (void)state;
    use(0, "a");
    start_at(0, TAP_RING_BYTES - 32);
    put(0, (struct tap_record){.size = 64, .captured = 40}, 64);
    assert_false(rings_oldest(&rings, &packet));
}

static void test_impossible_positions(void **state)
{
    (void)state;
    use(0, "a");
    put_packet(0, 1, 1);
    rings.memory[0].head = TAP_RING_BYTES + 1ull;
    assert_false(rings_oldest(&rings, &packet));
    rings.memory[0].head = UINT64_MAX;
    assert_false(rings_oldest(&rings, &packet));
    /* A skip over more than there is would put the reader ahead of the writer. */
    start_at(0, 0);
    put(0, (struct tap_record){.direction = TAP_SKIP}, 8);
    assert_false(rings_oldest(&rings, &packet));
    assert_int_equal(rings.memory[0].tail, 0);
}

/* Only the reader's own position counts. */
static void test_tail_is_ours(void **state)
{
    (void)state;
    use(0, "a");
    put_packet(0, 1, 1);
    put_packet(0, 2, 2);
    rings.memory[0].tail = 123456;
    assert_next(0, 1);
    assert_int_equal(rings.memory[0].tail, 32);
}

/* A header that changes after it was checked: the copy holds, and so does the release. */
static void test_header_is_copied(void **state)
{
    (void)state;
    use(0, "a");
    put_packet(0, 1, 1);
    put_packet(0, 2, 2);
    assert_true(rings_oldest(&rings, &packet));
    memset(rings.memory[0].records, 0xff, sizeof(struct tap_record));
    assert_int_equal(packet.record.captured, 8);
    rings_release(&rings, &packet);
    assert_next(0, 2);
}

/* One ring that cannot be read keeps no other one waiting. */
static void test_others_go_on(void **state)
{
    (void)state;
    use(0, "bad");
    use(1, "good");
    put(0, (struct tap_record){.size = 1}, 32);
    put_packet(1, 1, 5);
    assert_next(1, 5);
}

static void test_names(void **state)
{
    char name[TAP_NAME_BYTES + 1];

    (void)state;
    use(0, "web lane 0");
    rings_name(&rings, 0, name);
    assert_string_equal(name, "web lane 0");
    memset(rings.memory[1].name, 'x', TAP_NAME_BYTES); /* not terminated */
    rings_name(&rings, 1, name);
    assert_int_equal(strlen(name), TAP_NAME_BYTES);
}

static void test_all_rings(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TAP_RINGS_MAX; i++)
        use(i, "x");
    assert_int_equal(rings_count(&rings), TAP_RINGS_MAX);
    rings.memory[TAP_RINGS_MAX - 1].lost = 42;
    assert_int_equal(rings_lost(&rings, TAP_RINGS_MAX - 1), 42);
}

#define RINGS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RINGS_TEST(test_empty),
        RINGS_TEST(test_oldest_first),
        RINGS_TEST(test_look_is_not_release),
        RINGS_TEST(test_around_the_end),
        RINGS_TEST(test_no_room_for_a_header),
        RINGS_TEST(test_up_to_the_end),
        RINGS_TEST(test_positions_wrap),
        RINGS_TEST(test_impossible_records),
        RINGS_TEST(test_record_beyond_the_end_of_the_ring),
        RINGS_TEST(test_impossible_positions),
        RINGS_TEST(test_tail_is_ours),
        RINGS_TEST(test_header_is_copied),
        RINGS_TEST(test_others_go_on),
        RINGS_TEST(test_names),
        RINGS_TEST(test_all_rings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
