/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemons count: each counter once, with its name, its metric and what it means.
 *
 * The daemons make their structs and status answers of these lists, causewayctl its metrics, and
 * the lint compares the documents with them. A row is
 *
 *     X(member of the struct and of the status answer, metric without "causeway_", kind, meaning)
 *
 * Reasons have a name and a meaning alone: they are values of a label. Why a packet is dropped
 * stands in packet/drop.h.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_COUNTERS_H
#define CAUSEWAY_RUNTIME_BASE_COUNTERS_H

/* COUNTER only rises. The value of a GAUGE_US is in microseconds, its metric in seconds. */
enum counter_kind { COUNTER, GAUGE, GAUGE_US };

/* ---- lanes; struct lane_stats ----
 *
 * captured: from the kernel to the daemon; sent: from the daemon to the link; received: from the
 * link; injected: from the daemon to the kernel. */
#define LANE_COUNTERS(X)                                                                           \
    X(captured_packets, "captured_packets_total", COUNTER, "Packets taken from the kernel")        \
    X(captured_bytes, "captured_bytes_total", COUNTER, "Bytes of packets taken from the kernel")   \
    X(captured_super, "captured_super_packets_total", COUNTER,                                     \
      "Packets taken that were TCP or UDP super-packets")                                          \
    X(captured_refragmented, "captured_refragmented_packets_total", COUNTER,                       \
      "Packets that conntrack had reassembled and that were fragmented again")                     \
    X(capture_pauses, "capture_pauses_total", COUNTER,                                             \
      "Times that all capture buffers were waiting for the link")                                  \
    X(verdict_batches, "verdict_batches_total", COUNTER, "NFQUEUE batch verdicts")                 \
    X(sent_frames, "link_sent_frames_total", COUNTER, "Frames written to the link")                \
    X(sent_bytes, "link_sent_bytes_total", COUNTER, "Bytes written to the link")                   \
    X(sent_writes, "link_writes_total", COUNTER, "Writes on the link")                             \
    X(received_frames, "link_received_frames_total", COUNTER, "Frames read from the link")         \
    X(received_bytes, "link_received_bytes_total", COUNTER, "Bytes read from the link")            \
    X(received_reads, "link_reads_total", COUNTER, "Reads on the link")                            \
    X(injected_packets, "injected_packets_total", COUNTER, "Packets given to the kernel")          \
    X(injected_bytes, "injected_bytes_total", COUNTER, "Bytes of packets given to the kernel")     \
    X(injected_super, "injected_super_packets_total", COUNTER,                                     \
      "Packets given that were TCP or UDP super-packets")                                          \
    X(injected_segmented, "injected_segmented_packets_total", COUNTER,                             \
      "Super-packets that were segmented here")                                                    \
    X(injected_joined, "injected_joined_packets_total", COUNTER,                                   \
      "UDP datagrams given together with others of their flow")                                    \
    X(pings_sent, "pings_sent_total", COUNTER, "Pings sent")                                       \
    X(streams, "streams_total", COUNTER, "Connections that the lane has had")

#define LANE_ROUND_TRIPS(X)                                                                        \
    X(rtt_us, "round_trip_seconds", GAUGE_US, "Latest round trip over the link")                   \
    X(rtt_min_us, "round_trip_min_seconds", GAUGE_US, "Shortest round trip over the link")

/* What the kernel says of a lane's queue; struct lane_report. */
#define LANE_QUEUE(X)                                                                              \
    X(queue_dropped, "queue_dropped_packets_total", COUNTER,                                       \
      "Packets that the kernel dropped before the lane read them")                                 \
    X(queue_packets, "queue_packets", GAUGE, "Packets waiting in the kernel for the lane")         \
    X(queue_bytes, "queue_bytes", GAUGE, "Bytes of buffers waiting in the kernel for the lane")

/* ---- the parent's handshakes; struct sessions ---- */

#define HANDSHAKE_COUNTERS(X)                                                                      \
    X(accepted, "handshakes_accepted_total", COUNTER, "Connections accepted for a handshake")      \
    X(refused_peers, "handshakes_refused_total", COUNTER, "Connections of unknown peers")          \
    X(bad_handshakes, "handshakes_failed_total", COUNTER, "Handshakes that were malformed")        \
    X(rejected, "handshakes_rejected_total", COUNTER, "Handshakes answered by REJECT")

/* ---- control sockets; struct control ---- */

#define CONTROL_CLIENTS(X) X(clients, "control_clients", GAUGE, "Clients of the control socket")

#define CONTROL_COUNTERS(X)                                                                        \
    X(requests, "control_requests_total", COUNTER, "Requests on the control socket")               \
    X(bad_requests, "control_bad_requests_total", COUNTER, "Requests that were refused")           \
    X(dropped, "control_dropped_clients_total", COUNTER, "Clients dropped for being too slow")

/* In status answers alone. */
#define CONTROL_STATUS_COUNTERS(X)                                                                 \
    X(accepted, "Clients accepted")                                                                \
    X(evicted, "Clients dropped to make room for others")                                          \
    X(refused, "Clients that may not use the socket, or found no room")

/* ---- causeway-dns; struct dns_counters ---- */

/* One metric: X(member, transport) */
#define DNS_QUESTIONS(X)                                                                           \
    X(queries_udp, "udp")                                                                          \
    X(queries_tcp, "tcp")                                                                          \
    X(queries_link, "link")

