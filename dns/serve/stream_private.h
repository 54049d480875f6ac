/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What listen_stream.c (listeners, and all connections together) and stream.c (what
 * happens on one) share. The theory of operation is in listen_stream.h.
 */
#ifndef CAUSEWAY_DNS_SERVE_STREAM_PRIVATE_H
#define CAUSEWAY_DNS_SERVE_STREAM_PRIVATE_H

#include "dns/serve/listen_stream.h"
#include "dns/serve/stream_output.h"

#define STREAM_NONE         UINT32_MAX
#define STREAM_QUERY_BYTES  2048 /* no query is longer */
#define STREAM_PREFIX_BYTES 2    /* RFC 1035 4.2.2 */

struct listener {
    struct event_source source;
    struct streams *streams;
    struct dns_listen where;
    bool resting; /* accept() failed for want of something; tried again at the next tick */
};

struct stream {
    struct event_source source; /* fd -1: free */
    struct streams *streams;
    const struct listener *listener;
    uint32_t index, generation;
    struct ip_addr who;
    uint32_t events;            /* what the loop watches */
    uint32_t quieter, livelier; /* by the time of the latest query; free: next */
    uint32_t next_marked;
    bool marked;
    bool ended;                     /* the client sends no more */
    unsigned waiting;               /* unanswered questions */
    uint64_t active_ms;             /* latest query or late answer */
    uint64_t partial_ms, unread_ms; /* since when a query is not complete, answers not read; or 0 */
    struct stream_output output;
    size_t fill;
    uint8_t input[STREAM_PREFIX_BYTES + STREAM_QUERY_BYTES];
};

struct streams {
    struct streams_config config;
    struct stream_blocks *blocks;
    struct listener listeners[DNS_LISTENERS_MAX];
    unsigned listener_count;
    uint32_t free, quietest, liveliest, marked;
    unsigned open;
    uint64_t tick_ms; /* the next */
    uint8_t answer[STREAM_PREFIX_BYTES + DNS_MESSAGE_BYTES];
    struct stream all[];
};

/* Takes the connection fd into the first free place. False: there is none, or no memory in the
 * kernel. */
bool stream_start(struct listener *listener, int fd, const struct ip_addr *who, uint64_t now_ms);
bool stream_is_open(const struct stream *stream);
bool stream_is_idle(const struct stream *stream);
/* reason: a counter, or NULL. */
void stream_close(struct stream *stream, uint64_t *reason);
/* Goes on with one that late answers have marked. */
void stream_resume(struct stream *stream, uint64_t now_ms);
/* Closes one that has been idle, or slow, for too long. */
void stream_check(struct stream *stream, uint64_t now_ms);

#endif
