/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/frame_reader.h"

#include <errno.h>
#include <sys/socket.h>

static int read_up_to(struct frame_reader *reader, int fd, size_t target)
{
    while (reader->have < target) {
        ssize_t got = recv(fd, reader->bytes + reader->have, target - reader->have, MSG_DONTWAIT);
        if (got == 0)
            return -ECONNRESET;
        if (got < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        reader->have += (size_t)got;
    }
    return 1;
}

int frame_reader_read(struct frame_reader *reader, int fd)
{
    int result = read_up_to(reader, fd, FRAME_HEADER_BYTES);

    if (result <= 0)
        return result;
    if (frame_get(reader->bytes, FRAME_HEADER_BYTES, &reader->header) != FRAME_OK ||
        reader->header.type == FRAME_PACKET)
        return -EPROTO;
    return read_up_to(reader, fd, FRAME_HEADER_BYTES + reader->header.length);
}
