/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dump of ctnetlink. Input: one byte that chooses the family, then the answer's bytes. This file
 * stands in the place of runtime/host/netdev.c: it answers the dump with the input, and holds each
 * deletion against the room that there is for it.
 */
#include <errno.h>
#include <string.h>

#include "runtime/host/conntrack.h"
#include "runtime/host/netdev_private.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/netlink.h"

static const uint8_t *dump;
static size_t dump_bytes;
static unsigned wanted, deleted;

void *request_begin(struct request *request, uint16_t type, uint16_t flags, size_t family_bytes)
{
    request->header = mnl_nlmsg_put_header(request->buffer);
    request->header->nlmsg_type = type;
    request->header->nlmsg_flags = NLM_F_REQUEST | flags;
    return mnl_nlmsg_put_extra_header(request->header, family_bytes);
}

int netdev_talk(struct netdev *nd, struct request *request, mnl_cb_t each, void *context)
{
    (void)nd;
    if (each == NULL) {
        CHECK(request->header->nlmsg_len <= REQUEST_BYTES);
        CHECK(mnl_attr_validate(mnl_nlmsg_get_payload_offset(request->header, 4),
                                MNL_TYPE_NESTED) == 0);
        deleted++;
        return 0;
    }
    /* Aligned, and alone in its block. */
    uint8_t *copy = malloc(dump_bytes > 0 ? dump_bytes : 1);
    memcpy(copy, dump, dump_bytes);
    int state = mnl_cb_run(copy, dump_bytes, 0, 0, each, context);
    int error = state == MNL_CB_ERROR ? -errno : 0;
    free(copy);
    return error == -EINTR ? -EIO : error; /* an inconsistent dump would be asked for again */
}

void netdev_close(struct netdev *nd)
{
    mnl_socket_close(nd->socket);
}

static bool unwanted(const struct conntrack_entry *entry, void *context)
{
    int version = *(const int *)context;

    CHECK(entry->source.version == 0 || entry->source.version == 4 || entry->source.version == 6);
    CHECK(version == 4 || version == 6);
    wanted++;
    return entry->source_port % 2 == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || !netlink_lengths_fit(data + 1, size - 1))
        return 0;
    int version = data[0] % 2 ? 6 : 4;
    dump = data + 1;
    dump_bytes = size - 1;
    wanted = deleted = 0;
    int result = conntrack_forget(version, unwanted, &version);
    CHECK(deleted <= wanted && (result < 0 || (unsigned)result == deleted));
    return 0;
}
