/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's door, with the test as every enclave: streams over Unix sockets, devices in a
 * network namespace of its own, all on one thread but the lanes.
 */
#include "parent/session.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "parent/enclave_device.h"
#include "runtime/base/link.h"
#include "tests/unit/support.h"
#include "tests/unit/words.h"

static struct event_loop loop;
static struct netdev netdev;
static struct parent_config config;
static struct sessions sessions;
static struct tap_table taps;
static struct link_addr door_a, door_b;
static unsigned fds;

static int open_server(void **state)
{
    static struct words words;
    char line[600], path_a[200];
    struct failure failure = {""};

    (void)state;
    fds = support_open_fds();
    snprintf(path_a, sizeof(path_a), "%s", support_path("a"));
    snprintf(line, sizeof(line),
             "--enclave unix:%s --enclave unix:%s --lanes 2 --dns 9.9.9.9 --dead-after 60", path_a,
             support_path("b"));
    words_split(&words, line);
    memset(&sessions, 0, sizeof(sessions));
    memset(&taps, 0, sizeof(taps));
    if (parent_config_read(&config, words.argc, words.argv, NULL, &failure) != OPTIONS_OK ||
        event_loop_init(&loop) < 0 || netdev_open(&netdev) < 0)
        return -1;
    sessions.loop = &loop;
    sessions.context =
        (struct enclave_context){.config = &config, .netdev = &netdev, .taps = &taps, .mtu = 1450};
    door_a = config.enclaves[0].link;
    door_b = config.enclaves[1].link;
    return sessions_open(&sessions, &failure) ? 0 : -1;
}

static int close_server(void **state)
{
    (void)state;
    sessions_stop(&sessions);
    for (unsigned i = 0; i < PENDING_MAX; i++)
        if (sessions.pending[i].entry != NULL)
            close(sessions.pending[i].source.fd);
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        for (unsigned k = 0; k < WIRE_MAX_LANES; k++)
            lane_free(sessions.enclaves[i].lanes[k].lane);
    close(sessions.lane_exit.fd);
    enclave_devices_remove();
    netdev_close(&netdev);
    event_loop_close(&loop);
    if (support_open_fds() != fds) {
        print_error("%u descriptors before, %u afterwards\n", fds, support_open_fds());
        return -1;
    }
    return 0;
}

static void pump(void)
{
    sessions_poll(&sessions);
    assert_int_equal(event_wait(&loop, 0), 0);
}
#define PUMP_UNTIL(condition)                                                                      \
    WAIT_DOING(condition)                                                                          \
    {                                                                                              \
        for (int pumped = 0; pumped < 20; pumped++)                                                \
            pump();                                                                                \
    }

/* ---- an enclave's end ---- */

struct client {
    int fd;
    struct frame_reader reader;
};

static struct client dial(const struct link_addr *door)
{
    struct client client = {.fd = link_dial(door)};

    assert_true(client.fd >= 0);
    return client;
}

static void hang_up(struct client *client)
{
    close(client->fd);
    client->fd = -1;
}

static void say(struct client *client, const void *bytes, size_t length)
{
    assert_int_equal(send(client->fd, bytes, length, MSG_NOSIGNAL), length);
}

static void say_hello(struct client *client, struct wire_hello hello)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];

    if (hello.version == 0)
        hello.version = WIRE_VERSION;
    say(client, frame, wire_put_hello(frame, &hello));
}

/* The next frame's type, PINGs apart; 0 when the stream was closed instead. */
static uint8_t answer(struct client *client)
{
    int result = 0;

    do {
        client->reader.have = 0;
        PUMP_UNTIL((result = frame_reader_read(&client->reader, client->fd)) != 0);
        if (result < 0) {
            assert_int_equal(result, -ECONNRESET);
            return 0;
        }
    } while (client->reader.header.type == FRAME_PING);
    return client->reader.header.type;
}

static struct wire_config expect_config(struct client *client)
{
    struct wire_config got;

    assert_int_equal(answer(client), FRAME_CONFIG);
    assert_int_equal(
        wire_get_config(frame_reader_payload(&client->reader), client->reader.header.length, &got),
        WIRE_OK);
    return got;
}

static void expect_reject(struct client *client, enum wire_reject_reason wanted)
{
    uint8_t reason;

    assert_int_equal(answer(client), FRAME_REJECT);
    assert_int_equal(wire_get_reject(frame_reader_payload(&client->reader),
                                     client->reader.header.length, &reason),
                     WIRE_OK);
    assert_string_equal(wire_reject_name(reason), wire_reject_name((uint8_t)wanted));
    assert_int_equal(answer(client), 0);
    hang_up(client);
}

