/* SPDX-License-Identifier: Apache-2.0 */
/* AF_VSOCK is only parsed and printed here: what it does is for tests in a virtual machine. */
#include "runtime/base/link.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "tests/unit/support.h"

static struct link_addr parse(const char *text)
{
    struct link_addr addr;
    struct failure failure = {""};

    if (!link_parse(text, &addr, &failure))
        fail_msg("%s: %s", text, failure.text);
    return addr;
}

static void test_round_trip(void **state)
{
    static const char *const texts[] = {
        "vsock:3:5005",     "vsock:0:1",     "vsock:4294967294:4294967294", "vsock:any:7000",
        "unix:/run/a.sock", "unix:relative", "unix:/with:colons,and spaces"};
    char text[LINK_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct link_addr addr = parse(texts[i]);
        assert_ptr_equal(link_format(&addr, text), text);
        assert_string_equal(text, texts[i]);
    }
    assert_int_equal(parse("vsock:16:5").cid, 16);
    assert_int_equal(parse("vsock:16:5").port, 5);
    assert_int_equal(parse("vsock:any:5").cid, VMADDR_CID_ANY);
    assert_int_equal(parse("vsock:16:5").kind, LINK_VSOCK);
    assert_int_equal(parse("unix:x").kind, LINK_UNIX);
    assert_string_equal(parse("unix:x").path, "x");
}

static void assert_bad(const char *text, const char *sentence)
{
    struct link_addr addr = {.port = 4711};
    struct failure failure = {""};

    if (link_parse(text, &addr, &failure))
        fail_msg("%s was taken", text);
    assert_string_equal(failure.text, sentence);
    assert_int_equal(addr.port, 4711);
}

static void test_rejects(void **state)
{
    static const char *const vsock[] = {"vsock:",
                                        "vsock:3",
                                        "vsock:3:",
                                        "vsock::5",
                                        "vsock:3:0",
                                        "vsock:3:5:6",
                                        "vsock:-1:5",
                                        "vsock:Any:5",
                                        "vsock:3:any",
                                        "vsock: 3:5",
                                        "vsock:3:5 ",
                                        "vsock:4294967295:5",
                                        "vsock:3:4294967295",
                                        "vsock:12345678901234567:5"};
    static const char *const neither[] = {"", "3:5005", "tcp:1.2.3.4:5", "unix", "VSOCK:3:5"};

    (void)state;
    for (size_t i = 0; i < sizeof(vsock) / sizeof(vsock[0]); i++)
        assert_bad(vsock[i], "is not vsock:CID:PORT");
    for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++)
        assert_bad(neither[i], "is neither vsock:CID:PORT nor unix:PATH");
    assert_bad("unix:", "needs a path of 1 to 107 bytes");
}

/* The longest path that the kernel takes, and one more. */
static void test_path_length(void **state)
{
    char text[5 + 109], formatted[LINK_TEXT_BYTES];

    (void)state;
    memset(text, 'p', sizeof(text));
    memcpy(text, "unix:", 5);
    text[5 + 107] = '\0';
    struct link_addr addr = parse(text);
    assert_string_equal(link_format(&addr, formatted), text);
    text[5 + 107] = 'p';
    text[5 + 108] = '\0';
    assert_bad(text, "needs a path of 1 to 107 bytes");
}

static struct link_addr local(const char *name)
{
    struct link_addr addr = {.kind = LINK_UNIX};

    snprintf(addr.path, sizeof(addr.path), "%s", support_path(name));
    return addr;
}

