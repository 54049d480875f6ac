/* SPDX-License-Identifier: Apache-2.0 */
/* Every test enters the sandbox in a child and reports by its exit status: there is no way out. */
#include "runtime/base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/helper.h"
#include "runtime/lane/lane.h"
#include "runtime/lane/ring.h"
#include "runtime/host/packet_socket.h"
#include "tests/unit/support.h"

/* In a child: says where it went wrong and ends it. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(2, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);           \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static struct helper helper;

static void nothing(void *context)
{
    (void)context;
}

/* As the daemons do: the helper first, which makes the rings. */
static int enter(const char *user)
{
    struct helper_duties duties = {.cleanup = nothing, .make = ring_make};
    struct failure failure = {""};
    int listener = -1;

    if (ring_probe(&failure) && helper_start(&helper, &duties) == 0 &&
        (user == NULL || sandbox_change_user(user, &failure)) &&
        sandbox_enter(&sandbox_datapath, &listener, &failure) && listener >= 0 &&
        helper_listen(&helper, listener, &failure))
        return 0;
    dprintf(2, "%s\n", failure.text);
    return -1;
}

/* The value of a line of /proc/self/status. */
static const char *status_of(const char *key)
{
    static char text[8192], value[256];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, text, sizeof(text) - 1);

    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, key);
    if (line == NULL || sscanf(line + strlen(key), "%*[\t ]%255[^\n]", value) != 1)
        return "";
    return value;
}

static int only_two_capabilities(void *context)
{
    (void)context;
    CHECK(enter(NULL) == 0);
    /* 12 and 13: CAP_NET_ADMIN, CAP_NET_RAW */
    CHECK(strcmp(status_of("\nCapEff:"), "0000000000003000") == 0);
    CHECK(strcmp(status_of("\nCapPrm:"), "0000000000003000") == 0);
    CHECK(strcmp(status_of("\nCapInh:"), "0000000000000000") == 0);
    CHECK(strcmp(status_of("\nCapAmb:"), "0000000000000000") == 0);
    CHECK(strcmp(status_of("\nNoNewPrivs:"), "1") == 0);
    CHECK(strcmp(status_of("\nSeccomp:"), "2") == 0);
    return 0;
}

static int other_user(void *user)
{
    CHECK(enter(user) == 0);
    CHECK(strcmp(status_of("\nUid:"), "65534\t65534\t65534\t65534") == 0);
    CHECK(strncmp(status_of("\nGid:"), "65534\t65534", 11) == 0);
    CHECK(strcmp(status_of("\nGroups:"), "") == 0);
    CHECK(strcmp(status_of("\nCapEff:"), "0000000000003000") == 0);
    CHECK(strcmp(status_of("\nCapPrm:"), "0000000000003000") == 0);
    return 0;
}

static int forbidden_calls(void *context)
{
    char *const words[] = {(char *)"true", NULL};

    (void)context;
    CHECK(enter(NULL) == 0);
    CHECK(execve("/bin/true", words, words) == -1 && errno == EPERM);
    CHECK(syscall(SYS_execveat, -1, "/bin/true", words, words, 0) == -1 && errno == EPERM);
    CHECK(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1 && errno == EPERM);
    CHECK(mount("none", "/tmp", "tmpfs", 0, NULL) == -1 && errno == EPERM);
    CHECK(syscall(SYS_unshare, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_setns, -1, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_kill, getpid(), 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_setuid, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_bpf, 0, NULL, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_init_module, NULL, 0, "") == -1 && errno == EPERM);
    CHECK(syscall(SYS_renameat2, AT_FDCWD, "/a", AT_FDCWD, "/b", 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_fchmodat, AT_FDCWD, "/nonexistent", 0) == -1 && errno == EPERM);
    return 0;
}

/* A lane with nothing to carry: ring, thread, stream and stop. */
static int lane_works(void *context)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    uint32_t mtu = 1500;
    struct failure failure;
    int ends[2];

    (void)context;
    struct link_addr addr = {.kind = LINK_UNIX};
    snprintf(addr.path, sizeof(addr.path), "%s", support_path("sandboxed"));
    int listener = link_listen(&addr);
    CHECK(listener >= 0);
    CHECK(enter(NULL) == 0);
    CHECK(lane_probe(&failure));
    struct lane *lane = lane_new();
    CHECK(lane != NULL);
    int exit_fd = eventfd(0, EFD_CLOEXEC);
    int inject_fd = packet_socket_inject(1);
    CHECK(exit_fd >= 0 && inject_fd >= 0);
    CHECK(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, ends) == -1 && errno == EPERM);
    /* No socketpair: the daemons listen, accept and connect. */
    ends[1] = link_dial(&addr);
    uint32_t cid;
    ends[0] = link_accept(listener, &addr, &cid);
    CHECK(ends[0] >= 0 && ends[1] >= 0);
    struct lane_options options = {.name = "unit",
                                   .stream_fd = ends[0],
                                   .inject_fd = inject_fd,
                                   .capture_mtu = &mtu,
                                   .dead_ms = 60000};
    CHECK(lane_start(lane, &options, exit_fd) == 0);
    CHECK(fcntl(ends[1], F_SETFL, 0) == 0);
    size_t length = wire_put_ping(frame, FRAME_PING, 7);
    CHECK(send(ends[1], frame, length, 0) == (ssize_t)length);
    CHECK(recv(ends[1], frame, length, MSG_WAITALL) == (ssize_t)length);
    lane_stop(lane);
    CHECK(lane_join(lane) == LANE_STOPPED);
    lane_free(lane);
    return 0;
}

