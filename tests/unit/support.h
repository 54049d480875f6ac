/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of runtime/, enclave/ and parent/: a network namespace of the test's own, what a
 * call printed, waiting for a condition, temporary files.
 */
#ifndef CAUSEWAY_TESTS_UNIT_SUPPORT_H
#define CAUSEWAY_TESTS_UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/host/netdev.h"

#define TEST_SKIPPED 77 /* meson's exit status for a test that cannot run here */

/* Moves the process into a fresh network namespace, loopback up. False, with the reason printed,
 * where that is not permitted: return TEST_SKIPPED from main() then. */
bool support_own_netns(void);

/* Everything written to the descriptor (1 or 2) between the two calls. The text is the support
 * code's own, until the next capture. */
void support_capture_begin(int fd);
const char *support_capture_end(void);

/* Open descriptors of this process. */
unsigned support_open_fds(void);

/* A directory of the test's own under /tmp, removed with its files at exit. */
const char *support_directory(void);
/* PATH inside it, in a static buffer. */
const char *support_path(const char *name);

/* The status with which a forked child ends in which run is called; 128 + signal when killed. */
int support_in_child(int (*run)(void *context), void *context);

/* Makes a veth pair with the MAC addresses 02:..:01 and 02:..:02, both ends up, and returns the
 * interface indexes. Fails the test when that does not work. */
struct support_pair {
    int index, peer_index;
    struct mac mac, peer_mac;
};
struct support_pair support_veth(struct netdev *netdev, const char *name, const char *peer,
                                 uint32_t mtu);
void support_veth_delete(struct netdev *netdev, const char *name);

/* Polls a condition; fails the test if it does not come true in a time that only a fault needs.
 * WAIT_DOING runs the block behind it before every further look. */
#define SUPPORT_PATIENCE_MS 30000
uint64_t support_deadline(void);
bool support_wait(uint64_t deadline, const char *condition);
#define WAIT_DOING(condition)                                                                      \
    for (uint64_t wait_deadline = support_deadline();                                              \
         !(condition) && support_wait(wait_deadline, #condition);)
#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        WAIT_DOING(condition)                                                                      \
        {                                                                                          \
        }                                                                                          \
    } while (0)

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        const char *contains_text = (text);                                                        \
        if (strstr(contains_text, (part)) == NULL)                                                 \
            fail_msg("no \"%s\" in: %s", (part), contains_text);                                   \
    } while (0)

#endif