static void assert_flags(int fd)
{
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void test_a_connection(void **state)
{
    struct link_addr addr = local("a");
    uint32_t cid = 5;
    char text[6] = "";

    (void)state;
    unsigned fds = support_open_fds();
    int listener = link_listen(&addr);
    assert_flags(listener);
    assert_int_equal(link_accept(listener, &addr, &cid), -EAGAIN);
    int dialled = link_dial(&addr);
    assert_flags(dialled);
    assert_int_equal(link_dial_result(dialled), 0);
    int accepted = link_accept(listener, &addr, &cid);
    assert_flags(accepted);
    assert_int_equal(cid, VMADDR_CID_ANY);
    assert_int_equal(send(dialled, "hello", 6, 0), 6);
    assert_int_equal(recv(accepted, text, 6, 0), 6);
    assert_string_equal(text, "hello");
    close(dialled);
    close(accepted);
    close(listener);
    assert_int_equal(support_open_fds(), fds);
}

/* A stream holds a full write and more, so that the sender need not wait for the receiver. */
static void test_buffer(void **state)
{
    struct link_addr addr = local("buffer");
    static char bytes[128 * 1024];
    uint32_t cid;

    (void)state;
    int listener = link_listen(&addr);
    int dialled = link_dial(&addr);
    int accepted = link_accept(listener, &addr, &cid);
    assert_int_equal(send(dialled, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(send(accepted, bytes, sizeof(bytes), 0), sizeof(bytes));
    close(dialled);
    close(accepted);
    close(listener);
}

static void test_mode(void **state)
{
    struct link_addr addr = local("mode");
    struct stat status;

    (void)state;
    mode_t before = umask(0);
    int listener = link_listen(&addr);
    mode_t after = umask(before);
    assert_true(listener >= 0);
    assert_int_equal(stat(addr.path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(after, 0);
    close(listener);
}

static void test_stale_file_is_replaced(void **state)
{
    struct link_addr addr = local("stale");

    (void)state;
    int listener = link_listen(&addr);
    assert_true(listener >= 0);
    close(listener);
    assert_int_equal(access(addr.path, F_OK), 0);
    assert_int_equal(link_dial(&addr), -ECONNREFUSED);
    listener = link_listen(&addr);
    assert_true(listener >= 0);
    int dialled = link_dial(&addr);
    assert_true(dialled >= 0);
    close(dialled);
    close(listener);
}

static void test_live_one_stays(void **state)
{
    struct link_addr addr = local("live");
    uint32_t cid;

    (void)state;
    int listener = link_listen(&addr);
    assert_true(listener >= 0);
    unsigned fds = support_open_fds();
    assert_int_equal(link_listen(&addr), -EADDRINUSE);
    assert_int_equal(support_open_fds(), fds);
    int probe = link_accept(listener, &addr, &cid); /* how the second one found out */
    assert_true(probe >= 0);
    close(probe);
    int dialled = link_dial(&addr);
    assert_int_equal(link_dial_result(dialled), 0);
    int accepted = link_accept(listener, &addr, &cid);
    assert_true(accepted >= 0);
    close(accepted);
    close(dialled);
    close(listener);
}

/* A listener that is too busy to take the probe is alive all the same. */
static void test_busy_one_stays(void **state)
{
    struct link_addr addr = local("busy");
    int dialled[1000], count = 0;

    (void)state;
    int listener = link_listen(&addr);
    assert_true(listener >= 0);
    while (count < 1000 && (dialled[count] = link_dial(&addr)) >= 0)
        count++;
    assert_in_range(count, 1, 999);
    assert_int_equal(dialled[count], -EAGAIN);
    assert_int_equal(link_listen(&addr), -EADDRINUSE);
    assert_int_equal(access(addr.path, F_OK), 0);
    while (count > 0)
        close(dialled[--count]);
    close(listener);
}

/* What is no socket is never removed. */
static void test_other_files_stay(void **state)
{
    struct link_addr addr = local("file");
    struct stat status;

    (void)state;
    int fd = open(addr.path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "mine", 4), 4);
    close(fd);
    assert_int_equal(link_listen(&addr), -EADDRINUSE);
    assert_int_equal(stat(addr.path, &status), 0);
    assert_int_equal(status.st_size, 4);

    struct link_addr pointer = local("pointer");
    assert_int_equal(symlink(addr.path, pointer.path), 0);
    assert_int_equal(link_listen(&pointer), -EADDRINUSE);
    assert_int_equal(lstat(pointer.path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
}

static void test_nobody_there(void **state)
{
    struct link_addr addr = local("nobody");

    (void)state;
    unsigned fds = support_open_fds();
    assert_int_equal(link_dial(&addr), -ENOENT);
    snprintf(addr.path, sizeof(addr.path), "/nonexistent/directory/socket");
    assert_int_equal(link_listen(&addr), -ENOENT);
    assert_int_equal(support_open_fds(), fds);
}

static void test_backoff(void **state)
{
    static const unsigned full[] = {50, 100, 200, 400, 800, 1600, 2000, 2000, 2000};

    (void)state;
    for (unsigned failures = 0; failures < sizeof(full) / sizeof(full[0]); failures++) {
        unsigned least = UINT32_MAX, most = 0;
        for (uint32_t random = 0; random < 5000; random++) {
            unsigned wait = link_backoff_ms(failures, random * 2654435761u);
            assert_in_range(wait, full[failures] / 2, full[failures]);
            least = wait < least ? wait : least;
            most = wait > most ? wait : most;
        }
        assert_int_equal(link_backoff_ms(failures, 0), full[failures]);
        /* The random share is used to the full. */
        assert_true(least <= full[failures] / 2 + full[failures] / 50);
        assert_true(most >= full[failures] - full[failures] / 50);
    }
    assert_in_range(link_backoff_ms(UINT32_MAX, UINT32_MAX), LINK_BACKOFF_MAX_MS / 2,
                    LINK_BACKOFF_MAX_MS);
}

static void test_write_max(void **state)
{
    struct failure failure = {""};
    unsigned bytes = 1;

    (void)state;
    assert_int_equal(link_write_max(LINK_VSOCK, LINK_WRITE_AUTOMATIC), 31 * 1024);
    assert_int_equal(link_write_max(LINK_UNIX, LINK_WRITE_AUTOMATIC), 128 * 1024);
    assert_int_equal(link_write_max(LINK_VSOCK, 65536), 65536);
    assert_true(link_write_max_parse("auto", &bytes, &failure));
    assert_int_equal(bytes, LINK_WRITE_AUTOMATIC);
    assert_true(link_write_max_parse("4096", &bytes, &failure));
    assert_int_equal(bytes, 4096);
    assert_true(link_write_max_parse("131072", &bytes, &failure));
    static const char *const bad[] = {"0", "4095", "131073", "", "31k", "-1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(link_write_max_parse(bad[i], &bytes, &failure));
        assert_string_equal(failure.text, "is neither auto nor 4096 to 131072 bytes");
        assert_int_equal(bytes, 131072);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_path_length),
        cmocka_unit_test(test_a_connection),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_mode),
        cmocka_unit_test(test_stale_file_is_replaced),
        cmocka_unit_test(test_live_one_stays),
        cmocka_unit_test(test_busy_one_stays),
        cmocka_unit_test(test_other_files_stay),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_write_max),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
