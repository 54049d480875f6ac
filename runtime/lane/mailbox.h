/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control thread tells a lane: control frames to send, a policy, and to stop. It writes
 * under a lock and wakes the lane by an eventfd; the lane looks when it is woken, and at each tick.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_MAILBOX_H
#define CAUSEWAY_RUNTIME_LANE_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/lane/batch.h"
#include "runtime/lane/lane_options.h"

struct mailbox {
    const char *name; /* of the lane, for messages */
    int wake_fd;
    pthread_mutex_t lock; /* of what follows */
    bool stop;
    const void *policy;        /* to be used from the next look on */
    const void *policy_in_use; /* the lane's */
    size_t bytes;
    uint8_t frames[LANE_MAILBOX_BYTES];
};

/* name is borrowed. 0 or negative errno. mailbox_destroy() also after a failure. */
int mailbox_init(struct mailbox *mailbox, const char *name);
void mailbox_destroy(struct mailbox *mailbox);

/* ---- the control thread's ---- */

/* Empties it, for a new stream with this policy; a wake-up of the last one that came too late is
 * gone, too. 0 or negative errno. While the lane does not run. */
int mailbox_start(struct mailbox *mailbox, const void *policy);

/* Puts whole control frames in. False: full. */
bool mailbox_post(struct mailbox *mailbox, const uint8_t *frames, size_t length);
/* Without waking the lane. */
void mailbox_set_policy(struct mailbox *mailbox, const void *policy);
/* May the lane use it, now or at its next look? */
bool mailbox_has_policy(struct mailbox *mailbox, const void *policy);
void mailbox_stop(struct mailbox *mailbox);
/* Makes the lane look. */
void mailbox_wake(const struct mailbox *mailbox);

/* ---- the lane's thread's ---- */

/* Moves the frames on into the next write; those for which it has no room stay. *policy is the one
 * to use now. False: the lane is to stop. */
bool mailbox_read(struct mailbox *mailbox, struct batches *batches, const void **policy);

#endif
