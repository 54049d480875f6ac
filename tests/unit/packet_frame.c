/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/frame.h"

#include "packet/parse.h"
#include "tests/unit/packet_build.h"

static uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
static uint8_t *const payload = frame + FRAME_HEADER_BYTES;

/* Reads a copy that ends where its allocation ends. */
static enum frame_status get(const uint8_t *bytes, size_t length, struct frame_header *out)
{
    uint8_t *exact = malloc(length > 0 ? length : 1);
    memcpy(exact, bytes, length);
    enum frame_status status = frame_get(exact, length, out);
    free(exact);
    return status;
}

static enum frame_status status_of(struct frame_header header)
{
    struct frame_header out;
    frame_put(frame, &header);
    return get(frame, FRAME_HEADER_BYTES, &out);
}

static void header_bytes(void **state)
{
    (void)state;
    static const uint8_t expected[FRAME_HEADER_BYTES] = {0xdc, 0x05, 0, 0, 1, 1, 0xb4, 0x05};
    struct frame_header header = {
        .length = 1500, .type = FRAME_PACKET, .offload = {.gso_size = 1460, .flags = 1}};
    struct frame_header out;

    memset(frame, 0xff, sizeof(frame));
    frame_put(frame, &header);
    assert_memory_equal(frame, expected, sizeof(expected));
    assert_int_equal(frame[FRAME_HEADER_BYTES], 0xff); /* and not a byte more */
    assert_int_equal(get(frame, FRAME_HEADER_BYTES, &out), FRAME_OK);
    assert_int_equal(out.length, 1500);
    assert_int_equal(out.type, FRAME_PACKET);
    assert_int_equal(out.offload.gso_size, 1460);
    assert_int_equal(out.offload.flags, OFFLOAD_CHECKSUM_PARTIAL);
}

static void incomplete_header(void **state)
{
    (void)state;
    struct frame_header out;
    frame_put(frame, &(struct frame_header){.length = 20, .type = FRAME_PACKET});
    for (size_t length = 0; length < FRAME_HEADER_BYTES; length++)
        assert_int_equal(get(frame, length, &out), FRAME_MORE);
}

static void lengths(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        uint32_t length;
        enum frame_status status;
    } cases[] = {
        {FRAME_PACKET, 0, FRAME_LOST},     {FRAME_PACKET, 19, FRAME_LOST},
        {FRAME_PACKET, 20, FRAME_OK},      {FRAME_PACKET, 65535, FRAME_OK},
        {FRAME_PACKET, 65536, FRAME_LOST}, {FRAME_PACKET, UINT32_MAX, FRAME_LOST},
        {FRAME_HELLO, 0, FRAME_LOST},      {FRAME_HELLO, 1, FRAME_OK},
        {FRAME_PONG, 512, FRAME_OK},       {FRAME_PONG, 513, FRAME_LOST},
        {FRAME_CONFIG, 65535, FRAME_LOST}, {FRAME_REJECT, UINT32_MAX, FRAME_LOST},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(
            status_of((struct frame_header){.length = cases[i].length, .type = cases[i].type}),
            cases[i].status);
}

static void unknown_types(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        bool known = type >= FRAME_PACKET && type < FRAME_TYPE_END;
        assert_int_equal(status_of((struct frame_header){.length = 20, .type = (uint8_t)type}),
                         known ? FRAME_OK : FRAME_LOST);
    }
}

static void reserved_bytes_and_flags(void **state)
{
    (void)state;
    struct frame_header out;
    for (uint8_t type = FRAME_PACKET; type < FRAME_TYPE_END; type++)
        for (unsigned i = 8; i < FRAME_HEADER_BYTES; i++) {
            frame_put(frame, &(struct frame_header){.length = 20, .type = type});
            frame[i] = 1;
            assert_int_equal(get(frame, FRAME_HEADER_BYTES, &out), FRAME_LOST);
        }
    for (unsigned flags = 0; flags < 256; flags++)
        assert_int_equal(status_of((struct frame_header){
                             .length = 20, .type = FRAME_PACKET, .offload.flags = (uint8_t)flags}),
                         flags <= 1 ? FRAME_OK : FRAME_LOST);
    for (uint8_t type = FRAME_HELLO; type < FRAME_TYPE_END; type++) {
        assert_int_equal(
            status_of((struct frame_header){.length = 20, .type = type, .offload.flags = 1}),
            FRAME_LOST);
        assert_int_equal(
            status_of((struct frame_header){.length = 20, .type = type, .offload.gso_size = 256}),
            FRAME_LOST);
    }
}

