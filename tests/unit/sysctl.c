/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of changed kernel settings, on the settings of a network namespace of our own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/host/sysctl.h"

#define FORWARD "net/ipv4/ip_forward"
#define RANGE   "net/ipv4/ip_local_port_range"

static char directory[] = "/tmp/causeway-sysctl-XXXXXX";
static char journal[64];

static void put(const char *setting, const char *value)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/sys/%s", setting);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(value, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect(const char *setting, const char *value)
{
    char path[128], now[64] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/sys/%s", setting);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(now, sizeof(now), file));
    fclose(file);
    now[strcspn(now, "\n")] = '\0';
    assert_string_equal(now, value);
}

static int setup(void **state)
{
    (void)state;
    unlink(journal);
    put(FORWARD, "0");
    put(RANGE, "20000 30000");
    return sysctl_journal_open(journal);
}

static void test_set_and_restore(void **state)
{
    (void)state;
    assert_int_equal(sysctl_set(FORWARD, "1"), 0);
    assert_int_equal(sysctl_set(RANGE, " 1024 65535\n"), 0);
    expect(FORWARD, "1");
    expect(RANGE, "1024\t65535");
    assert_int_equal(sysctl_restore_all(NULL, NULL), 0);
    expect(FORWARD, "0");
    expect(RANGE, "20000\t30000");
    assert_int_equal(access(journal, F_OK), -1);
}

static void test_equal_value_is_not_ours(void **state)
{
    (void)state;
    assert_int_equal(sysctl_set(FORWARD, "0"), 0);
    put(FORWARD, "1");
    assert_int_equal(sysctl_restore_all(NULL, NULL), 0);
    expect(FORWARD, "1");
}

static void test_changed_by_others_stays(void **state)
{
    (void)state;
    assert_int_equal(sysctl_set(RANGE, "1024 65535"), 0);
    put(RANGE, "5000 6000");
    assert_int_equal(sysctl_restore_all(NULL, NULL), 0);
    expect(RANGE, "5000\t6000");
}

/* Killed and started again: the first original counts, whatever was set in between. */
static void test_restart_keeps_first_original(void **state)
{
    (void)state;
    assert_int_equal(sysctl_set(RANGE, "1024 65535"), 0);
    assert_int_equal(sysctl_journal_open(journal), 0);
    assert_int_equal(sysctl_set(RANGE, "2048 65535"), 0);
    assert_int_equal(sysctl_journal_open(journal), 0);
    assert_int_equal(sysctl_restore_all(NULL, NULL), 0);
    expect(RANGE, "20000\t30000");
}

static void test_torn_and_foreign_lines(void **state)
{
    static const char torn[] = "nonsense\n" FORWARD "\t1\t0\t7\n" FORWARD "\t1";
    int fd = open(journal, O_WRONLY | O_APPEND);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, torn, sizeof(torn) - 1), sizeof(torn) - 1);
    close(fd);
    assert_int_equal(sysctl_journal_open(journal), 0);
    assert_int_equal(sysctl_set(FORWARD, "1"), 0);
    assert_int_equal(sysctl_journal_open(journal), 0);
    assert_int_equal(sysctl_restore_all(NULL, NULL), 0);
    expect(FORWARD, "0");
}

static void test_bad_arguments(void **state)
{
    (void)state;
    assert_int_equal(sysctl_set("net/ipv4/no_such_thing", "1"), -ENOENT);
    assert_int_equal(sysctl_set("net/../kernel/hostname", "x"), -EINVAL);
    assert_int_equal(sysctl_set("/net/ipv4/ip_forward", "1"), -EINVAL);
    assert_int_equal(sysctl_restore_all(NULL, NULL), 0);
    assert_int_equal(sysctl_set(FORWARD, "1"), -EBADF);
    assert_int_equal(sysctl_restore_all(NULL, NULL), -EBADF);
}

static bool is_nobody(const char *ifname)
{
    (void)ifname;
    return false;
}

static bool is_default(const char *ifname)
{
    return strcmp(ifname, "default") == 0;
}

