/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/files/follow.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "tests/unit/support.h"

static struct event_loop loop;
static struct follow *follow;
static unsigned changes;

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* As careful writers do. */
static void replace(const char *name, const char *text)
{
    char path[200];

    snprintf(path, sizeof(path), "%s", support_path(name));
    put(support_path("new"), text);
    assert_int_equal(rename(support_path("new"), path), 0);
}

static void on_change(void *context, const struct upstream_spec *specs, unsigned count)
{
    const struct upstream_spec *now;

    (void)context;
    assert_int_equal(follow_servers(follow, &now), count);
    assert_ptr_equal(now, specs);
    changes++;
}

static void start(const char *name)
{
    static char path[200];
    struct follow_config config = {.path = path, .changed = on_change};
    struct failure failure;

    snprintf(path, sizeof(path), "%s", support_path(name));
    changes = 0;
    assert_int_equal(event_loop_init(&loop), 0);
    follow = follow_open(&loop, &config, &failure);
    assert_non_null(follow);
}

static int stop(void **state)
{
    (void)state;
    follow_close(follow);
    follow = NULL;
    event_loop_close(&loop);
    return 0;
}

static bool has(const char *expected)
{
    const struct upstream_spec *specs;
    unsigned count = follow_servers(follow, &specs);
    char list[1000] = "", text[UPSTREAM_TEXT_BYTES];

    for (unsigned i = 0; i < count; i++) {
        strcat(list, i > 0 ? " " : "");
        strcat(list, upstream_format(&specs[i], text));
    }
    return strcmp(list, expected) == 0;
}

static void turn(void)
{
    event_wait(&loop, 20);
    follow_tick(follow, clock_ms());
}

#define UNTIL_IT_HAS(text) WAIT_DOING(has(text)) turn()

static void parse_is(const char *text, const char *own_text, const char *expected)
{
    struct upstream_spec specs[UPSTREAMS_MAX];
    struct ip_addr own[1] = {{0}};
    char list[1000] = "", one[UPSTREAM_TEXT_BYTES];
    unsigned own_count = own_text != NULL && addr_parse(own_text, &own[0]);
    unsigned count = follow_parse(text, own, own_count, specs);

    for (unsigned i = 0; i < count; i++) {
        strcat(list, i > 0 ? " " : "");
        strcat(list, upstream_format(&specs[i], one));
    }
    assert_string_equal(list, expected);
}

static void test_parsing(void **state)
{
    (void)state;
    parse_is("", NULL, "");
    parse_is("nameserver 192.0.2.1\n", NULL, "tcp://192.0.2.1:53");
    parse_is("nameserver 192.0.2.1", NULL, "tcp://192.0.2.1:53");
    parse_is("# nameserver 192.0.2.9\n;nameserver 192.0.2.8\nsearch example\n"
             "nameserver\t 192.0.2.1  # first\r\nnameserver 2001:db8::1\noptions edns0\n",
             NULL, "tcp://192.0.2.1:53 tcp://[2001:db8::1]:53");
    parse_is("nameserver\nnameserver \nnameserver name\nnameserver 0.0.0.0\nnameserver 224.0.0.1\n"
             "nameserver fe80::1%eth0\nnameserver192.0.2.1\n nameserver 192.0.2.2\n"
             "nameserver 192.0.2.1:99\n",
             NULL, "");
    parse_is("nameserver 127.0.0.53\nnameserver 192.0.2.1\n", "127.0.0.53", "tcp://192.0.2.1:53");
    parse_is("nameserver 127.0.0.53\nnameserver 192.0.2.1\n", "0.0.0.0", "tcp://192.0.2.1:53");
    parse_is("nameserver ::1\nnameserver 127.0.0.53\n", "::", "tcp://127.0.0.53:53");
    parse_is("nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
             "nameserver 192.0.2.4\nnameserver 192.0.2.5\nnameserver 192.0.2.6\n"
             "nameserver 192.0.2.7\nnameserver 192.0.2.8\nnameserver 192.0.2.9\n",
             NULL,
             "tcp://192.0.2.1:53 tcp://192.0.2.2:53 tcp://192.0.2.3:53 tcp://192.0.2.4:53 "
             "tcp://192.0.2.5:53 tcp://192.0.2.6:53 tcp://192.0.2.7:53 tcp://192.0.2.8:53");
}