/* ---- handshake ---- */

static const struct wire_hello hello = {.version = WIRE_VERSION,
                                        .session = 0x1122334455667788,
                                        .lane = 3,
                                        .lanes = 4,
                                        .attempt = 0xa1b2c3d4,
                                        .features = 1,
                                        .mtu = 1500};

static enum wire_error get_hello(size_t length, struct wire_hello *out)
{
    uint8_t *exact = malloc(length > 0 ? length : 1);
    memcpy(exact, payload, length);
    enum wire_error error = wire_get_hello(exact, length, out);
    free(exact);
    return error;
}

static void hello_bytes(void **state)
{
    (void)state;
    static const uint8_t expected[] = {
        0x20, 0,    0,    0,    FRAME_HELLO, 0,    0,    0,    0,    0,    0,    0,
        0,    0,    0,    0,    0,           0,    0,    0,    0,    0,    0,    0,
        'C',  'W',  'W',  'Y',  1,           0,    3,    4, /* 32 */
        0x88, 0x77, 0x66, 0x55, 0x44,        0x33, 0x22, 0x11, 0xd4, 0xc3, 0xb2, 0xa1,
        1,    0,    0,    0,    0xdc,        0x05, 0,    0,    0,    0,    0,    0};
    struct wire_hello out;

    assert_int_equal(wire_put_hello(frame, &hello), sizeof(expected));
    assert_memory_equal(frame, expected, sizeof(expected));
    assert_int_equal(get_hello(32, &out), WIRE_OK);
    assert_int_equal(out.version, hello.version);
    assert_true(out.session == hello.session);
    assert_int_equal(out.lane, 3);
    assert_int_equal(out.lanes, 4);
    assert_int_equal(out.attempt, hello.attempt);
    assert_int_equal(out.features, hello.features);
    assert_int_equal(out.mtu, hello.mtu);
}

static void hello_lengths(void **state)
{
    (void)state;
    struct wire_hello out;
    wire_put_hello(frame, &hello);
    for (size_t length = 0; length < 64; length++)
        if (length != 32)
            assert_int_equal(get_hello(length, &out), WIRE_LENGTH);
}

/* Another version is told as such whatever its length, so that it can be refused by name. */
static void hello_versions(void **state)
{
    (void)state;
    struct wire_hello out, other = hello;
    other.version = 2;
    wire_put_hello(frame, &other);
    for (size_t length = 6; length < 64; length++) {
        assert_int_equal(get_hello(length, &out), WIRE_VERSION_BAD);
        assert_int_equal(out.version, 2);
    }
    other.version = 0;
    wire_put_hello(frame, &other);
    assert_int_equal(get_hello(32, &out), WIRE_VERSION_BAD);
}

static void hello_ranges(void **state)
{
    (void)state;
    struct wire_hello out;
    for (unsigned i = 0; i < 4; i++) {
        wire_put_hello(frame, &hello);
        payload[i] ^= 0x20;
        assert_int_equal(get_hello(32, &out), WIRE_MAGIC_BAD);
    }
    for (unsigned i = 26; i < 32; i++) {
        wire_put_hello(frame, &hello);
        payload[i] = 1;
        assert_int_equal(get_hello(32, &out), WIRE_RANGE);
    }
    for (unsigned mtu = 0; mtu <= 65535; mtu++) {
        struct wire_hello h = hello;
        h.mtu = (uint16_t)mtu;
        wire_put_hello(frame, &h);
        assert_int_equal(wire_get_hello(payload, 32, &out),
                         mtu == 0 || mtu >= 1280 ? WIRE_OK : WIRE_RANGE);
    }
    for (unsigned lanes = 0; lanes < 256; lanes++)
        for (unsigned lane = 0; lane < 256; lane++) {
            struct wire_hello h = hello;
            h.lane = (uint8_t)lane;
            h.lanes = (uint8_t)lanes;
            wire_put_hello(frame, &h);
            assert_int_equal(wire_get_hello(payload, 32, &out),
                             lanes >= 1 && lanes <= 8 && lane < lanes ? WIRE_OK : WIRE_RANGE);
        }
}

