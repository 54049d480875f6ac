/* SPDX-License-Identifier: Apache-2.0 */
/* A control socket and its clients on one thread. What takes the patience of seconds is in
 * tests/netns/test_control.py. */
#include "runtime/base/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/link.h"
#include "tests/unit/support.h"

static struct failure complaint;
static struct event_loop loop;
static struct control control;
static struct control_options options;
static char path[108];
static unsigned fds, closed_count;

static bool echo(void *context, const struct control_request *request, struct json *reply,
                 struct failure *failure)
{
    (void)context, (void)failure;
    json_text(reply, "word", request->words->word[1]);
    return true;
}

static bool refuse(void *context, const struct control_request *request, struct json *reply,
                   struct failure *failure)
{
    (void)request;
    json_text(reply, "half", "done");
    return failure_set(failure, "no: %s", (const char *)context);
}

static bool huge(void *context, const struct control_request *request, struct json *reply,
                 struct failure *failure)
{
    (void)context, (void)request, (void)failure;
    while (!reply->failed)
        json_text(reply, "more", "and more");
    return true;
}

static void note_closed(void *context)
{
    ++*(unsigned *)context;
}

static bool hold(void *context, const struct control_request *request, struct json *reply,
                 struct failure *failure)
{
    int fd = open(path, O_PATH | O_CLOEXEC);

    (void)context, (void)reply;
    if (control_hold(request, fd, note_closed, &closed_count))
        return true;
    close(fd);
    return failure_set(failure, "held already");
}

static const struct control_command commands[] = {
    {.name = "echo", .arguments = "WORD", .minimum = 1, .maximum = 1, .run = echo},
    {.name = "refuse", .run = refuse},
    {.name = "huge", .run = huge},
    {.name = "hold", .run = hold},
    {.name = NULL},
};

static int open_control(void **state)
{
    (void)state;
    fds = support_open_fds();
    closed_count = 0;
    snprintf(path, sizeof(path), "%.100s", support_path("control"));
    options = (struct control_options){.path = path};
    if (event_loop_init(&loop) < 0)
        return -1;
    return control_open(&control, &loop, &options, "/default", commands, (void *)"thanks",
                        &complaint)
               ? 0
               : -1;
}

static int close_control(void **state)
{
    (void)state;
    control_close(&control);
    control_remove(&options);
    event_loop_close(&loop);
    return support_open_fds() == fds && access(path, F_OK) < 0 ? 0 : -1;
}

static void pump(void)
{
    control_poll(&control);
    assert_int_equal(event_wait(&loop, 0), 0);
}

static int dial(void)
{
    struct link_addr address = {.kind = LINK_UNIX};

    memcpy(address.path, path, sizeof(path));
    int fd = link_dial(&address);
    assert_true(fd >= 0);
    return fd;
}

/* Sends text and reads until `lines` newlines have come, or the end. */
static const char *say(int fd, const char *text, unsigned lines)
{
    static char answer[4096];
    size_t have = 0, sent = 0, length = strlen(text);
    unsigned seen = 0;
    bool ended = false;

    WAIT_DOING(ended || (seen == lines && sent == length))
    {
        ssize_t done = sent < length ? send(fd, text + sent, length - sent, MSG_NOSIGNAL) : 0;
        sent += done > 0 ? (size_t)done : 0;
        for (int i = 0; i < 20; i++)
            pump();
        ssize_t got = recv(fd, answer + have, sizeof(answer) - 1 - have, 0);
        ended = got == 0 || (got < 0 && errno != EAGAIN);
        for (; got > 0; got--)
            seen += answer[have++] == '\n';
    }
    answer[have] = '\0';
    return answer;
}

static void test_requests(void **state)
{
    int fd = dial();

    (void)state;
    assert_string_equal(say(fd, "echo hello\n", 1), "{\"ok\":true,\"word\":\"hello\"}\n");
    assert_string_equal(say(fd, "echo a\necho b\n", 2),
                        "{\"ok\":true,\"word\":\"a\"}\n{\"ok\":true,\"word\":\"b\"}\n");
    assert_string_equal(say(fd, "ec", 0), "");
    assert_string_equal(say(fd, "ho c\n", 1), "{\"ok\":true,\"word\":\"c\"}\n");
    assert_int_equal(control.requests, 4);
    close(fd);
    WAIT_DOING(control.clients[0].source.fd < 0)
    {
        pump();
    }
}

