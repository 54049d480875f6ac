/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where one write on a Unix stream ends and the next begins, as its reader sees it.
 *
 * The stream does not tell, but the kernel knows: it keeps what each sendmsg() brought in buffers
 * of its own (sk_buff), whole until the reader has taken their last byte, and then frees them with
 * consume_skb(). A small BPF program on the tracepoint of that name notes the length of each, for
 * this process alone. A write beyond piece_max bytes fills several buffers, all but the last of
 * exactly that size (linux: unix_stream_sendmsg()).
 */
#ifndef CAUSEWAY_BENCH_BORDERS_H
#define CAUSEWAY_BENCH_BORDERS_H

#include <stddef.h>
#include <stdint.h>

struct border_log;

struct borders {
    int map, program, attachment;
    struct border_log *log; /* shared with the kernel */
    uint64_t seen;
    uint32_t piece_max; /* bytes of the kernel's largest buffer */
};

/* Loads the program and tries it on a socket pair. 0, or -1 with a sentence in error. */
int borders_open(struct borders *borders, char *error, size_t error_size);
void borders_close(struct borders *borders);

/* Lengths of the buffers whose last byte was read since the last call, in order; at most `max`.
 * Call it after every read: the log holds BORDERS_LOG entries. */
#define BORDERS_LOG 4096
unsigned borders_take(struct borders *borders, uint32_t *lengths, unsigned max);
/* Forgets them. */
void borders_skip(struct borders *borders);

#endif
