/* SPDX-License-Identifier: Apache-2.0 */
/* The client of control sockets, against a daemon that is a thread of this test. */
#include "ctl/client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/base/control_request.h"
#include "tests/unit/support.h"

/* Answers one request: in pieces, with a descriptor if passed is not -1. */
struct daemon {
    int listener, passed;
    const char *pieces[3];
    char request[256];
    pthread_t thread;
};
static struct daemon server;
static struct failure failure;

static void send_piece(int fd, const char *piece, int passed)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {(void *)piece, strlen(piece)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (passed >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        *head = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(head), &passed, sizeof(passed));
    }
    sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void *serve(void *context)
{
    size_t have = 0;
    int fd = accept(server.listener, NULL, NULL);

    (void)context;
    while (have == 0 || server.request[have - 1] != '\n') {
        ssize_t got = read(fd, server.request + have, sizeof(server.request) - 1 - have);
        if (got <= 0)
            break;
        have += (size_t)got;
    }
    for (int i = 0; i < 3 && server.pieces[i] != NULL; i++)
        send_piece(fd, server.pieces[i], i == 0 ? server.passed : -1);
    close(fd);
    return NULL;
}

static struct json_object *ask(int *connection, int *passed_fd)
{
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
    failure.text[0] = '\0';
    struct json_object *answer =
        client_request(support_path("sock"), "status", connection, passed_fd, &failure);
    pthread_join(server.thread, NULL);
    return answer;
}

static int set_up(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)state;
    server = (struct daemon){.passed = -1};
    strcpy(address.sun_path, support_path("sock"));
    unlink(address.sun_path);
    server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(server.listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
           listen(server.listener, 4) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    return close(server.listener);
}

static void test_answer(void **state)
{
    (void)state;
    server.pieces[0] = "{\"ok\":true,\"pid\":7}\n";
    struct json_object *answer = ask(NULL, NULL);
    assert_non_null(answer);
    assert_int_equal(json_object_get_int(json_object_object_get(answer, "pid")), 7);
    assert_string_equal(server.request, "status\n");
    json_object_put(answer);
}

static void test_pieces(void **state)
{
    (void)state;
    server.pieces[0] = "{\"ok\"";
    server.pieces[1] = ":tr";
    server.pieces[2] = "ue}\n";
    struct json_object *answer = ask(NULL, NULL);
    assert_non_null(answer);
    json_object_put(answer);
}

static void test_large_answer(void **state)
{
    char *text = malloc(3 << 20);

    (void)state;
    size_t length = (size_t)sprintf(text, "{\"ok\":true,\"x\":\"");
    memset(text + length, 'y', 2 << 20);
    strcpy(text + length + (2 << 20), "\"}\n");
    server.pieces[0] = text;
    struct json_object *answer = ask(NULL, NULL);
    assert_non_null(answer);
    assert_int_equal(json_object_get_string_len(json_object_object_get(answer, "x")), 2 << 20);
    json_object_put(answer);
    free(text);
}

static void test_refusal(void **state)
{
    (void)state;
    server.pieces[0] = "{\"ok\":false,\"error\":\"publish: no\"}\n";
    assert_null(ask(NULL, NULL));
    assert_string_equal(failure.text, "publish: no");
}

static void test_nonsense(void **state)
{
    static const char *const answers[] = {
        "\n",
        "{\n",
        "nonsense\n",
        "[]\n",
        "7\n",
        "null\n",
        "{}\n",
        "{\"ok\":false}\n",
        "{\"ok\":false,\"error\":5}\n",
        "{\"ok\":true}" /* no end of the line */,
        NULL,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        server.pieces[0] = answers[i];
        assert_null(ask(NULL, NULL));
        assert_non_null(strstr(failure.text, "/sock: the daemon gives no answer"));
    }
}

static void test_descriptor_and_connection(void **state)
{
    int ends[2], connection = -1, passed = -1;
    unsigned open_before = support_open_fds();

    (void)state;
    assert_int_equal(pipe(ends), 0);
    server.pieces[0] = "{\"ok\":true}\n";
    server.passed = ends[1];
    struct json_object *answer = ask(&connection, &passed);
    assert_non_null(answer);
    assert_true(connection >= 0 && passed >= 0);
    assert_int_equal(write(passed, "x", 1), 1);
    assert_int_equal(read(ends[0], (char[1]){0}, 1), 1);
    assert_true(fcntl(passed, F_GETFD) & FD_CLOEXEC);
    json_object_put(answer);
    close(connection);
    close(passed);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(support_open_fds(), open_before);
}

/* Who does not want a descriptor does not keep it. */
static void test_unwanted_descriptor(void **state)
{
    unsigned open_before = support_open_fds();

    (void)state;
    server.pieces[0] = "{\"ok\":true}\n";
    server.passed = STDERR_FILENO;
    struct json_object *answer = ask(NULL, NULL);
    assert_non_null(answer);
    json_object_put(answer);
    assert_int_equal(support_open_fds(), open_before);
}

static void test_nobody_listens(void **state)
{
    char path[200];

    (void)state;
    assert_null(client_request(support_path("none"), "status", NULL, NULL, &failure));
    assert_non_null(strstr(failure.text, "/none: no daemon listens there"));
    assert_null(client_request("", "status", NULL, NULL, &failure));
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_null(client_request(path, "status", NULL, NULL, &failure));
    assert_non_null(strstr(failure.text, "is not the path of a socket"));
}

static void test_request_too_long(void **state)
{
    static char line[CONTROL_LINE_MAX + 1];

    (void)state;
    memset(line, 'x', sizeof(line) - 1);
    assert_null(client_request(support_path("sock"), line, NULL, NULL, &failure));
    assert_non_null(strstr(failure.text, "the request is longer than"));
}

#define CLIENT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(test_answer),
        CLIENT_TEST(test_pieces),
        CLIENT_TEST(test_large_answer),
        CLIENT_TEST(test_refusal),
        CLIENT_TEST(test_nonsense),
        CLIENT_TEST(test_descriptor_and_connection),
        CLIENT_TEST(test_unwanted_descriptor),
        CLIENT_TEST(test_nobody_listens),
        CLIENT_TEST(test_request_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
