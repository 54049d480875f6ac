/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/base/endpoint.h"
#include "runtime/base/options.h"

#define STATUS_BYTES 256

/* A full socket or a manager that went away must not hold up the loop. */
static void tell(const struct notify *notify, const char *text)
{
    if (notify != NULL && notify->fd >= 0)
        (void)send(notify->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

__attribute__((format(printf, 3, 0))) static void
tell_status(const struct notify *notify, const char *prefix, const char *format, va_list arguments)
{
    char text[STATUS_BYTES];
    int length = snprintf(text, sizeof(text), "%sSTATUS=", prefix);

    vsnprintf(text + length, sizeof(text) - (size_t)length, format, arguments);
    tell(notify, text);
}

void notify_ready(const struct notify *notify, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    tell_status(notify, "READY=1\n", format, arguments);
    va_end(arguments);
}

void notify_status(const struct notify *notify, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    tell_status(notify, "", format, arguments);
    va_end(arguments);
}

void notify_stopping(const struct notify *notify)
{
    tell(notify, "STOPPING=1");
}

/* "/path" or "@name" for an abstract socket. 0 or negative errno. */
static int connect_to(const char *name)
{
    struct sockaddr_un address;
    socklen_t length = endpoint_unix(name, &address);

    if ((name[0] != '/' && name[0] != '@') || length == 0)
        return -EAFNOSUPPORT;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, length) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static void beat(void *context, uint32_t events)
{
    struct notify *notify = context;
    uint64_t expirations;

    (void)events;
    if (read(notify->watchdog.fd, &expirations, sizeof(expirations)) > 0)
        tell(notify, "WATCHDOG=1");
}

/* Twice as often as the manager expects it, as sd_watchdog_enabled(3) advises. */
static int start_watchdog(struct notify *notify, struct event_loop *loop, unsigned long usec)
{
    struct timespec half = {.tv_sec = (time_t)(usec / 2 / 1000000),
                            .tv_nsec = (long)(usec / 2 % 1000000) * 1000};
    struct itimerspec timer = {.it_interval = half, .it_value = half};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

    if (fd < 0)
        return -errno;
    notify->watchdog = (struct event_source){.fd = fd, .ready = beat, .context = notify};
    if (timerfd_settime(fd, 0, &timer, NULL) < 0)
        return -errno;
    return event_add(loop, &notify->watchdog, EPOLLIN);
}

/* Microseconds between beats that the manager wants from this very process; 0: none. */
static unsigned long watchdog_usec(void)
{
    const char *pid = getenv("WATCHDOG_PID"), *usec = getenv("WATCHDOG_USEC");
    unsigned long value;

    if (pid != NULL && (!option_number(pid, 1, INT32_MAX, &value) || (pid_t)value != getpid()))
        return 0;
    return usec != NULL && option_number(usec, 2, UINT32_MAX * 1000UL, &value) ? value : 0;
}

bool notify_open(struct notify *notify, struct event_loop *loop, struct failure *failure)
{
    const char *name = getenv("NOTIFY_SOCKET");
    unsigned long usec = watchdog_usec();
    int result = 0;

    notify->fd = notify->watchdog.fd = -1;
    if (name == NULL || name[0] == '\0')
        return true;
    result = connect_to(name);
    if (result >= 0) {
        notify->fd = result;
        result = usec > 0 ? start_watchdog(notify, loop, usec) : 0;
    }
    if (result < 0) {
        failure_set(failure, "cannot reach the service manager at NOTIFY_SOCKET '%s': %s", name,
                    strerror(-result));
        notify_close(notify);
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return result >= 0;
}

void notify_close(struct notify *notify)
{
    if (notify->watchdog.fd >= 0)
        close(notify->watchdog.fd);
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = notify->watchdog.fd = -1;
}
