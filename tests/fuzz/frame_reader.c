/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole reads of a control frame. Input: one byte with how many bytes come at a time, then the
 * stream. However it is cut, the same is read, and not a byte beyond the frame.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/lane/frame_reader.h"
#include "tests/fuzz/fuzz.h"

/* Reads the stream in pieces, into *reader; what is left unread goes to *left. */
static int read_stream(struct frame_reader *reader, const uint8_t *data, size_t size, size_t piece,
                       size_t *left)
{
    int pair[2], result = 0, unread = 0;
    size_t sent = 0;

    memset(reader, 0, sizeof(*reader));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    while (result == 0 && sent < size) {
        size_t next = piece < size - sent ? piece : size - sent;
        CHECK(send(pair[0], data + sent, next, 0) == (ssize_t)next);
        sent += next;
        result = frame_reader_read(reader, pair[1]);
        CHECK(reader->have <= sent);
    }
    CHECK(ioctl(pair[1], FIONREAD, &unread) == 0);
    *left = (size_t)unread + size - sent;
    close(pair[0]);
    if (result == 0)
        CHECK(frame_reader_read(reader, pair[1]) == -ECONNRESET);
    close(pair[1]);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_reader whole, pieces;
    size_t left, left_of_pieces;

    if (size == 0 || size > 4096)
        return 0;
    size_t piece = data[0] + 1u;
    data++;
    size--;
    int result = read_stream(&whole, data, size, size > 0 ? size : 1, &left);
    CHECK(read_stream(&pieces, data, size, piece, &left_of_pieces) == result);
    if (result == 1) {
        CHECK(left == left_of_pieces && whole.have == pieces.have);
        CHECK(whole.have == FRAME_HEADER_BYTES + (size_t)whole.header.length);
        CHECK(left == size - whole.have);
        CHECK(memcmp(whole.bytes, pieces.bytes, whole.have) == 0);
        CHECK(memcmp(whole.bytes, data, whole.have) == 0);
        CHECK(whole.header.type != FRAME_PACKET);
    }
    return 0;
}