#define DNS_COUNTERS(X)                                                                            \
    X(answers, "dns_answers_total", COUNTER, "Answers given to clients, of any kind")              \
    X(answers_cut, "dns_answers_cut_total", COUNTER, "Answers cut short over UDP")                 \
    X(local, "dns_local_answers_total", COUNTER, "Answers from local names")                       \
    X(hits, "dns_cache_hits_total", COUNTER, "Answers from the cache")                             \
    X(stale, "dns_cache_stale_answers_total", COUNTER,                                             \
      "Answers from the cache past their time, as upstreams gave none")                            \
    X(joined, "dns_joined_questions_total", COUNTER,                                               \
      "Questions that were being asked already and waited for that answer")                        \
    X(asked, "dns_asked_questions_total", COUNTER, "Questions given to the upstreams")             \
    X(refreshed, "dns_refreshing_questions_total", COUNTER,                                        \
      "Questions given to the upstreams without a client that waits")                              \
    X(any, "dns_any_questions_total", COUNTER, "Questions of type ANY")                            \
    X(refused, "dns_refused_questions_total", COUNTER, "Questions answered REFUSED")               \
    X(bad_format, "dns_malformed_questions_total", COUNTER, "Questions answered FORMERR")          \
    X(bad_opcode, "dns_bad_opcode_questions_total", COUNTER, "Questions answered NOTIMP")          \
    X(bad_version, "dns_bad_version_questions_total", COUNTER, "Questions answered BADVERS")       \
    X(servfail, "dns_servfail_answers_total", COUNTER, "Questions answered SERVFAIL")              \
    X(failed_before, "dns_remembered_failures_total", COUNTER,                                     \
      "Questions that failed a moment ago and were not asked again")                               \
    X(streams, "dns_accepted_connections_total", COUNTER, "Connections of clients accepted")       \
    X(streams_idle, "dns_idle_connections_closed_total", COUNTER,                                  \
      "Connections closed because nothing was asked")                                              \
    X(streams_evicted, "dns_evicted_connections_total", COUNTER,                                   \
      "Idle connections closed to make room for others")                                           \
    X(flushes, "dns_cache_flushes_total", COUNTER, "Times that the cache was emptied")

/* Why a client got SERVFAIL although its question was fine, besides enum upstream_failure. */
#define DNS_LIMITS(X)                                                                              \
    X(client_limit, "too many questions of one client are waiting")                                \
    X(queries_limit, "too many questions are waiting in all")                                      \
    X(unusable_answer, "an answer that cannot be given to a client")

#define DNS_DROPS(X)                                                                               \
    X(short, "no header: nothing that could be answered")                                          \
    X(response, "a response sent to a server")                                                     \
    X(send, "the kernel did not take the answer")                                                  \
    X(client_gone, "the connection was closed before its answer came")                             \
    X(streams_full, "connection refused: all are busy")                                            \
    X(stream_stranger, "connection of a CID that the listener is not for")                         \
    X(stream_oversized, "connection closed: a query longer than any")                              \
    X(stream_slow_query, "connection closed: a query was not completed in time")                   \
    X(stream_slow_reader, "connection closed: answers were not read in time")                      \
    X(stream_no_buffer, "connection closed: too many answers were not read")                       \
    X(stream_broken, "connection reset, or closed in the middle of a query")

/* ---- its cache; struct dns_cache_stats ---- */

#define DNS_CACHE_SIZE(X)                                                                          \
    X(entries, "dns_cache_entries", GAUGE, "Answers in the cache")                                 \
    X(bytes_used, "dns_cache_used_bytes", GAUGE, "Memory that they take")

#define DNS_CACHE_LIMIT(X)                                                                         \
    X(bytes_most, "dns_cache_limit_bytes", GAUGE, "Memory that the cache may take")

#define DNS_CACHE_COUNTERS(X)                                                                      \
    X(inserted, "dns_cache_inserted_total", COUNTER, "Answers put into the cache")                 \
    X(evicted, "dns_cache_evicted_total", COUNTER, "Answers dropped to make room")                 \
    X(expired, "dns_cache_expired_total", COUNTER, "Answers dropped after their time")             \
    X(too_large, "dns_cache_too_large_total", COUNTER, "Answers too large for the cache")

/* ---- its upstreams; struct upstream_stats ---- */

#define UPSTREAM_COUNTERS(X)                                                                       \
    X(queries, "dns_upstream_queries_total", COUNTER, "Queries sent to an upstream")               \
    X(answers, "dns_upstream_answers_total", COUNTER, "Answers of an upstream")                    \
    X(late_answers, "dns_upstream_late_answers_total", COUNTER,                                    \
      "Answers that came when nobody waited any more")                                             \
    X(connects, "dns_upstream_connections_total", COUNTER, "Connections to an upstream")           \
    X(tls_resumed, "dns_upstream_resumed_connections_total", COUNTER,                              \
      "Connections with the TLS session of an earlier one")                                        \
    X(reconnect_asks, "dns_upstream_repeated_queries_total", COUNTER,                              \
      "Queries sent again because their connection was lost")                                      \
    X(hedges, "dns_upstream_hedges_total", COUNTER,                                                \
      "Queries sent a second time over another connection")                                        \
    X(probes, "dns_upstream_probes_total", COUNTER, "Questions of our own to quiet upstreams")     \
    X(bytes_sent, "dns_upstream_sent_bytes_total", COUNTER, "Bytes sent to an upstream")           \
    X(bytes_received, "dns_upstream_received_bytes_total", COUNTER,                                \
      "Bytes received from an upstream")

/* A row as a member of a struct. */
#define COUNTER_MEMBER(name, ...) uint64_t name;

#endif
