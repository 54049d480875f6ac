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

/* Signals for the whole group (^C, a supervisor's stop) are the daemon's to act on. */
static const int group_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
#define GROUP_SIGNALS (sizeof group_signals / sizeof group_signals[0])

static _Noreturn void janitor_main(int fd, const sigset_t *mask, void (*cleanup)(void *context),
                                   void *context)
{
    char request = 0;

    for (size_t i = 0; i < GROUP_SIGNALS; i++)
        signal(group_signals[i], SIG_IGN);
    sigprocmask(SIG_SETMASK, mask, NULL);
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
    sigset_t blocked, mask;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    signal(SIGPIPE, SIG_IGN); /* a janitor that is gone must not take the daemon along */
    /* Blocked over the fork: the janitor has no moment in which such a signal would end it. */
    sigemptyset(&blocked);
    for (size_t i = 0; i < GROUP_SIGNALS; i++)
        sigaddset(&blocked, group_signals[i]);
    sigprocmask(SIG_BLOCK, &blocked, &mask);
    pid_t pid = fork();
    int error = errno;
    if (pid == 0) {
        close(ends[1]);
        janitor_main(ends[0], &mask, cleanup, context);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return -error;
    }
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