static void expect_closed(struct client *client)
{
    assert_int_equal(answer(client), 0);
    hang_up(client);
}

/* Is the lane up, as its peer sees it? */
static void expect_alive(struct client *client)
{
    static uint64_t token = 100;
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    uint64_t back = 0;

    say(client, frame, wire_put_ping(frame, FRAME_PING, ++token));
    while (back != token) {
        assert_int_equal(answer(client), FRAME_PONG);
        wire_get_ping(frame_reader_payload(&client->reader), 8, &back);
    }
}

static struct client lane_up(const struct link_addr *door, uint64_t session, uint8_t lane,
                             uint32_t attempt)
{
    struct client client = dial(door);

    say_hello(&client, (struct wire_hello){
                           .session = session, .lane = lane, .lanes = 2, .attempt = attempt});
    expect_config(&client);
    return client;
}

static void refused_lane(uint64_t session, uint8_t lane, uint32_t attempt,
                         enum wire_reject_reason reason)
{
    struct client client = dial(&door_a);

    say_hello(&client, (struct wire_hello){
                           .session = session, .lane = lane, .lanes = 2, .attempt = attempt});
    expect_reject(&client, reason);
}

/* ---- tests ---- */

static void test_config(void **state)
{
    char text[ADDR_TEXT_BYTES];
    struct client client = dial(&door_a);

    (void)state;
    say_hello(&client, (struct wire_hello){.session = 77, .lanes = 8, .attempt = 1});
    struct wire_config got = expect_config(&client);
    assert_int_equal(got.lanes, 2); /* asked for 8, --lanes 2 */
    assert_int_equal(got.mtu, 1450);
    assert_string_equal(addr_format(&got.address4, text), "100.127.0.2");
    assert_string_equal(addr_format(&got.gateway4, text), "100.127.0.1");
    assert_string_equal(addr_format(&got.address6, text), "fdc5:7e1a:9b40::2");
    assert_string_equal(addr_format(&got.gateway6, text), "fdc5:7e1a:9b40::1");
    assert_int_equal(got.dns_count, 1);
    assert_string_equal(addr_format(&got.dns[0], text), "9.9.9.9");
    assert_true(netdev_index("cwin2") > 0 && netdev_index("cwout2") > 0);
    expect_alive(&client);
    hang_up(&client);
}

static void test_fewer_lanes_than_the_limit(void **state)
{
    struct client client = dial(&door_a);

    (void)state;
    say_hello(&client, (struct wire_hello){.session = 77, .lanes = 1, .attempt = 1});
    assert_int_equal(expect_config(&client).lanes, 1);
    refused_lane(77, 1, 2, WIRE_REJECT_LANE);
    expect_alive(&client);
    hang_up(&client);
}

static void test_second_lane(void **state)
{
    (void)state;
    struct client first = lane_up(&door_a, 77, 0, 1), second = lane_up(&door_a, 77, 1, 2);
    expect_alive(&first);
    expect_alive(&second);
    hang_up(&first);
    expect_alive(&second);
    hang_up(&second);
}

static void test_unknown_session(void **state)
{
    (void)state;
    refused_lane(77, 1, 1, WIRE_REJECT_SESSION); /* no lane 0 yet */
    refused_lane(0, 1, 1, WIRE_REJECT_SESSION);  /* as a fresh record has it */
    struct client first = lane_up(&door_a, 77, 0, 1);
    refused_lane(78, 1, 2, WIRE_REJECT_SESSION);
    expect_alive(&first);
    hang_up(&first);
    assert_int_equal(sessions.rejected, 3);
}

static void test_other_version(void **state)
{
    struct client client = dial(&door_a);

    (void)state;
    say_hello(&client, (struct wire_hello){.version = WIRE_VERSION + 1, .lanes = 1});
    expect_reject(&client, WIRE_REJECT_VERSION);
}

static void test_lane_out_of_range(void **state)
{
    (void)state;
    struct client first = lane_up(&door_a, 77, 0, 1);
    struct client client = dial(&door_a);
    say_hello(&client, (struct wire_hello){.session = 77, .lane = 2, .lanes = 8, .attempt = 9});
    expect_reject(&client, WIRE_REJECT_LANE);
    expect_alive(&first);
    hang_up(&first);
}

