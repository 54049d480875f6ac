/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <seccomp.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const int datapath_capabilities[] = {CAP_NET_ADMIN, CAP_NET_RAW};

/* The rings, their threads and memory; listening; a device's sysctls and counters. */
static const int datapath_calls[] = {
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(memfd_create),
    SCMP_SYS(ftruncate),
    SCMP_SYS(clone3),
    SCMP_SYS(clone),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(uname), /* the status answer names the kernel */
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(umask),
    SCMP_SYS(eventfd2),
};

const struct sandbox_profile sandbox_datapath = {
    .capabilities = datapath_capabilities,
    .capability_count = COUNT(datapath_capabilities),
    .calls = datapath_calls,
    .call_count = COUNT(datapath_calls),
};

static bool fail(struct failure *failure, const char *what)
{
    return failure_set(failure, "cannot enter the sandbox: %s: %s", what, strerror(errno));
}

bool sandbox_check_capabilities(struct failure *failure)
{
    cap_t own = cap_get_proc();
    bool complete = true;

    for (size_t i = 0; own != NULL && i < COUNT(datapath_capabilities); i++) {
        cap_flag_value_t value = CAP_CLEAR;
        cap_get_flag(own, datapath_capabilities[i], CAP_EFFECTIVE, &value);
        complete = complete && value == CAP_SET;
    }
    if (own != NULL)
        cap_free(own);
    return complete ||
           failure_set(failure,
                       "needs the capabilities CAP_NET_ADMIN and CAP_NET_RAW: start it as root");
}

static bool change_user(const char *user, struct failure *failure)
{
    const struct passwd *entry = getpwnam(user);

    if (entry == NULL)
        return failure_set(failure, "no such user: %s", user);
    if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setgroups(0, NULL) < 0 || setgid(entry->pw_gid) < 0 ||
        setuid(entry->pw_uid) < 0)
        return fail(failure, "change of user");
    return true;
}

static bool limit_capabilities(const struct sandbox_profile *profile, struct failure *failure)
{
    cap_t wanted = cap_init();
    int count = (int)profile->capability_count;
    int result = 0;

    if (wanted == NULL)
        return fail(failure, "capabilities");
    if (count > 0) /* libcap refuses an empty list */
        result = cap_set_flag(wanted, CAP_PERMITTED, count, profile->capabilities, CAP_SET);
    if (result == 0 && count > 0)
        result = cap_set_flag(wanted, CAP_EFFECTIVE, count, profile->capabilities, CAP_SET);
    if (result == 0)
        result = cap_set_proc(wanted);
    cap_free(wanted);
    return result == 0 || fail(failure, "capabilities");
}

/*
 * What every daemon does, by subject: memory and locks; sockets; files; events; time, signals,
 * exit. Opening files is apart, see allow_opening().
 */
static const int common_calls[] = {
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(uname),
    SCMP_SYS(prctl),
    SCMP_SYS(socket),
    SCMP_SYS(accept4),
    SCMP_SYS(connect),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(shutdown),
    SCMP_SYS(ioctl),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(fcntl),
    SCMP_SYS(lseek),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fstat),
    SCMP_SYS(readlink),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(signalfd4),
    SCMP_SYS(tgkill),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(wait4),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < count; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return result;
}

/* openat(directory, path, flags): the flags tell reading from everything else. */
static int allow_opening(scmp_filter_ctx filter, bool read_only)
{
    if (!read_only)
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 0);
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                            SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
}

static bool limit_system_calls(const struct sandbox_profile *profile, struct failure *failure)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int result = filter == NULL ? -ENOMEM : 0;

    if (result == 0)
        result = allow_all(filter, common_calls, COUNT(common_calls));
    if (result == 0)
        result = allow_all(filter, profile->calls, profile->call_count);
    if (result == 0)
        result = allow_opening(filter, profile->files_read_only);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    if (result == 0)
        return true;
    errno = -result;
    return fail(failure, "seccomp");
}

bool sandbox_enter(const struct sandbox_profile *profile, const char *user, struct failure *failure)
{
    if (user != NULL && !change_user(user, failure))
        return false;
    if (!limit_capabilities(profile, failure))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail(failure, "no_new_privs");
    return limit_system_calls(profile, failure);
}
