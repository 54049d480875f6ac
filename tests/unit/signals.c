/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/support.h"

static struct event_loop loop;
static struct signals signals;
static unsigned printed;

static void print_stats(void *context)
{
    (*(unsigned *)context)++;
}

static int open_signals(void **state)
{
    (void)state;
    printed = 0;
    if (event_loop_init(&loop) < 0)
        return -1;
    return signals_open(&signals, &loop, print_stats, &printed);
}

static int close_signals(void **state)
{
    (void)state;
    close(signals.source.fd);
    event_loop_close(&loop);
    return 0;
}

static void stops_on(int number)
{
    assert_int_equal(event_wait(&loop, 0), 0);
    assert_false(signals.stop);
    assert_int_equal(kill(getpid(), number), 0);
    assert_int_equal(event_wait(&loop, -1), 0);
    assert_true(signals.stop);
    assert_int_equal(printed, 0);
}

static void test_term(void **state)
{
    (void)state;
    stops_on(SIGTERM);
}

static void test_int(void **state)
{
    (void)state;
    stops_on(SIGINT);
}

static void test_usr1(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(kill(getpid(), SIGUSR1), 0);
        assert_int_equal(event_wait(&loop, -1), 0);
        assert_int_equal(printed, i);
    }
    assert_int_equal(event_wait(&loop, 0), 0);
    assert_int_equal(printed, 3);
    assert_false(signals.stop);
}

/* Both wait when the loop comes round: each is its own event. */
static void test_two_at_once(void **state)
{
    (void)state;
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    while (printed == 0 || !signals.stop)
        assert_int_equal(event_wait(&loop, -1), 0);
    assert_int_equal(printed, 1);
}

static void test_ignored(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(kill(getpid(), SIGHUP), 0);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(write(ends[1], "x", 1), -1); /* SIGPIPE would end the test here */
    assert_int_equal(errno, EPIPE);
    close(ends[1]);
    assert_int_equal(event_wait(&loop, 0), 0);
    assert_false(signals.stop);
}

/* SIGHUP is an event of its own once somebody wants it. */
static void test_hangup(void **state)
{
    (void)state;
    assert_int_equal(signals_on_hangup(&signals, print_stats), 0);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(kill(getpid(), SIGHUP), 0);
        assert_int_equal(event_wait(&loop, -1), 0);
        assert_int_equal(printed, i);
    }
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(event_wait(&loop, -1), 0);
    assert_true(signals.stop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_term, open_signals, close_signals),
        cmocka_unit_test_setup_teardown(test_int, open_signals, close_signals),
        cmocka_unit_test_setup_teardown(test_usr1, open_signals, close_signals),
        cmocka_unit_test_setup_teardown(test_two_at_once, open_signals, close_signals),
        cmocka_unit_test_setup_teardown(test_hangup, open_signals, close_signals),
        cmocka_unit_test_setup_teardown(test_ignored, open_signals, close_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
