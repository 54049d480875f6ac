/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/support.h"

static struct event_loop loop;
static struct notify notify;
static char name[64]; /* as it stands in NOTIFY_SOCKET */
static int manager;   /* the service manager's end */
static struct failure failure;

static int listen_as_manager(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)state;
    snprintf(name, sizeof(name), "@causeway-notify-%d", getpid());
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    if (manager < 0 || bind(manager, (struct sockaddr *)&address, length) < 0 ||
        event_loop_init(&loop) < 0)
        return -1;
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return setenv("NOTIFY_SOCKET", name, 1);
}

static int stop_manager(void **state)
{
    (void)state;
    notify_close(&notify);
    event_loop_close(&loop);
    close(manager);
    return unsetenv("NOTIFY_SOCKET");
}

static void told(const char *expected)
{
    char text[512];
    ssize_t length = recv(manager, text, sizeof(text) - 1, 0);

    assert_true(length > 0);
    text[length] = '\0';
    assert_string_equal(text, expected);
}

static void told_nothing(void)
{
    char text[512];

    assert_int_equal(recv(manager, text, sizeof(text), MSG_DONTWAIT), -1);
}

static void test_states(void **state)
{
    (void)state;
    assert_true(notify_open(&notify, &loop, &failure));
    notify_ready(&notify, "%u enclaves", 3u);
    told("READY=1\nSTATUS=3 enclaves");
    notify_status(&notify, "%s", "waiting");
    told("STATUS=waiting");
    notify_stopping(&notify);
    told("STOPPING=1");
    assert_int_equal(notify.watchdog.fd, -1);
}

static void test_environment_is_not_inherited(void **state)
{
    (void)state;
    setenv("WATCHDOG_USEC", "30000000", 1);
    assert_true(notify_open(&notify, &loop, &failure));
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
}

static void test_watchdog_beats(void **state)
{
    (void)state;
    setenv("WATCHDOG_USEC", "20000", 1);
    assert_true(notify_open(&notify, &loop, &failure));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(event_wait(&loop, -1), 0);
        told("WATCHDOG=1");
    }
}

static void test_watchdog_of_another_process(void **state)
{
    (void)state;
    setenv("WATCHDOG_USEC", "20000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    assert_true(notify_open(&notify, &loop, &failure));
    assert_int_equal(notify.watchdog.fd, -1);
}

static void test_no_manager(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_true(notify_open(&notify, &loop, &failure));
    notify_ready(&notify, "unheard");
    told_nothing();
}

static void test_manager_gone(void **state)
{
    (void)state;
    setenv("NOTIFY_SOCKET", "@causeway-nobody-is-here", 1);
    assert_false(notify_open(&notify, &loop, &failure));
    assert_non_null(strstr(failure.text, "@causeway-nobody-is-here"));
    setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
    assert_false(notify_open(&notify, &loop, &failure));
}

/* A manager that does not read: its queue fills, and we go on. */
static void test_full_socket(void **state)
{
    (void)state;
    assert_true(notify_open(&notify, &loop, &failure));
    for (int i = 0; i < 10000; i++)
        notify_status(&notify, "%d", i);
    told("STATUS=0");
}

static void test_long_status_is_cut(void **state)
{
    char text[1024], heard[1024];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_true(notify_open(&notify, &loop, &failure));
    notify_ready(&notify, "%s", text);
    ssize_t length = recv(manager, heard, sizeof(heard), 0);
    assert_in_range(length, 200, 256);
    assert_memory_equal(heard, "READY=1\nSTATUS=xxx", 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_MANAGER(test) cmocka_unit_test_setup_teardown(test, listen_as_manager, stop_manager)
        WITH_MANAGER(test_states),         WITH_MANAGER(test_environment_is_not_inherited),
        WITH_MANAGER(test_watchdog_beats), WITH_MANAGER(test_watchdog_of_another_process),
        WITH_MANAGER(test_no_manager),     WITH_MANAGER(test_manager_gone),
        WITH_MANAGER(test_full_socket),    WITH_MANAGER(test_long_status_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
