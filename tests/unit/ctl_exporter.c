/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter as a process of its own, asked over TCP. */
#include "ctl/exporter.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/program.h"
#include "tests/unit/support.h"

#define PORT 9417

static void print(const void *context, FILE *out)
{
    fprintf(out, "page of %s\n", (const char *)context);
}

static pid_t start(const char *listen)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(exporter_serve(listen, print, "this test"));
    return pid;
}

static void stop(pid_t pid)
{
    int status;

    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
}

static int dial(bool v6)
{
    struct sockaddr_in in4 = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = in6addr_loopback};
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4,
                v6 ? sizeof(in6) : sizeof(in4)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The answer to a request, up to the end of the connection. */
static const char *ask(bool v6, const char *request)
{
    static char text[4096];
    size_t have = 0;
    ssize_t got;
    int fd = -1;

    for (uint64_t deadline = support_deadline();
         (fd = dial(v6)) < 0 && support_wait(deadline, "the exporter listens");)
        ;
    assert_true(send(fd, request, strlen(request), MSG_NOSIGNAL) > 0);
    while ((got = read(fd, text + have, sizeof(text) - 1 - have)) > 0)
        have += (size_t)got;
    close(fd);
    text[have] = '\0';
    return text;
}

#define REQUEST(method, path) method " " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void test_page(void **state)
{
    static const struct {
        const char *listen;
        bool v6;
    } rows[] = {{"127.0.0.1:9417", false}, {"[::1]:9417", true}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        pid_t pid = start(rows[i].listen);
        const char *answer = ask(rows[i].v6, REQUEST("GET", "/metrics"));
        assert_memory_equal(answer, "HTTP/1.1 200 ", 13);
        assert_contains(answer, "Content-Type: text/plain; version=0.0.4");
        assert_contains(answer, "\r\n\r\npage of this test\n");
        stop(pid);
    }
}

static void test_other_requests(void **state)
{
    pid_t pid = start("127.0.0.1:9417");

    (void)state;
    assert_memory_equal(ask(false, REQUEST("GET", "/")), "HTTP/1.1 404 ", 13);
    assert_memory_equal(ask(false, REQUEST("GET", "/metrics/")), "HTTP/1.1 404 ", 13);
    assert_memory_equal(ask(false, REQUEST("DELETE", "/metrics")), "HTTP/1.1 405 ", 13);
    assert_memory_equal(ask(false, REQUEST("GET", "/metrics")), "HTTP/1.1 200 ", 13);
    stop(pid);
}

static void test_addresses_that_are_none(void **state)
{
    static const char *const wrong[] = {
        "",
        ":",
        "9417",
        ":9417",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:1x",
        "::1:9417",
        "[::1]",
        "[::1:9417",
        "::1]:9417",
        "[]:9417",
        "[127.0.0.1]:9417",
        "localhost:9417",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        support_capture_begin(STDERR_FILENO);
        int status = exporter_serve(wrong[i], print, NULL);
        const char *text = support_capture_end();
        assert_int_equal(status, CTL_WRONG_USE);
        assert_contains(text, "is not ADDRESS:PORT");
    }
}

static void test_address_in_use(void **state)
{
    pid_t pid = start("127.0.0.1:9417");

    (void)state;
    ask(false, REQUEST("GET", "/metrics"));
    pid_t second = start("127.0.0.1:9417");
    int status;
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
    stop(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_other_requests),
        cmocka_unit_test(test_addresses_that_are_none),
        cmocka_unit_test(test_address_in_use),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