static void test_refusals(void **state)
{
    int fd = dial();

    (void)state;
    assert_string_equal(say(fd, "refuse\n", 1), "{\"ok\":false,\"error\":\"no: thanks\"}\n");
    assert_string_equal(say(fd, "echo\n", 1), "{\"ok\":false,\"error\":\"echo needs: WORD\"}\n");
    assert_string_equal(say(fd, "refuse now\n", 1),
                        "{\"ok\":false,\"error\":\"refuse takes no arguments\"}\n");
    assert_string_equal(say(fd, "sing\n", 1),
                        "{\"ok\":false,\"error\":\"unknown command 'sing'\"}\n");
    assert_contains(say(fd, "\x01\n", 1), "a request is words of printable characters");
    assert_string_equal(say(fd, "huge\n", 1),
                        "{\"ok\":false,\"error\":\"the answer is too long\"}\n");
    assert_int_equal(control.bad_requests, 6);
    close(fd);
}

static void test_line_that_is_too_long(void **state)
{
    static char text[CONTROL_LINE_MAX + 1];
    int fd = dial();

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[CONTROL_LINE_MAX - 1] = '\n';
    assert_contains(say(fd, text, 1), "unknown command 'xxx");
    text[CONTROL_LINE_MAX - 1] = 'x';
    assert_string_equal(say(fd, text, 1), "");
    assert_int_equal(control.dropped, 1);
    close(fd);
}

static void test_held_clients_stay(void **state)
{
    int held = dial(), others[CONTROL_CLIENTS_MAX + 3];

    (void)state;
    assert_string_equal(say(held, "hold\n", 1), "{\"ok\":true}\n");
    assert_contains(say(held, "hold\n", 1), "held already");
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX + 3; i++) {
        others[i] = dial();
        assert_contains(say(others[i], "echo x\n", 1), "\"x\"");
    }
    assert_int_equal(control.evicted, 4);
    assert_int_equal(closed_count, 0);
    assert_contains(say(held, "echo still\n", 1), "still");
    close(held);
    WAIT_DOING(closed_count == 1)
    {
        pump();
    }
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX + 3; i++)
        close(others[i]);
}

static void test_handover(void **state)
{
    struct control second;
    struct stat status;

    (void)state;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    /* In use: an error; the default place: a warning. */
    assert_false(control_open(&second, &loop, &options, "/default", commands, NULL, &complaint));
    assert_contains(complaint.text, "--control: cannot listen on '");
    assert_contains(complaint.text, "Address already in use");
    support_capture_begin(2);
    assert_true(control_open(&second, &loop, &options, path, commands, NULL, &complaint));
    assert_contains(support_capture_end(), "cannot reach this daemon");
    assert_int_equal(second.listener.fd, -1);
    control_remove(&options); /* somebody listens */
    assert_int_equal(access(path, F_OK), 0);
    /* As after kill -9. */
    close(control.listener.fd);
    control.listener.fd = -1;
    assert_true(control_open(&control, &loop, &options, "/default", commands, NULL, &complaint));
}

static void test_none_and_abstract(void **state)
{
    struct control_options none = {.path = "none"}, name = {.path = "@causeway-unit-control"};
    struct control other;

    (void)state;
    assert_true(control_open(&other, &loop, &none, "/default", commands, NULL, &complaint));
    assert_int_equal(other.listener.fd, -1);
    control_close(&other);
    assert_true(control_open(&other, &loop, &name, "/default", commands, NULL, &complaint));
    assert_true(other.listener.fd >= 0);
    control_remove(&name);
    control_close(&other);
}

static void test_group(void **state)
{
    struct control_options grouped = {.path = path, .group = "no-such-group-here"};

    (void)state;
    control_close(&control);
    assert_false(control_open(&control, &loop, &grouped, "/default", commands, NULL, &complaint));
    assert_string_equal(complaint.text, "--control-group: no such group: no-such-group-here");
}

#define CONTROL_TEST(name) cmocka_unit_test_setup_teardown(name, open_control, close_control)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTROL_TEST(test_requests),
        CONTROL_TEST(test_refusals),
        CONTROL_TEST(test_line_that_is_too_long),
        CONTROL_TEST(test_held_clients_stay),
        CONTROL_TEST(test_handover),
        CONTROL_TEST(test_none_and_abstract),
        CONTROL_TEST(test_group),
    };
    log_init("unit", LOG_LEVEL_INFO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