/* A later attempt at a lane takes the place of the earlier; an earlier or equal one does not. */
static void test_attempts(void **state)
{
    (void)state;
    struct client first = lane_up(&door_a, 77, 0, 5), second = lane_up(&door_a, 77, 1, 6);
    refused_lane(77, 0, 5, WIRE_REJECT_LANE);
    refused_lane(77, 0, 4, WIRE_REJECT_LANE);
    refused_lane(77, 1, 6, WIRE_REJECT_LANE);
    expect_alive(&first);
    struct client later = lane_up(&door_a, 77, 0, 7);
    expect_closed(&first);
    expect_alive(&later);
    expect_alive(&second); /* the other lane is not touched */
    struct client later_second = lane_up(&door_a, 77, 1, 8);
    expect_closed(&second);
    expect_alive(&later_second);
    hang_up(&later);
    hang_up(&later_second);
}

/* An ended lane may come back with whatever attempt: nothing is there to be replaced. */
static void test_lane_comes_back(void **state)
{
    (void)state;
    struct client first = lane_up(&door_a, 77, 0, 5);
    hang_up(&first);
    PUMP_UNTIL(!sessions.enclaves[0].lanes[0].running);
    first = lane_up(&door_a, 77, 0, 5);
    expect_alive(&first);
    hang_up(&first);
}

/* A restarted enclave does not wait for its dead streams, and finds its addresses again. */
static void test_new_session_replaces_the_old(void **state)
{
    (void)state;
    struct client first = lane_up(&door_a, 77, 0, 50), second = lane_up(&door_a, 77, 1, 51);
    int index = netdev_index("cwin2");
    struct client again = lane_up(&door_a, 78, 0, 1);
    expect_closed(&first);
    expect_closed(&second);
    refused_lane(77, 1, 60, WIRE_REJECT_SESSION);
    struct client again_second = lane_up(&door_a, 78, 1, 2);
    expect_alive(&again);
    expect_alive(&again_second);
    assert_int_equal(netdev_index("cwin2"), index);
    hang_up(&again);
    hang_up(&again_second);
}

static void test_enclaves_are_apart(void **state)
{
    char text[ADDR_TEXT_BYTES];

    (void)state;
    struct client a = lane_up(&door_a, 77, 0, 1), b = dial(&door_b);
    say_hello(&b, (struct wire_hello){.session = 77, .lanes = 1, .attempt = 1});
    struct wire_config got = expect_config(&b);
    assert_string_equal(addr_format(&got.address4, text), "100.127.0.3");
    assert_true(netdev_index("cwin3") > 0);
    expect_alive(&a);
    expect_alive(&b);
    hang_up(&a);
    hang_up(&b);
}

static void garbage(const void *bytes, size_t length)
{
    uint64_t before = sessions.bad_handshakes;
    struct client client = dial(&door_a);

    say(&client, bytes, length);
    expect_closed(&client);
    assert_int_equal(sessions.bad_handshakes, before + 1);
}

static void test_no_hello(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    struct wire_hello hello = {.version = WIRE_VERSION, .lanes = 1};

    (void)state;
    garbage("GET / HTTP/1.1\r\nHost: parent\r\n\r\n", 32);
    garbage(frame, wire_put_ping(frame, FRAME_PING, 1));
    garbage(frame, wire_put_reject(frame, WIRE_REJECT_FULL));
    frame_put(frame, &(struct frame_header){.length = 100, .type = FRAME_PACKET});
    garbage(frame, FRAME_HEADER_BYTES);
    size_t length = wire_put_hello(frame, &hello);
    frame[FRAME_HEADER_BYTES] ^= 1; /* magic */
    garbage(frame, length);
    hello.lanes = 0;
    garbage(frame, wire_put_hello(frame, &hello));
    hello.lanes = WIRE_MAX_LANES + 1;
    garbage(frame, wire_put_hello(frame, &hello));
    hello.lanes = 2;
    hello.lane = 2;
    garbage(frame, wire_put_hello(frame, &hello));
    hello.lane = 0;
    length = wire_put_hello(frame, &hello);
    frame[length - 1] = 1; /* reserved */
    garbage(frame, length);
    assert_int_equal(netdev_index("cwin2"), -ENODEV); /* nothing was made for any of them */
}

static void test_hello_byte_by_byte(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    struct wire_hello hello = {.version = WIRE_VERSION, .session = 77, .lanes = 1, .attempt = 1};
    size_t length = wire_put_hello(frame, &hello);
    struct client client = dial(&door_a);

    (void)state;
    for (size_t i = 0; i < length; i++) {
        say(&client, frame + i, 1);
        for (int k = 0; k < 3; k++)
            pump();
    }
    expect_config(&client);
    expect_alive(&client);
    hang_up(&client);
}

