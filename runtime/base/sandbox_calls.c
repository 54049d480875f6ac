/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls. A daemon's filter is a list of what it does, with the arguments where they
 * make the difference; a helper's is a list of what nobody of it needs, because the host's tools
 * run under it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/io_uring.h>
#include <linux/sockios.h>
#include <seccomp.h>

#include "runtime/base/sandbox_private.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const int datapath_capabilities[] = {CAP_NET_ADMIN, CAP_NET_RAW};

/* The firewall's tools; files and sockets of others: a configuration, a socket in a jail. */
static const int datapath_helper_capabilities[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_DAC_OVERRIDE};

/* The rings, their threads and memory; captures; a device's sockets and counters. */
static const int datapath_calls[] = {
    SCMP_SYS(io_uring_enter),    SCMP_SYS(memfd_create), SCMP_SYS(ftruncate),
    SCMP_SYS(set_robust_list),   SCMP_SYS(rseq),         SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity), SCMP_SYS(bind),         SCMP_SYS(eventfd2),
};

const struct sandbox_profile sandbox_datapath = {
    .capabilities = datapath_capabilities,
    .capability_count = COUNT(datapath_capabilities),
    .calls = datapath_calls,
    .call_count = COUNT(datapath_calls),
    .threads = true,
    .helper_capabilities = datapath_helper_capabilities,
    .helper_capability_count = COUNT(datapath_helper_capabilities),
};

/*
 * What every daemon does, by subject: memory and locks; sockets; files; events; time, signals,
 * exit. Those of which the arguments count are below.
 */
static const int common_calls[] = {
    SCMP_SYS(munmap),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(uname),
    SCMP_SYS(accept4),
    SCMP_SYS(connect),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(shutdown),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
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
    SCMP_SYS(restart_syscall),
    SCMP_SYS(wait4),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* fcntl(): not F_SETOWN and its kin, which send signals to others. */
static const unsigned fcntl_commands[] = {
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_ADD_SEALS, F_GET_SEALS,
};

/* ioctl(): names and offloads of devices; what the C library asks of a file. */
static const unsigned ioctl_requests[] = {
    SIOCETHTOOL, SIOCGIFINDEX, SIOCGIFNAME, FIONBIO, FIONREAD, TCGETS,
};

static const unsigned prctl_options[] = {PR_SET_NAME, PR_SET_TIMERSLACK};

static const unsigned socket_families[] = {
    AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK,
};

/* io_uring_register(): what a lane does with the ring that it was given. */
static const unsigned ring_registrations[] = {
    IORING_REGISTER_FILES,     IORING_UNREGISTER_FILES,     IORING_REGISTER_ENABLE_RINGS,
    IORING_REGISTER_PBUF_RING, IORING_UNREGISTER_PBUF_RING, IORING_REGISTER_SYNC_CANCEL,
};

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < count; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return result;
}

/* The kernel looks at the lower half of an int; so does the filter. */
static int allow_values(scmp_filter_ctx filter, int call, unsigned argument, const unsigned *values,
                        size_t count)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < count; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                                  SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, 0xffffffff, values[i]));
    return result;
}

/* openat(directory, path, flags): the flags tell reading from everything else. */
static int allow_opening(scmp_filter_ctx filter, bool read_only)
{
    scmp_datum_t making = O_CREAT | (O_TMPFILE & ~O_DIRECTORY);
    scmp_datum_t mask = read_only ? making | O_ACCMODE | O_TRUNC : making;

    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                            SCMP_A2(SCMP_CMP_MASKED_EQ, mask, O_RDONLY));
}

/* Memory that can be executed is what the program began with. */
static int allow_memory(scmp_filter_ctx filter)
{
    int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return result;
}

/* clone(): threads, and no namespaces. The flags of clone3() are in memory, where no filter sees
 * them: the C library takes ENOSYS for a kernel without it. */
static int allow_threads(scmp_filter_ctx filter)
{
    scmp_datum_t thread = CLONE_THREAD | CLONE_VM | CLONE_SIGHAND;
    scmp_datum_t names = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                         CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE;
    int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, thread | names, thread));

    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return result;
}

static int allow_by_argument(scmp_filter_ctx filter, const struct sandbox_profile *profile)
{
    unsigned self = (unsigned)getpid();
    int result = allow_opening(filter, profile->files_read_only);

    if (result == 0)
        result = allow_memory(filter);
    if (result == 0)
        result = allow_values(filter, SCMP_SYS(tgkill), 0, &self, 1);
    if (result == 0)
        result = allow_values(filter, SCMP_SYS(fcntl), 1, fcntl_commands, COUNT(fcntl_commands));
    if (result == 0)
        result = allow_values(filter, SCMP_SYS(ioctl), 1, ioctl_requests, COUNT(ioctl_requests));
    if (result == 0)
        result = allow_values(filter, SCMP_SYS(prctl), 0, prctl_options, COUNT(prctl_options));
    if (result == 0)
        result = allow_values(filter, SCMP_SYS(socket), 0, socket_families, COUNT(socket_families));
    if (result == 0 && profile->threads)
        result = allow_threads(filter);
    return result;
}