static void test_replaced_and_written_in_place(void **state)
{
    (void)state;
    put(support_path("a"), "nameserver 192.0.2.1\n");
    start("a");
    assert_true(has("tcp://192.0.2.1:53"));
    assert_int_equal(changes, 0);
    replace("a", "nameserver 192.0.2.2\n");
    UNTIL_IT_HAS("tcp://192.0.2.2:53");
    put(support_path("a"), "nameserver 192.0.2.3\n");
    UNTIL_IT_HAS("tcp://192.0.2.3:53");
    assert_int_equal(changes, 2);
    replace("a", "nameserver 192.0.2.3\n# a comment more\n");
    for (unsigned i = 0; i < 5; i++)
        turn();
    assert_int_equal(changes, 2);
}

static void test_rests_when_nothing_happens(void **state)
{
    struct epoll_event event;

    (void)state;
    put(support_path("a"), "nameserver 192.0.2.1\n");
    start("a");
    replace("a", "nameserver 192.0.2.2\n");
    UNTIL_IT_HAS("tcp://192.0.2.2:53");
    for (unsigned i = 0; i < 3; i++)
        turn();
    assert_int_equal(epoll_wait(loop.epoll_fd, &event, 1, 0), 0);
    assert_int_equal(follow_timeout(follow, clock_ms()), -1);
}

/* As systemd-resolved does: a link to a file that is replaced elsewhere. */
static void test_symbolic_link(void **state)
{
    char link[200], other[200];

    (void)state;
    mkdir(support_path("run"), 0755);
    mkdir(support_path("other"), 0755);
    put(support_path("run/stub"), "nameserver 192.0.2.1\n");
    snprintf(link, sizeof(link), "%s", support_path("link"));
    assert_int_equal(symlink("run/stub", link), 0);
    start("link");
    assert_true(has("tcp://192.0.2.1:53"));
    replace("run/stub", "nameserver 192.0.2.2\n");
    UNTIL_IT_HAS("tcp://192.0.2.2:53");
    /* The link itself goes elsewhere, and that file is followed from then on. */
    put(support_path("other/file"), "nameserver 192.0.2.3\n");
    snprintf(other, sizeof(other), "%s", support_path("other/file"));
    assert_int_equal(symlink(other, support_path("new")), 0);
    assert_int_equal(rename(support_path("new"), link), 0);
    UNTIL_IT_HAS("tcp://192.0.2.3:53");
    replace("other/file", "nameserver 192.0.2.4\n");
    UNTIL_IT_HAS("tcp://192.0.2.4:53");
    unlink(link);
}

static void test_missing_file_and_directory(void **state)
{
    (void)state;
    start("later/file");
    assert_true(has(""));
    assert_true(follow_timeout(follow, clock_ms()) >= 0);
    mkdir(support_path("later"), 0755);
    put(support_path("later/file"), "nameserver 192.0.2.1\n");
    UNTIL_IT_HAS("tcp://192.0.2.1:53");
    /* Gone: what it said still holds. */
    unlink(support_path("later/file"));
    WAIT_DOING(follow_timeout(follow, clock_ms()) >= 0)
    turn();
    assert_true(has("tcp://192.0.2.1:53"));
    put(support_path("later/file"), "");
    UNTIL_IT_HAS("");
}

/* As in containers: the file is mounted over, its directory here never tells. */
static void test_bind_mount(void **state)
{
    char target[200];

    (void)state;
    put(support_path("source"), "nameserver 192.0.2.1\n");
    put(support_path("target"), "");
    snprintf(target, sizeof(target), "%s", support_path("target"));
    assert_int_equal(mount(support_path("source"), target, NULL, MS_BIND, NULL), 0);
    start("target");
    assert_true(has("tcp://192.0.2.1:53"));
    put(support_path("source"), "nameserver 192.0.2.2\n");
    UNTIL_IT_HAS("tcp://192.0.2.2:53");
    umount(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parsing),
        cmocka_unit_test_teardown(test_replaced_and_written_in_place, stop),
        cmocka_unit_test_teardown(test_rests_when_nothing_happens, stop),
        cmocka_unit_test_teardown(test_symbolic_link, stop),
        cmocka_unit_test_teardown(test_missing_file_and_directory, stop),
        cmocka_unit_test_teardown(test_bind_mount, stop),
    };

    /* Addresses and mounts of the test's own. */
    if (!support_own_netns() || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