/* What stands behind the HELLO in the same write is the lane's. */
static void test_bytes_behind_the_hello(void **state)
{
    uint8_t frames[2 * (FRAME_HEADER_BYTES + FRAME_CONTROL_MAX)];
    struct wire_hello hello = {.version = WIRE_VERSION, .session = 77, .lanes = 1, .attempt = 1};
    size_t length = wire_put_hello(frames, &hello);
    struct client client = dial(&door_a);

    (void)state;
    length += wire_put_ping(frames + length, FRAME_PING, 4711);
    say(&client, frames, length);
    expect_config(&client);
    assert_int_equal(answer(&client), FRAME_PONG);
    hang_up(&client);
}

static void test_hangs_up_in_the_hello(void **state)
{
    struct client client = dial(&door_a);

    (void)state;
    say(&client, "\x20\0\0", 3);
    hang_up(&client);
    PUMP_UNTIL(sessions.bad_handshakes == 1);
    assert_int_equal(sessions_poll(&sessions), -1);
}

static void test_limit_of_pending(void **state)
{
    struct client clients[PENDING_PER_PEER], one_more, other;

    (void)state;
    for (int i = 0; i < PENDING_PER_PEER; i++)
        clients[i] = dial(&door_a);
    PUMP_UNTIL(sessions.accepted == PENDING_PER_PEER);
    one_more = dial(&door_a);
    expect_reject(&one_more, WIRE_REJECT_FULL);
    assert_int_equal(sessions.refused_peers, 1);
    other = lane_up(&door_b, 5, 0, 1); /* another enclave is not kept out */
    hang_up(&clients[0]);
    PUMP_UNTIL(sessions.bad_handshakes == 1);
    one_more = lane_up(&door_a, 6, 0, 1);
    for (int i = 1; i < PENDING_PER_PEER; i++)
        hang_up(&clients[i]);
    hang_up(&other);
    hang_up(&one_more);
    PUMP_UNTIL(sessions.bad_handshakes == PENDING_PER_PEER);
}

static void test_no_hello_in_time(void **state)
{
    (void)state;
    assert_int_equal(sessions_poll(&sessions), -1);
    struct client slow = dial(&door_a), quick = dial(&door_a);
    PUMP_UNTIL(sessions.accepted == 2);
    assert_in_range(sessions_poll(&sessions), 1, 5000);
    for (unsigned i = 0; i < PENDING_MAX; i++)
        if (sessions.pending[i].entry != NULL) {
            sessions.pending[i].deadline_ms = 1; /* as if the time were over, for one of them */
            break;
        }
    sessions_poll(&sessions);
    assert_int_equal(sessions.bad_handshakes, 1);
    hang_up(&slow);
    hang_up(&quick);
}

static bool device_has_mtu(const char *text)
{
    char all[2000] = "";
    FILE *pipe = popen("ip link show cwin2; ip link show cwout2", "r");

    assert_non_null(pipe);
    assert_true(fread(all, 1, sizeof(all) - 1, pipe) > 0);
    pclose(pipe);
    const char *first = strstr(all, text);
    return first != NULL && strstr(first + 1, text) != NULL;
}

static void test_mtu_is_pushed(void **state)
{
    (void)state;
    struct client first = lane_up(&door_a, 77, 0, 1), second = lane_up(&door_a, 77, 1, 2);
    sessions_settings_changed(&sessions, 1300);
    assert_int_equal(expect_config(&first).mtu, 1300);
    expect_alive(&first);
    expect_alive(&second);
    assert_true(device_has_mtu("mtu 1300 "));
    struct client again = lane_up(&door_a, 77, 0, 3);
    hang_up(&first);
    hang_up(&second);
    hang_up(&again);
}

/* The enclave's own limit holds for its session, whatever the uplink has. */
static void test_enclave_limits_the_mtu(void **state)
{
    (void)state;
    struct client first = dial(&door_a);
    say_hello(&first, (struct wire_hello){.session = 77, .lanes = 1, .attempt = 1, .mtu = 1290});
    assert_int_equal(expect_config(&first).mtu, 1290);
    assert_true(device_has_mtu("mtu 1290 "));
    sessions_settings_changed(&sessions, 9000);
    expect_alive(&first); /* and told nothing: nothing has changed for it */
    sessions_settings_changed(&sessions, 1280);
    assert_int_equal(expect_config(&first).mtu, 1280);
    assert_true(device_has_mtu("mtu 1280 "));
    sessions_settings_changed(&sessions, 1400);
    struct client again = dial(&door_a);
    say_hello(&again, (struct wire_hello){.session = 78, .lanes = 1, .attempt = 1});
    assert_int_equal(expect_config(&again).mtu, 1400);
    assert_true(device_has_mtu("mtu 1400 "));
    hang_up(&first);
    hang_up(&again);
}