static struct ip_addr addr(const char *text)
{
    struct ip_addr out;
    assert_true(addr_parse(text, &out));
    return out;
}

static struct wire_config full_config(void)
{
    return (struct wire_config){.lanes = 4,
                                .mtu = 1500,
                                .features = 1,
                                .address4 = addr("100.127.0.2"),
                                .gateway4 = addr("100.127.0.1"),
                                .address6 = addr("fd00:1::2"),
                                .gateway6 = addr("fd00:1::1"),
                                .dns_count = 2,
                                .dns = {addr("9.9.9.9"), addr("2620:fe::fe")}};
}

#define CONFIG_LENGTH 136

static enum wire_error get_config(size_t length, struct wire_config *out)
{
    uint8_t *exact = malloc(length > 0 ? length : 1);
    memcpy(exact, payload, length);
    enum wire_error error = wire_get_config(exact, length, out);
    free(exact);
    return error;
}

static void assert_same_config(const struct wire_config *a, const struct wire_config *b)
{
    assert_int_equal(a->lanes, b->lanes);
    assert_int_equal(a->mtu, b->mtu);
    assert_int_equal(a->features, b->features);
    assert_true(addr_equal(&a->address4, &b->address4));
    assert_true(addr_equal(&a->gateway4, &b->gateway4));
    assert_true(addr_equal(&a->address6, &b->address6));
    assert_true(addr_equal(&a->gateway6, &b->gateway6));
    assert_int_equal(a->dns_count, b->dns_count);
    for (unsigned i = 0; i < WIRE_MAX_DNS; i++)
        assert_true(addr_equal(&a->dns[i], &b->dns[i]));
}

static void config_bytes(void **state)
{
    (void)state;
    static const uint8_t expected[CONFIG_LENGTH] = {
        [0] = 4,  3, 0xdc,     0x05,        1,    0, 0,    0,           100,
        127,      0, 2,        100,         127,  0, 1,    [16] = 0xfd, 0,
        0,        1, [31] = 2, [32] = 0xfd, 0,    0, 1,    [47] = 1,    [48] = 2,
        [56] = 4, 0, 0,        0,           9,    9, 9,    9,           [76] = 6,
        0,        0, 0,        0x26,        0x20, 0, 0xfe, [95] = 0xfe};
    struct wire_config config = full_config(), out;

    assert_int_equal(wire_put_config(frame, &config), FRAME_HEADER_BYTES + CONFIG_LENGTH);
    assert_int_equal(frame[4], FRAME_CONFIG);
    assert_memory_equal(payload, expected, CONFIG_LENGTH);
    assert_int_equal(get_config(CONFIG_LENGTH, &out), WIRE_OK);
    assert_same_config(&out, &config);
}

static void config_of_one_family(void **state)
{
    (void)state;
    struct wire_config config = full_config(), out;
    config.address6 = config.gateway6 = (struct ip_addr){0};
    wire_put_config(frame, &config);
    assert_int_equal(get_config(CONFIG_LENGTH, &out), WIRE_OK);
    assert_int_equal(out.address6.version, 0);
    assert_int_equal(out.gateway6.version, 0);

    config = full_config();
    config.address4 = config.gateway4 = (struct ip_addr){0};
    config.dns_count = 0;
    wire_put_config(frame, &config);
    assert_int_equal(get_config(CONFIG_LENGTH, &out), WIRE_OK);
    assert_int_equal(out.address4.version, 0);
    assert_int_equal(out.dns_count, 0);
}

