/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock, by its system calls (Documentation/userspace-api/landlock.rst): the C library has no
 * functions for them. A right that the kernel does not know is left out of what is handled; a
 * kernel without Landlock leaves files to the user and the capabilities.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/sandbox_private.h"

/* linux/landlock.h, as of ABI 6: older headers lack some. */
#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH      1
#define FS_EXECUTE             (1ULL << 0)
#define FS_WRITE_FILE          (1ULL << 1)
#define FS_READ_FILE           (1ULL << 2)
#define FS_READ_DIR            (1ULL << 3)
#define FS_REMOVE_FILE         (1ULL << 5)
#define FS_MAKE_DIR            (1ULL << 7)
#define FS_MAKE_REG            (1ULL << 8)
#define FS_MAKE_SOCK           (1ULL << 9)
#define FS_MAKE_SYM            (1ULL << 12)
#define FS_REFER               (1ULL << 13)
#define FS_TRUNCATE            (1ULL << 14)
#define FS_ABI(abi)                                                                                \
    ((abi) >= 5 ? 0xffffULL : (abi) >= 3 ? 0x7fffULL : (abi) == 2 ? 0x3fffULL : 0x1fffULL)
#define NET_TCP      3ULL        /* bind and connect; ABI 4 */
#define SCOPE_SIGNAL (1ULL << 1) /* ABI 6 */

struct ruleset_attr {
    uint64_t fs, net, scoped;
};

struct path_attr {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

struct ruleset {
    int fd;
    uint64_t handled;
    int error; /* errno of the first rule that could not be added */
};

#define READING (FS_READ_FILE | FS_READ_DIR)
#define WRITING (FS_WRITE_FILE | FS_TRUNCATE)
#define CHANGING                                                                                   \
    (WRITING | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK | FS_MAKE_SYM | FS_REFER)

/* 0: the kernel has none, or it is switched off. */
static int abi(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

    return version < 0 ? 0 : (int)version;
}

static bool begin(struct ruleset *set, int version, bool tcp, struct failure *failure)
{
    struct ruleset_attr attr = {
        .fs = FS_ABI(version),
        .net = version >= 4 && !tcp ? NET_TCP : 0,
        .scoped = version >= 6 ? SCOPE_SIGNAL : 0,
    };
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;

    *set = (struct ruleset){.handled = attr.fs};
    set->fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    return set->fd >= 0 || sandbox_fail(failure, "Landlock");
}

/* What is not there needs no rule. */
static void allow_fd(struct ruleset *set, int fd, uint64_t rights)
{
    struct stat status;
    struct path_attr attr = {.allowed = rights & set->handled, .parent_fd = fd};

    if (fstat(fd, &status) == 0 && !S_ISDIR(status.st_mode))
        attr.allowed &= FS_EXECUTE | FS_READ_FILE | WRITING;
    if (syscall(SYS_landlock_add_rule, set->fd, RULE_PATH_BENEATH, &attr, 0) < 0 && set->error == 0)
        set->error = errno;
}

static void allow(struct ruleset *set, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd < 0)
        return;
    allow_fd(set, fd, rights);
    close(fd);
}

/* Rules name inodes, and those below /proc/sys are made anew when the kernel has let go of them.
 * So this one stays open for good. */
static void allow_network_settings(struct ruleset *set)
{
    static int pinned = -1;

    if (pinned < 0)
        pinned = open("/proc/sys/net", O_PATH | O_CLOEXEC);
    if (pinned >= 0)
        allow_fd(set, pinned, READING | WRITING);
}

static bool finish(struct ruleset *set, struct failure *failure)
{
    bool good = set->error == 0 && syscall(SYS_landlock_restrict_self, set->fd, 0) == 0;

    if (set->error != 0)
        errno = set->error;
    if (!good)
        sandbox_fail(failure, "Landlock");
    close(set->fd);
    return good;
}

bool sandbox_landlock(const struct sandbox_profile *profile, struct failure *failure)
{
    struct ruleset set;
    int version = abi();

    if (version == 0)
        return true;
    if (!begin(&set, version, profile->network, failure))
        return false;
    allow(&set, profile->files_everywhere ? "/" : "/proc", READING);
    if (!profile->files_read_only)
        allow_network_settings(&set);
    return finish(&set, failure);
}

/* A folder that is not there yet is made by the helper: in the nearest that is. */
static void allow_folder(void *context, const char *folder)
{
    char path[PATH_MAX];
    struct stat status;

    if ((size_t)snprintf(path, sizeof(path), "%s", folder) >= sizeof(path))
        return;
    for (char *slash; stat(path, &status) < 0 && (slash = strrchr(path, '/')) != NULL;)
        slash[slash == path] = '\0';
    allow(context, path, READING | CHANGING);
}

bool sandbox_landlock_helper(const struct sandbox_profile *profile, sandbox_folders *folders,
                             const void *config, struct failure *failure)
{
    struct ruleset set;
    int version = abi();

    if (version == 0)
        return true;
    if (!begin(&set, version, true, failure))
        return false;
    allow(&set, "/", READING | FS_EXECUTE);
    allow(&set, "/dev", FS_WRITE_FILE);
    allow(&set, "/run", READING | CHANGING); /* the tools' locks; what the daemons keep there */
    if (!profile->files_read_only)
        allow_network_settings(&set);
    if (folders != NULL)
        folders(config, allow_folder, &set);
    return finish(&set, failure);
}