/* The device was deleted under the daemon: the next session has one again. */
static void test_device_is_made_again(void **state)
{
    (void)state;
    struct client first = lane_up(&door_a, 77, 0, 1);
    assert_int_equal(netdev_delete(&netdev, "cwin2", NULL), 0);
    struct client again = lane_up(&door_a, 78, 0, 1);
    assert_true(netdev_index("cwin2") > 0);
    expect_alive(&again);
    hang_up(&first);
    hang_up(&again);
}

/* Records that vsock:any left behind are reused, configured enclaves' are not. */
static void test_records_of_gone_enclaves(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++) {
        struct enclave_entry any = {.name = "any"};
        char peer[LINK_TEXT_BYTES];
        snprintf(peer, sizeof(peer), "vsock:%u:1", 1000 + i);
        enclave_init(&sessions.enclaves[i], &sessions.context, &any, peer, 1000 + i);
    }
    struct client client = dial(&door_a);
    say_hello(&client, (struct wire_hello){.session = 7, .lanes = 1});
    expect_config(&client);
    unsigned of_any = 0, of_door = 0;
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++) {
        of_any += sessions.enclaves[i].index >= 1000;
        of_door += sessions.enclaves[i].index == config.enclaves[0].index;
    }
    assert_int_equal(of_any, PARENT_ENCLAVES_MAX - 1);
    assert_int_equal(of_door, 1);
    hang_up(&client);
    PUMP_UNTIL(!enclave_has_lanes(&sessions.enclaves[0]));

    /* All records are of configured indexes now: nothing is left to give. */
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        sessions.enclaves[i].index = config.enclaves[0].index;
    client = dial(&door_b);
    say_hello(&client, (struct wire_hello){.session = 8, .lanes = 1});
    expect_reject(&client, WIRE_REJECT_FULL);
    hang_up(&client);
}

static void test_door_is_taken(void **state)
{
    static struct sessions second;
    char expected[500];
    struct failure failure = {""};

    (void)state;
    memset(&second, 0, sizeof(second));
    second.loop = &loop;
    second.context = sessions.context;
    assert_false(sessions_open(&second, &failure));
    snprintf(expected, sizeof(expected), "cannot listen on unix:%s: %s", door_a.path,
             strerror(EADDRINUSE));
    assert_string_equal(failure.text, expected);
    close(second.lane_exit.fd);
}

static void test_stop_removes_the_doors(void **state)
{
    (void)state;
    assert_int_equal(access(door_a.path, F_OK), 0);
    struct client first = lane_up(&door_a, 77, 0, 1);
    sessions_stop(&sessions);
    sessions.listener_count = 0;
    assert_int_equal(access(door_a.path, F_OK), -1);
    assert_int_equal(access(door_b.path, F_OK), -1);
    expect_closed(&first);
}

static void test_stats(void **state)
{
    char text[16384] = "";

    (void)state;
    struct client first = lane_up(&door_a, 77, 0, 1);
    refused_lane(77, 0, 1, WIRE_REJECT_LANE);
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    sessions_print_stats(&sessions, out);
    fclose(out);
    assert_contains(text, "stats parent accepted=2 refused_peers=0 bad_handshakes=0 rejected=1\n");
    assert_contains(text, "stats peer=unix:/");
    assert_contains(text, "/a name=a lane=0 up=1 queue_dropped=0 captured_packets=0");
    hang_up(&first);
}

#define SERVER_TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_config),
        SERVER_TEST(test_fewer_lanes_than_the_limit),
        SERVER_TEST(test_second_lane),
        SERVER_TEST(test_unknown_session),
        SERVER_TEST(test_other_version),
        SERVER_TEST(test_lane_out_of_range),
        SERVER_TEST(test_attempts),
        SERVER_TEST(test_lane_comes_back),
        SERVER_TEST(test_new_session_replaces_the_old),
        SERVER_TEST(test_enclaves_are_apart),
        SERVER_TEST(test_no_hello),
        SERVER_TEST(test_hello_byte_by_byte),
        SERVER_TEST(test_bytes_behind_the_hello),
        SERVER_TEST(test_hangs_up_in_the_hello),
        SERVER_TEST(test_limit_of_pending),
        SERVER_TEST(test_no_hello_in_time),
        SERVER_TEST(test_mtu_is_pushed),
        SERVER_TEST(test_enclave_limits_the_mtu),
        SERVER_TEST(test_device_is_made_again),
        SERVER_TEST(test_records_of_gone_enclaves),
        SERVER_TEST(test_door_is_taken),
        SERVER_TEST(test_stop_removes_the_doors),
        SERVER_TEST(test_stats),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