/* Of an absent family nothing may be there: one byte of address or gateway is refused. */
static void config_absent_family(void **state)
{
    (void)state;
    struct wire_config four = full_config(), six = full_config(), out;
    four.address6 = four.gateway6 = six.address4 = six.gateway4 = (struct ip_addr){0};
    for (unsigned i = 8; i < 48; i++) {
        wire_put_config(frame, i < 16 ? &six : &four);
        payload[i] = 1;
        assert_int_equal(get_config(CONFIG_LENGTH, &out), WIRE_RANGE);
    }
}

static void config_lengths(void **state)
{
    (void)state;
    struct wire_config config = full_config(), out;
    wire_put_config(frame, &config);
    for (size_t length = 0; length < 200; length++)
        assert_int_equal(get_config(length, &out), length == CONFIG_LENGTH ? WIRE_OK : WIRE_LENGTH);
}

/* Sets payload[at..at+count) to value in a good CONFIG, which must be refused then. */
static void config_refuses(unsigned at, unsigned count, uint8_t value)
{
    struct wire_config config = full_config(), out;
    wire_put_config(frame, &config);
    memset(payload + at, value, count);
    if (get_config(CONFIG_LENGTH, &out) != WIRE_RANGE)
        fail_msg("accepted %u bytes of %u at %u", count, value, at);
}

static void config_ranges(void **state)
{
    (void)state;
    config_refuses(0, 1, 0); /* lanes */
    config_refuses(0, 1, WIRE_MAX_LANES + 1);
    for (unsigned families = 0; families < 256; families++)
        if (families != 3)
            config_refuses(1, 1, (uint8_t)families); /* contradicts the addresses that are there */
    config_refuses(2, 2, 4);                         /* MTU 1028 */
    config_refuses(2, 2, 0);
    config_refuses(8, 4, 0);   /* address4 */
    config_refuses(12, 4, 0);  /* gateway4 */
    config_refuses(8, 8, 7);   /* the same twice */
    config_refuses(16, 16, 0); /* address6 */
    config_refuses(32, 16, 0); /* gateway6 */
    config_refuses(16, 32, 7); /* the same twice */
    config_refuses(48, 1, 5);  /* more resolvers than fit */
    config_refuses(48, 1, 3);  /* a resolver that is not there */
    config_refuses(48, 1, 1);  /* one behind the last */
    for (unsigned i = 49; i < 56; i++)
        config_refuses(i, 1, 1); /* reserved */
    for (unsigned family = 0; family < 256; family++)
        if (family != 4 && family != 6)
            config_refuses(56, 1, (uint8_t)family);
    for (unsigned i = 57; i < 60; i++)
        config_refuses(i, 1, 1);
    config_refuses(60, 4, 0); /* resolver 0.0.0.0 */
    for (unsigned i = 64; i < 76; i++)
        config_refuses(i, 1, 1); /* behind an IPv4 resolver */
    for (unsigned i = 96; i < CONFIG_LENGTH; i++)
        config_refuses(i, 1, 1); /* unused resolvers */
}

static void config_edges(void **state)
{
    (void)state;
    for (uint8_t lanes = 1; lanes <= WIRE_MAX_LANES; lanes++) {
        struct wire_config config = full_config(), out;
        config.lanes = lanes;
        wire_put_config(frame, &config);
        assert_int_equal(get_config(CONFIG_LENGTH, &out), WIRE_OK);
    }
    for (uint8_t count = 0; count <= WIRE_MAX_DNS; count++) {
        struct wire_config config = full_config(), out;
        config.dns_count = count;
        for (unsigned i = 0; i < count; i++)
            config.dns[i] = addr(i % 2 ? "9.9.9.9" : "2620:fe::9");
        wire_put_config(frame, &config);
        assert_int_equal(get_config(CONFIG_LENGTH, &out), WIRE_OK);
        assert_int_equal(out.dns_count, count);
    }
    struct wire_config many = full_config(), ignored;
    many.dns_count = WIRE_MAX_DNS + 1; /* the encoder reads and writes no fifth one */
    wire_put_config(frame, &many);
    assert_int_equal(get_config(CONFIG_LENGTH, &ignored), WIRE_RANGE);
    static const struct {
        uint16_t mtu;
        enum wire_error error;
    } cases[] = {{1279, WIRE_RANGE}, {1280, WIRE_OK}, {65535, WIRE_OK}};
    for (size_t i = 0; i < 3; i++) {
        struct wire_config config = full_config(), out;
        config.mtu = cases[i].mtu;
        wire_put_config(frame, &config);
        assert_int_equal(get_config(CONFIG_LENGTH, &out), cases[i].error);
    }
}