/* What the daemons still do once they are inside. */
static int daily_work(void *context)
{
    struct netdev netdev = {0};
    char byte;

    (void)context;
    CHECK(enter(NULL) == 0);
    CHECK(netdev_open(&netdev) == 0);
    CHECK(netdev_index("lo") == 1);
    CHECK(netdev_set_mtu(&netdev, 1, 32768) == 0);
    netdev_close(&netdev);
    int monitor = netdev_monitor_open();
    CHECK(monitor >= 0);
    int fd = open("/proc/sys/net/ipv4/ip_forward", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, &byte, 1) == 1);
    CHECK(fopen("/proc/net/dev", "re") != NULL);
    free(malloc(10 << 20));
    return 0;
}

/* A profile that keeps nothing: the smallest sandbox. */
static int nothing_kept(void *user)
{
    static const struct sandbox_profile profile = {.files_read_only = true,
                                                   .files_everywhere = true};
    char byte;
    struct failure failure;

    CHECK(user == NULL || sandbox_change_user(user, &failure));
    CHECK(sandbox_enter(&profile, NULL, &failure));
    CHECK(strcmp(status_of("\nCapEff:"), "0000000000000000") == 0);
    CHECK(strcmp(status_of("\nCapPrm:"), "0000000000000000") == 0);
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, &byte, 1) == 1);
    CHECK(open("/dev/null", O_WRONLY | O_CLOEXEC) == -1 && errno == EPERM);
    CHECK(open("/dev/null", O_RDWR | O_CLOEXEC) == -1 && errno == EPERM);
    CHECK(open(support_path("new"), O_RDONLY | O_CREAT, 0600) == -1 && errno == EPERM);
    CHECK(open("/dev/null", O_RDONLY | O_TRUNC) == -1 && errno == EPERM);
    CHECK(syscall(SYS_unlinkat, AT_FDCWD, support_path("new"), 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_io_uring_setup, 1, NULL) == -1 && errno == EPERM);
    CHECK(syscall(SYS_bind, 0, NULL, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_clone3, NULL, 0) == -1 && errno == EPERM);
    return 0;
}

static int no_such_user(void *context)
{
    struct failure failure = {""};

    (void)context;
    CHECK(!sandbox_change_user("no-such-user-here", &failure));
    CHECK(strcmp(failure.text, "no such user: no-such-user-here") == 0);
    return 0;
}

static int check_capabilities(void *context)
{
    struct failure failure = {""};

    (void)context;
    CHECK(sandbox_check_capabilities(&failure));
    CHECK(failure.text[0] == '\0');
    CHECK(setuid(65534) == 0);
    CHECK(!sandbox_check_capabilities(&failure));
    CHECK(strstr(failure.text, "CAP_NET_ADMIN and CAP_NET_RAW") != NULL);
    return 0;
}

/* Threads made later are inside, too. */
static void *try_exec(void *result)
{
    char *const words[] = {(char *)"true", NULL};

    *(bool *)result =
        execve("/bin/true", words, words) == -1 && errno == EPERM && syscall(SYS_unshare, 0) == -1;
    return NULL;
}

static int threads_inherit(void *context)
{
    pthread_t thread;
    bool refused = false;

    (void)context;
    CHECK(enter(NULL) == 0);
    CHECK(pthread_create(&thread, NULL, try_exec, &refused) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(refused);
    return 0;
}

#define CHILD_TEST(name, argument)                                                                 \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        assert_int_equal(support_in_child(name, argument), 0);                                     \
    }
CHILD_TEST(only_two_capabilities, NULL)
CHILD_TEST(other_user, (char *)"nobody")
CHILD_TEST(forbidden_calls, NULL)
CHILD_TEST(lane_works, NULL)
CHILD_TEST(daily_work, NULL)
CHILD_TEST(nothing_kept, (char *)"nobody")
CHILD_TEST(no_such_user, NULL)
CHILD_TEST(check_capabilities, NULL)
CHILD_TEST(threads_inherit, NULL)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_two_capabilities),
        cmocka_unit_test(test_other_user),
        cmocka_unit_test(test_forbidden_calls),
        cmocka_unit_test(test_lane_works),
        cmocka_unit_test(test_daily_work),
        cmocka_unit_test(test_nothing_kept),
        cmocka_unit_test(test_no_such_user),
        cmocka_unit_test(test_check_capabilities),
        cmocka_unit_test(test_threads_inherit),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    support_directory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