/* Loads it with io_uring_setup() as an action. */
static int load(const struct sandbox_profile *profile, uint32_t setup, int *listener)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int result = filter == NULL ? -ENOMEM : 0;

    if (result == 0)
        result = allow_all(filter, common_calls, COUNT(common_calls));
    if (result == 0)
        result = allow_all(filter, profile->calls, profile->call_count);
    if (result == 0)
        result = allow_by_argument(filter, profile);
    if (result == 0 && listener != NULL)
        result = allow_values(filter, SCMP_SYS(io_uring_register), 1, ring_registrations,
                              COUNT(ring_registrations));
    if (result == 0 && listener != NULL)
        result = seccomp_rule_add(filter, setup, SCMP_SYS(io_uring_setup), 0);
    if (result == 0)
        result = seccomp_load(filter);
    if (result == 0 && setup == SCMP_ACT_NOTIFY && listener != NULL)
        *listener = seccomp_notify_fd(filter);
    seccomp_release(filter);
    return result;
}

bool sandbox_limit_calls(const struct sandbox_profile *profile, int *listener,
                         struct failure *failure)
{
    int result = load(profile, SCMP_ACT_NOTIFY, listener);

    /* Somebody listens to this process already, such as a container engine: one is all there is. */
    if (result < 0 && listener != NULL) {
        *listener = -1;
        result = load(profile, SCMP_ACT_ALLOW, listener);
    }
    if (result == 0)
        return true;
    errno = -result;
    return sandbox_fail(failure, "seccomp");
}

/* ---- the helper ---- */

/*
 * Nothing that a firewall's tool or a clean-up does: the kernel's own code, mounts and roots,
 * other processes and their memory, namespaces, clocks, keys, devices. io_uring_setup stays: the
 * helper makes the daemon's rings.
 */
static const int helper_refused[] = {
    SCMP_SYS(acct),
    SCMP_SYS(add_key),
    SCMP_SYS(adjtimex),
    SCMP_SYS(bpf),
    SCMP_SYS(chroot),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(clock_settime),
    SCMP_SYS(delete_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(fsmount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fspick),
    SCMP_SYS(init_module),
    SCMP_SYS(ioperm),
    SCMP_SYS(iopl),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(kexec_load),
    SCMP_SYS(keyctl),
    SCMP_SYS(lookup_dcookie),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(mount),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(move_mount),
    SCMP_SYS(move_pages),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(open_tree),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(personality),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(pivot_root),
    SCMP_SYS(process_madvise),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(ptrace),
    SCMP_SYS(quotactl),
    SCMP_SYS(reboot),
    SCMP_SYS(request_key),
    SCMP_SYS(setdomainname),
    SCMP_SYS(sethostname),
    SCMP_SYS(setns),
    SCMP_SYS(settimeofday),
    SCMP_SYS(swapoff),
    SCMP_SYS(swapon),
    SCMP_SYS(symlink),
    SCMP_SYS(symlinkat),
    SCMP_SYS(syslog),
    SCMP_SYS(umount2),
    SCMP_SYS(unshare),
    SCMP_SYS(userfaultfd),
};

static int refuse_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < count; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
    return result;
}

static int refuse_namespaces(scmp_filter_ctx filter)
{
    static const scmp_datum_t flags[] = {
        CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
        CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET,
    };
    int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    for (size_t i = 0; result == 0 && i < COUNT(flags); i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    return result;
}

/* The tools load libraries: code may come from files, but is never written. */
static int refuse_written_code(scmp_filter_ctx filter)
{
    scmp_datum_t both = PROT_WRITE | PROT_EXEC;
    int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mmap), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, both, both));

    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mprotect), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, both, both));
    return result;
}

bool sandbox_limit_helper_calls(struct failure *failure)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int result = filter == NULL ? -ENOMEM : 0;

    if (result == 0)
        result = refuse_all(filter, helper_refused, COUNT(helper_refused));
    if (result == 0)
        result = refuse_namespaces(filter);
    if (result == 0)
        result = refuse_written_code(filter);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    if (result == 0)
        return true;
    errno = -result;
    return sandbox_fail(failure, "seccomp of the helper");
}
