/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/event.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/support.h"

struct probe {
    struct event_source source;
    struct event_loop *loop;
    struct probe *victim; /* removed and closed by the callback */
    unsigned calls;
    uint32_t events;
};

static void probe_ready(void *context, uint32_t events)
{
    struct probe *probe = context;

    probe->calls++;
    probe->events = events;
    if (probe->victim != NULL) {
        event_remove(probe->loop, &probe->victim->source);
        close(probe->victim->source.fd);
        memset(probe->victim, 0xff, sizeof(*probe->victim));
        free(probe->victim);
        probe->victim = NULL;
    }
}

static struct probe *probe_new(struct event_loop *loop, uint64_t value)
{
    struct probe *probe = calloc(1, sizeof(*probe));

    probe->loop = loop;
    probe->source = (struct event_source){
        .fd = eventfd((unsigned)value, EFD_NONBLOCK), .ready = probe_ready, .context = probe};
    assert_true(probe->source.fd >= 0);
    return probe;
}

static void probe_free(struct probe *probe)
{
    close(probe->source.fd);
    free(probe);
}

static void test_calls_back(void **state)
{
    struct event_loop loop;

    (void)state;
    assert_int_equal(event_loop_init(&loop), 0);
    struct probe *probe = probe_new(&loop, 0);
    assert_int_equal(event_add(&loop, &probe->source, EPOLLIN), 0);
    assert_int_equal(event_wait(&loop, 0), 0);
    assert_int_equal(probe->calls, 0);
    assert_int_equal(eventfd_write(probe->source.fd, 1), 0);
    assert_int_equal(event_wait(&loop, -1), 0);
    assert_int_equal(probe->calls, 1);
    assert_int_equal(probe->events, EPOLLIN);
    /* Level-triggered: what was not read comes again. */
    assert_int_equal(event_wait(&loop, -1), 0);
    assert_int_equal(probe->calls, 2);

    assert_int_equal(event_change(&loop, &probe->source, EPOLLOUT), 0);
    assert_int_equal(event_wait(&loop, -1), 0);
    assert_int_equal(probe->events, EPOLLOUT);
    event_remove(&loop, &probe->source);
    assert_int_equal(event_wait(&loop, 0), 0);
    assert_int_equal(probe->calls, 3);
    probe_free(probe);
    event_loop_close(&loop);
    assert_int_equal(loop.epoll_fd, -1);
}

/* Two are ready; whichever comes first frees the other, which must not be called any more. */
static void test_callback_frees_another(void **state)
{
    struct event_loop loop;

    (void)state;
    assert_int_equal(event_loop_init(&loop), 0);
    struct probe *a = probe_new(&loop, 1), *b = probe_new(&loop, 1);
    a->victim = b;
    assert_int_equal(event_add(&loop, &a->source, EPOLLIN), 0);
    assert_int_equal(event_add(&loop, &b->source, EPOLLIN), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(event_wait(&loop, 0), 0);
    assert_null(a->victim);
    assert_true(a->calls >= 2);
    probe_free(a);
    event_loop_close(&loop);
}

static void test_all_get_their_turn(void **state)
{
    struct event_loop loop;
    struct probe *probes[5];

    (void)state;
    assert_int_equal(event_loop_init(&loop), 0);
    for (int i = 0; i < 5; i++) {
        probes[i] = probe_new(&loop, 1);
        assert_int_equal(event_add(&loop, &probes[i]->source, EPOLLIN), 0);
    }
    for (int i = 0; i < 10; i++)
        assert_int_equal(event_wait(&loop, -1), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(probes[i]->calls, 2);
        probe_free(probes[i]);
    }
    event_loop_close(&loop);
}

static void test_hangup_is_told(void **state)
{
    struct event_loop loop;
    struct probe probe = {.loop = &loop};
    int ends[2];

    (void)state;
    assert_int_equal(event_loop_init(&loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    probe.source = (struct event_source){.fd = ends[0], .ready = probe_ready, .context = &probe};
    assert_int_equal(event_add(&loop, &probe.source, EPOLLIN), 0);
    close(ends[1]);
    assert_int_equal(event_wait(&loop, -1), 0);
    assert_int_equal(probe.calls, 1);
    assert_true(probe.events & EPOLLHUP);
    close(ends[0]);
    event_loop_close(&loop);
}

static void test_errors(void **state)
{
    struct event_loop loop;
    struct event_source closed = {.fd = -1};

    (void)state;
    assert_int_equal(event_loop_init(&loop), 0);
    assert_int_equal(event_add(&loop, &closed, EPOLLIN), -EBADF);
    assert_int_equal(event_change(&loop, &closed, EPOLLIN), -EBADF);
    event_remove(&loop, &closed);
    struct probe *probe = probe_new(&loop, 0);
    assert_int_equal(event_change(&loop, &probe->source, EPOLLIN), -ENOENT);
    assert_int_equal(event_add(&loop, &probe->source, EPOLLIN), 0);
    assert_int_equal(event_add(&loop, &probe->source, EPOLLIN), -EEXIST);
    probe_free(probe);
    event_loop_close(&loop);
    assert_int_equal(event_wait(&loop, 0), -EBADF);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

static void test_interrupted_is_no_error(void **state)
{
    struct sigaction action = {.sa_handler = on_alarm}, before;
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {0};
    struct event_loop loop;

    (void)state;
    assert_int_equal(event_loop_init(&loop), 0);
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    /* Without the signal this would wait for ever. */
    while (alarms == 0)
        assert_int_equal(event_wait(&loop, -1), 0);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    event_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_back),
        cmocka_unit_test(test_callback_frees_another),
        cmocka_unit_test(test_all_get_their_turn),
        cmocka_unit_test(test_hangup_is_told),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_interrupted_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
