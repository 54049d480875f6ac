/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/mailbox.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "runtime/base/log.h"

static int open_wake(struct mailbox *mailbox)
{
    mailbox->wake_fd = eventfd(0, EFD_CLOEXEC);
    return mailbox->wake_fd < 0 ? -errno : 0;
}

int mailbox_init(struct mailbox *mailbox, const char *name)
{
    mailbox->name = name;
    pthread_mutex_init(&mailbox->lock, NULL);
    return open_wake(mailbox);
}

void mailbox_destroy(struct mailbox *mailbox)
{
    if (mailbox->wake_fd >= 0)
        close(mailbox->wake_fd);
    pthread_mutex_destroy(&mailbox->lock);
}

int mailbox_start(struct mailbox *mailbox, const void *policy)
{
    mailbox->policy = mailbox->policy_in_use = policy;
    mailbox->stop = false;
    mailbox->bytes = 0;
    close(mailbox->wake_fd);
    return open_wake(mailbox);
}

void mailbox_wake(const struct mailbox *mailbox)
{
    uint64_t one = 1;

    if (write(mailbox->wake_fd, &one, sizeof(one)) < 0)
        log_error("%s: cannot wake the lane: %s", mailbox->name, strerror(errno));
}

bool mailbox_post(struct mailbox *mailbox, const uint8_t *frames, size_t length)
{
    bool posted = false;

    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->bytes + length <= sizeof(mailbox->frames)) {
        memcpy(mailbox->frames + mailbox->bytes, frames, length);
        mailbox->bytes += length;
        posted = true;
    }
    pthread_mutex_unlock(&mailbox->lock);
    if (posted)
        mailbox_wake(mailbox);
    return posted;
}

void mailbox_set_policy(struct mailbox *mailbox, const void *policy)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->policy = policy;
    pthread_mutex_unlock(&mailbox->lock);
}

bool mailbox_has_policy(struct mailbox *mailbox, const void *policy)
{
    pthread_mutex_lock(&mailbox->lock);
    bool has = mailbox->policy == policy || mailbox->policy_in_use == policy;
    pthread_mutex_unlock(&mailbox->lock);
    return has;
}

void mailbox_stop(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->stop = true;
    pthread_mutex_unlock(&mailbox->lock);
    mailbox_wake(mailbox);
}

/* What finds no room behind a flood of answers to pings stays for the next tick. */
bool mailbox_read(struct mailbox *mailbox, struct batches *batches, const void **policy)
{
    pthread_mutex_lock(&mailbox->lock);
    *policy = mailbox->policy_in_use = mailbox->policy;
    bool go_on = !mailbox->stop;
    if (mailbox->bytes > 0 && batches_control(batches, mailbox->frames, mailbox->bytes))
        mailbox->bytes = 0;
    pthread_mutex_unlock(&mailbox->lock);
    return go_on;
}
