/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/control.h"

static void print_finding(const char *verdict, const char *what, const char *consequence)
{
    printf("%-8s %s%s%s\n", verdict, what, consequence[0] ? ": " : "", consequence);
}

void check_required(struct check_report *report, bool there, const char *what, const char *remedy)
{
    print_finding(there ? "ok" : "MISSING", what, there ? "" : remedy);
    if (!there)
        report->failures++;
}

void check_optional(struct check_report *report, bool there, const char *what, const char *cost)
{
    (void)report;
    print_finding(there ? "ok" : "absent", what, there ? "" : cost);
}

void check_warning(const char *what, const char *effect)
{
    print_finding("warning", what, effect);
}

/* The directory part of a path; "." if there is none. False if it is too long. */
static bool directory_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);

    if (length >= size)
        return false;
    memcpy(out, path, length);
    out[length] = '\0';
    if (length == 0)
        snprintf(out, size, "%s", slash == NULL ? "." : "/");
    return true;
}

bool check_socket_place(const char *path, struct failure *failure)
{
    char directory[PATH_MAX];
    struct stat there;

    if (path == NULL || path[0] == '@' || strcmp(path, "none") == 0)
        return true;
    if (lstat(path, &there) == 0 && !S_ISSOCK(there.st_mode))
        return failure_set(failure, "%s is there, and no socket", path);
    if (!directory_of(path, directory, sizeof(directory)))
        return failure_set(failure, "%.100s...: the path is too long", path);
    /* The daemons make their own. */
    if (strcmp(directory, CONTROL_DIRECTORY) == 0 && stat(directory, &there) < 0 &&
        !directory_of(CONTROL_DIRECTORY, directory, sizeof(directory)))
        return failure_set(failure, "%s: the path is too long", CONTROL_DIRECTORY);
    if (access(directory, W_OK | X_OK) == 0)
        return true;
    return failure_set(failure, "%s: no socket can be made in %s: %s", path, directory,
                       strerror(errno));
}

bool check_vsock(void)
{
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

int check_finish(const struct check_report *report)
{
    if (report->failures == 0) {
        printf("ready\n");
        return EXIT_SUCCESS;
    }
    printf("not ready: %u missing\n", report->failures);
    return EXIT_FAILURE;
}