static void reject(void **state)
{
    (void)state;
    uint8_t reason;
    for (unsigned i = 0; i < 256; i++) {
        bool known = i >= WIRE_REJECT_VERSION && i < WIRE_REJECT_END;
        assert_int_equal(wire_put_reject(frame, (enum wire_reject_reason)i), 32);
        assert_int_equal(frame[4], FRAME_REJECT);
        assert_int_equal(wire_get_reject(payload, 8, &reason), known ? WIRE_OK : WIRE_RANGE);
        assert_int_equal(strcmp(wire_reject_name((uint8_t)i), "unknown") != 0, known);
        if (known)
            assert_int_equal(reason, i);
    }
    wire_put_reject(frame, WIRE_REJECT_FULL);
    for (size_t length = 0; length < 20; length++)
        if (length != 8)
            assert_int_equal(wire_get_reject(payload, length, &reason), WIRE_LENGTH);
    for (unsigned i = 1; i < 8; i++) {
        wire_put_reject(frame, WIRE_REJECT_FULL);
        payload[i] = 1;
        assert_int_equal(wire_get_reject(payload, 8, &reason), WIRE_RANGE);
    }
}

static void ping(void **state)
{
    (void)state;
    static const uint8_t expected[] = {8, 7, 6, 5, 4, 3, 2, 1};
    uint64_t token;
    assert_int_equal(wire_put_ping(frame, FRAME_PONG, 0x0102030405060708), 32);
    assert_int_equal(frame[4], FRAME_PONG);
    assert_memory_equal(payload, expected, 8);
    assert_int_equal(wire_get_ping(payload, 8, &token), WIRE_OK);
    assert_true(token == 0x0102030405060708);
    for (size_t length = 0; length < 20; length++)
        if (length != 8)
            assert_int_equal(wire_get_ping(payload, length, &token), WIRE_LENGTH);
}

/* What the encoders write is what frame_get() accepts, with the length they return. */
static void encoders_make_valid_frames(void **state)
{
    (void)state;
    struct wire_config config = full_config();
    for (unsigned i = 0; i < 4; i++) {
        struct frame_header out;
        size_t bytes = i == 0   ? wire_put_hello(frame, &hello)
                       : i == 1 ? wire_put_config(frame, &config)
                       : i == 2 ? wire_put_reject(frame, WIRE_REJECT_LANE)
                                : wire_put_ping(frame, FRAME_PING, 1);
        assert_int_equal(get(frame, FRAME_HEADER_BYTES, &out), FRAME_OK);
        assert_int_equal(out.length + FRAME_HEADER_BYTES, bytes);
        assert_true(out.length <= FRAME_CONTROL_MAX);
    }
}

static void every_error_has_a_name(void **state)
{
    (void)state;
    for (unsigned a = 0; a < WIRE_ERROR_COUNT; a++)
        assert_string_not_equal(wire_error_name((enum wire_error)a), "unknown");
    assert_string_equal(wire_error_name(WIRE_ERROR_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_bytes),
        cmocka_unit_test(incomplete_header),
        cmocka_unit_test(lengths),
        cmocka_unit_test(unknown_types),
        cmocka_unit_test(reserved_bytes_and_flags),
        cmocka_unit_test(hello_bytes),
        cmocka_unit_test(hello_lengths),
        cmocka_unit_test(hello_versions),
        cmocka_unit_test(hello_ranges),
        cmocka_unit_test(config_bytes),
        cmocka_unit_test(config_of_one_family),
        cmocka_unit_test(config_absent_family),
        cmocka_unit_test(config_lengths),
        cmocka_unit_test(config_ranges),
        cmocka_unit_test(config_edges),
        cmocka_unit_test(reject),
        cmocka_unit_test(ping),
        cmocka_unit_test(encoders_make_valid_frames),
        cmocka_unit_test(every_error_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