static void test_router_advertisements(void **state)
{
    (void)state;
    if (access("/proc/sys/net/ipv6/conf/lo/accept_ra", F_OK) < 0)
        skip();
    put("net/ipv6/conf/lo/accept_ra", "1");
    put("net/ipv6/conf/default/accept_ra", "1");
    assert_int_equal(sysctl_keep_router_advertisements(is_nobody), 0);
    expect("net/ipv6/conf/lo/accept_ra", "2");
    expect("net/ipv6/conf/default/accept_ra", "2");
    assert_int_equal(sysctl_restore_all(NULL, NULL), 0);
    expect("net/ipv6/conf/lo/accept_ra", "1");
    expect("net/ipv6/conf/default/accept_ra", "1");
}

static void test_who_wants_no_router_advertisements(void **state)
{
    (void)state;
    if (access("/proc/sys/net/ipv6/conf/lo/accept_ra", F_OK) < 0)
        skip();
    put("net/ipv6/conf/lo/accept_ra", "0");
    put("net/ipv6/conf/default/accept_ra", "1");
    assert_int_equal(sysctl_keep_router_advertisements(is_default), 0);
    expect("net/ipv6/conf/lo/accept_ra", "0");
    expect("net/ipv6/conf/default/accept_ra", "1");
}

/* What was right is not written; what somebody takes is set again, and theirs is put back. */
static void test_held(void **state)
{
    (void)state;
    put(FORWARD, "1");
    assert_int_equal(sysctl_hold(FORWARD, "1"), 0);
    assert_int_equal(sysctl_hold(FORWARD, "1"), 0);
    put(FORWARD, "0");
    assert_int_equal(sysctl_hold(FORWARD, "1"), 2);
    expect(FORWARD, "1");
    assert_int_equal(sysctl_journal_open(journal), 0); /* the next life, after kill -9 */
    assert_int_equal(sysctl_restore_all(NULL, NULL), 0);
    expect(FORWARD, "0");
}

static void test_held_and_taken_later(void **state)
{
    (void)state;
    put(FORWARD, "0");
    assert_int_equal(sysctl_hold(FORWARD, "1"), 1);
    assert_int_equal(sysctl_hold(FORWARD, "1"), 0);
    put(FORWARD, "2");
    assert_int_equal(sysctl_hold(FORWARD, "1"), 2);
    assert_int_equal(sysctl_restore_all(NULL, NULL), 0);
    expect(FORWARD, "2");
}

static bool needed(const char *path, void *context)
{
    return strcmp(path, context) == 0;
}

static void test_what_others_need_stays(void **state)
{
    char path[] = FORWARD;

    (void)state;
    put(FORWARD, "0");
    assert_int_equal(sysctl_set(FORWARD, "1"), 0);
    assert_int_equal(sysctl_restore_all(needed, path), 0);
    expect(FORWARD, "1");
    assert_int_equal(access(journal, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_set_and_restore, setup),
        cmocka_unit_test_setup(test_equal_value_is_not_ours, setup),
        cmocka_unit_test_setup(test_changed_by_others_stays, setup),
        cmocka_unit_test_setup(test_restart_keeps_first_original, setup),
        cmocka_unit_test_setup(test_torn_and_foreign_lines, setup),
        cmocka_unit_test_setup(test_bad_arguments, setup),
        cmocka_unit_test_setup(test_router_advertisements, setup),
        cmocka_unit_test_setup(test_who_wants_no_router_advertisements, setup),
        cmocka_unit_test_setup(test_held, setup),
        cmocka_unit_test_setup(test_held_and_taken_later, setup),
        cmocka_unit_test_setup(test_what_others_need_stays, setup),
    };
    int failed;

    if (unshare(CLONE_NEWNET) < 0) {
        printf("no network namespace of our own: %s\n", strerror(errno));
        return 77;
    }
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(journal, sizeof(journal), "%s/journal", directory);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(journal);
    rmdir(directory);
    return failed;
}
