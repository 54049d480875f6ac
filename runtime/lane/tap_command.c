/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/tap_command.h"

#include <unistd.h>

bool tap_command(struct tap_table *table, const struct control_request *request, struct json *reply,
                 struct failure *failure)
{
    static struct tap_wish wish; /* too large for a stack; one thread */
    int fd;

    if (!tap_parse_wish(request->words->count - 1, request->words->word + 1, &wish, failure))
        return false;
    struct tap_capture *capture = tap_begin(table, &wish, &fd, failure);
    if (capture == NULL)
        return false;
    if (!control_hold(request, fd, tap_end, capture)) {
        close(fd);
        tap_end(capture);
        return failure_set(failure, "capture: one runs on this connection already");
    }
    json_number(reply, "rings", TAP_RINGS_MAX);
    json_number(reply, "ring_bytes", TAP_RING_BYTES);
    json_number(reply, "lanes", capture->ring_count);
    json_number(reply, "lanes_left_out", capture->left_out);
    return true;
}
