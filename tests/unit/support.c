/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/support.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/clock.h"

bool support_own_netns(void)
{
    struct netdev netdev = {0};

    if (unshare(CLONE_NEWNET) < 0) {
        printf("skipped: no network namespace of its own: %s\n", strerror(errno));
        return false;
    }
    if (netdev_open(&netdev) < 0 || netdev_set_up(&netdev, netdev_index("lo"), true) < 0) {
        printf("skipped: loopback cannot be brought up\n");
        return false;
    }
    netdev_close(&netdev);
    return true;
}

/* ---- output ---- */

static int capture_file = -1, capture_saved, capture_target;

void support_capture_begin(int fd)
{
    fflush(NULL);
    capture_file = memfd_create("captured", MFD_CLOEXEC);
    capture_target = fd;
    capture_saved = dup(fd);
    if (capture_file < 0 || capture_saved < 0 || dup2(capture_file, fd) < 0)
        abort();
}

const char *support_capture_end(void)
{
    static char text[256 * 1024];

    fflush(NULL);
    dup2(capture_saved, capture_target);
    close(capture_saved);
    ssize_t length = pread(capture_file, text, sizeof(text) - 1, 0);
    close(capture_file);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

/* ---- processes and files ---- */

unsigned support_open_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    while (directory != NULL && readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 3; /* ".", "..", and the directory's own */
}

static char directory_name[32];
static pid_t directory_owner;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    remove(path);
    return 0;
}

static void remove_directory(void)
{
    if (directory_owner == getpid())
        nftw(directory_name, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

const char *support_directory(void)
{
    if (directory_name[0] == '\0') {
        strcpy(directory_name, "/tmp/causeway-unit-XXXXXX");
        if (mkdtemp(directory_name) == NULL)
            abort();
        directory_owner = getpid();
        atexit(remove_directory);
    }
    return directory_name;
}

const char *support_path(const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/%s", support_directory(), name);
    return path;
}

int support_in_child(int (*run)(void *context), void *context)
{
    int status = 0;

    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        int result = run(context);
        fflush(NULL);
        _exit(result);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- devices ---- */

static bool is_running(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    int result = ioctl(fd, SIOCGIFFLAGS, &request);
    close(fd);
    return result == 0 && request.ifr_flags & IFF_RUNNING;
}

struct support_pair support_veth(struct netdev *netdev, const char *name, const char *peer,
                                 uint32_t mtu)
{
    struct support_pair pair = {.mac = {{2, 0, 0, 0, 0, 1}}, .peer_mac = {{2, 0, 0, 0, 0, 2}}};
    struct veth_spec spec = {
        .name = name,
        .peer = peer,
        .mac = pair.mac,
        .peer_mac = pair.peer_mac,
        .mtu = mtu,
        .alias = "causeway unit test",
    };

    assert_int_equal(netdev_veth_ensure(netdev, &spec), 0);
    pair.index = netdev_index(name);
    pair.peer_index = netdev_index(peer);
    assert_true(pair.index > 0 && pair.peer_index > 0);
    assert_int_equal(netdev_set_up(netdev, pair.index, true), 0);
    assert_int_equal(netdev_set_up(netdev, pair.peer_index, true), 0);
    WAIT_UNTIL(is_running(name) && is_running(peer));
    /* The kernel's linkwatch, which sets the flag, activates the queues before it gives up the
     * lock that this request waits for; before that they swallow what is sent. */
    assert_int_equal(netdev_set_up(netdev, pair.peer_index, true), 0);
    return pair;
}

void support_veth_delete(struct netdev *netdev, const char *name)
{
    assert_int_equal(netdev_delete(netdev, name, NULL), 0);
}

/* ---- waiting ---- */

uint64_t support_deadline(void)
{
    return clock_ms() + SUPPORT_PATIENCE_MS;
}

bool support_wait(uint64_t deadline, const char *condition)
{
    if (clock_ms() >= deadline)
        fail_msg("never came true: %s", condition);
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return true;
}
