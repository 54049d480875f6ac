/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void signal_ready(void *context, uint32_t events)
{
    struct signals *signals = context;
    struct signalfd_siginfo info;

    (void)events;
    if (read(signals->source.fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGUSR1)
        signals->print_stats(signals->context);
    else if (info.ssi_signo == SIGHUP)
        signals->reload(signals->context);
    else
        signals->stop = true;
}

static sigset_t daemon_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    return set;
}

int signals_open(struct signals *signals, struct event_loop *loop,
                 void (*print_stats)(void *context), void *context)
{
    sigset_t set = daemon_signals();

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    *signals = (struct signals){
        .source = {.fd = fd, .ready = signal_ready, .context = signals},
        .print_stats = print_stats,
        .context = context,
    };
    return event_add(loop, &signals->source, EPOLLIN);
}

int signals_on_hangup(struct signals *signals, void (*reload)(void *context))
{
    sigset_t set = daemon_signals();

    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signalfd(signals->source.fd, &set, 0) < 0)
        return -errno;
    signals->reload = reload;
    signal(SIGHUP, SIG_DFL); /* an ignored signal would never become an event */
    return 0;
}
