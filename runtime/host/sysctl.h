/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel settings of the host that this daemon changes and puts back.
 *
 * Every change is written to a journal before it is made, so that a daemon started again after
 * kill -9 still knows the values it found at first. One journal per process, one thread.
 */
#ifndef CAUSEWAY_RUNTIME_HOST_SYSCTL_H
#define CAUSEWAY_RUNTIME_HOST_SYSCTL_H

#include <stdbool.h>

/* Opens or creates the journal (path is copied) and reads what an earlier run left. 0 or negative
 * errno; -ENOSPC: more entries than this program would write. */
int sysctl_journal_open(const char *path);

/* Reads a setting of one number; fallback if it is absent or none. No journal is needed. */
unsigned long sysctl_number(const char *path, unsigned long fallback);

/*
 * Writes value to /proc/sys/<path>, "net/ipv4/ip_forward", if it differs. Values are compared as
 * text without white space around it. 0 or negative errno: -ENOENT this kernel has no such setting,
 * -EBADF no journal is open, -EINVAL a path or value that cannot be journalled, -ENOSPC too many
 * settings.
 */
int sysctl_set(const char *path, const char *value);

/*
 * The same for a setting that must stay so and is looked at again and again: 0 it is so, 1 it was
 * set, 2 it was so before and somebody has changed it since: set again, and what they set is what
 * is put back at the end.
 */
int sysctl_hold(const char *path, const char *value);

/* The value, tidied; 0 or negative errno. */
#define SYSCTL_VALUE_BYTES 64
int sysctl_read(const char *path, char value[SYSCTL_VALUE_BYTES]);

/*
 * With IPv6 forwarding on, accept_ra=1 means "no": the interface forgets the default route that it
 * has, and takes no other. Makes it 2, "also when forwarding" (Linux
 * Documentation/networking/ip-sysctl.rst), wherever it is 1: of every interface, but those
 * that `except` names, and of those to come ("default"). Before forwarding is switched on. 0,
 * also without IPv6; or negative errno.
 */
int sysctl_keep_router_advertisements(bool (*except)(const char *ifname));

/* NULL if this host has IPv6; else why not, as a text for a message: its kernel has none, or
 * somebody has switched it off for all interfaces. One interface's switch is not looked at. */
const char *sysctl_ipv6_off(void);

/* Had this setting that value before this program changed it for the first time? By the journal, if
 * one is open and knows it; else by what it is now. */
bool sysctl_was(const char *path, const char *value);

/*
 * Puts back, in reverse order, every value that is still what we set (others were changed by
 * somebody else since, and stay) unless keep says that somebody needs it; then removes the journal
 * and closes it. keep may be NULL. 0 or the first negative errno; the journal is kept then.
 */
int sysctl_restore_all(bool (*keep)(const char *path, void *context), void *context);

#endif
