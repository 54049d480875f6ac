/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/janitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST_CLEANUP 'c'

static _Noreturn void janitor_main(int fd, void (*cleanup)(void *context), void *context)
{
    char request = 0;

    /* Signals for the whole group (^C, a supervisor's stop) are the daemon's to act on. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    prctl(PR_SET_NAME, "causeway-clean");
    while (read(fd, &request, 1) < 0 && errno == EINTR)
        ;
    if (request == REQUEST_CLEANUP)
        cleanup(context);
    _exit(EXIT_SUCCESS);
}

int janitor_start(struct janitor *janitor, void (*cleanup)(void *context), void *context)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0) {
        int error = errno;
        close(ends[0]);
        close(ends[1]);
        return -error;
    }
    if (pid == 0) {
        close(ends[1]);
        janitor_main(ends[0], cleanup, context);
    }
    close(ends[0]);
    *janitor = (struct janitor){.pid = pid, .pipe_fd = ends[1]};
    return 0;
}

void janitor_finish(struct janitor *janitor)
{
    char request = REQUEST_CLEANUP;

    while (write(janitor->pipe_fd, &request, 1) < 0 && errno == EINTR)
        ;
    close(janitor->pipe_fd);
    while (waitpid(janitor->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
