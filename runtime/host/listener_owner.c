/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds a socket. A process that may look into all others finds its number in /proc. A unit of
 * systemd that hides processes, or lacks the capability, still sees the socket's cgroup: there a
 * service is a directory with its name.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/host/listeners.h"

#define CGROUPS "/sys/fs/cgroup"

static bool holds(int process_fd, const char *socket)
{
    int fd = openat(process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    char target[64];
    bool found = false;

    if (directory == NULL && fd >= 0)
        close(fd);
    while (directory != NULL && !found && (entry = readdir(directory)) != NULL) {
        ssize_t length = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = '\0';
        found = strcmp(target, socket) == 0;
    }
    if (directory != NULL)
        closedir(directory);
    return found;
}

static void read_name(int process_fd, char *out, size_t size)
{
    int fd = openat(process_fd, "comm", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, out, size - 1) : 0;

    out[length > 0 ? length : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

static bool find_process(uint32_t inode, char *out)
{
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    char socket[32], name[32];
    bool found = false;

    snprintf(socket, sizeof(socket), "socket:[%u]", inode);
    while (processes != NULL && !found && (entry = readdir(processes)) != NULL) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        int fd = openat(dirfd(processes), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        found = fd >= 0 && holds(fd, socket);
        if (found) {
            read_name(fd, name, sizeof(name));
            snprintf(out, LISTENER_OWNER_BYTES, "%s (PID %.10s)", name, entry->d_name);
        }
        if (fd >= 0)
            close(fd);
    }
    if (processes != NULL)
        closedir(processes);
    return found;
}

/* nftw() has no context. One thread asks: the daemon's first one, or its helper. */
static struct {
    uint64_t wanted;
    char *out;
} search;

static int on_cgroup(const char *path, const struct stat *status, int type, struct FTW *at)
{
    if (type != FTW_D || at->level == 0 || status->st_ino != search.wanted)
        return 0;
    snprintf(search.out, LISTENER_OWNER_BYTES, "%.*s", LISTENER_OWNER_BYTES - 1, path + at->base);
    return 1;
}

static bool find_cgroup(uint64_t cgroup, char *out)
{
    search.wanted = cgroup;
    search.out = out;
    return cgroup != 0 && nftw(CGROUPS, on_cgroup, 16, FTW_PHYS) == 1;
}

const char *listener_owner(const struct listener *listener, char *out)
{
    if (!find_process(listener->inode, out) && !find_cgroup(listener->cgroup, out))
        snprintf(out, LISTENER_OWNER_BYTES, "another program");
    return out;
}
