/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to let packets gather. A lane that is woken for every small packet spends its time, and that
 * of whoever sends them, on waking up; at a high rate the next packets are only microseconds away.
 * So a lane that finds few packets at a look, and more than MODERATION_RATE in a millisecond,
 * sleeps through MODERATION_PAUSE_US before it looks again, and takes what is there in one go.
 * Below that rate, and as soon as a pause has gathered nothing, each packet wakes it: idle latency
 * stays what it is. Network cards do the same with their interrupts.
 *
 * Bulk transfers in super-packets are left alone, however fast: there a wake-up is cheap beside
 * what it brings, and a pause leaves both ends waiting. So is a lane that finds many packets at
 * each look without a pause.
 *
 * Figures: docs/performance.md, "What was tried and kept".
 */
#ifndef CAUSEWAY_RUNTIME_LANE_MODERATION_H
#define CAUSEWAY_RUNTIME_LANE_MODERATION_H

#include <stdbool.h>
#include <stdint.h>

#define MODERATION_PAUSE_US 30
#define MODERATION_RATE     100  /* packets a millisecond: above it, pause */
#define MODERATION_FEW      4    /* packets at a look, on average: below it, pause */
#define MODERATION_BYTES    4096 /* of an average packet: above it is bulk */
#define MODERATION_WINDOW   128  /* packets over which the averages are taken */

struct moderation {
    /* As the window began: packets and bytes carried until then, and the time. */
    uint64_t packets, bytes, since_us;
    uint64_t seen;  /* packets, at the last look */
    uint32_t looks; /* that found something, in this window */
    bool pause;
};

static inline void moderation_start(struct moderation *m, uint64_t packets, uint64_t bytes,
                                    uint64_t now_us)
{
    *m = (struct moderation){
        .packets = packets, .bytes = bytes, .since_us = now_us, .seen = packets};
}

/* Call after each look, with the packets and bytes carried so far, both ways. m->pause says how to
 * wait for the next. */
static inline void moderation_note(struct moderation *m, uint64_t packets, uint64_t bytes,
                                   uint64_t now_us)
{
    if (packets == m->seen) {
        m->pause = false;
        return;
    }
    m->seen = packets;
    m->looks++;
    uint64_t fresh = packets - m->packets;
    if (fresh < MODERATION_WINDOW)
        return;
    bool fast = fresh * 1000 > (now_us - m->since_us) * MODERATION_RATE;
    bool small = bytes - m->bytes < fresh * MODERATION_BYTES;
    bool few = fresh < (uint64_t)m->looks * MODERATION_FEW;
    bool pause = fast && small && (few || m->pause);
    moderation_start(m, packets, bytes, now_us);
    m->pause = pause;
}

#endif
