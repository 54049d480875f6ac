/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035 4, RFC 6891): every byte that came over a socket is read here.
 *
 * A query is read into a struct dns_query: what was asked and how the asker wants it answered.
 * A response is read into a struct dns_answer, which borrows the bytes: all its records have been
 * walked and lie inside. Nothing here decides policy; limits and refusals are the server's.
 */
#ifndef CAUSEWAY_DNS_MESSAGE_MESSAGE_H
#define CAUSEWAY_DNS_MESSAGE_MESSAGE_H

#include "dns/message/name.h"

#define DNS_HEADER_BYTES  12
#define DNS_MESSAGE_BYTES 65535 /* over a stream, RFC 1035 4.2.2 */
#define DNS_UDP_BYTES     512   /* without EDNS, RFC 1035 4.2.1 */

enum dns_type {
    DNS_TYPE_A = 1,
    DNS_TYPE_NS = 2,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_TSIG = 250,
    DNS_TYPE_IXFR = 251,
    DNS_TYPE_AXFR = 252,
    DNS_TYPE_ANY = 255,
};
enum { DNS_CLASS_IN = 1 };

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16, /* extended: upper bits in the OPT record (RFC 6891 9) */
};

struct dns_question {
    struct dns_name name; /* in the asker's case */
    uint16_t type, class;
};

/* How a client asked. */
struct dns_query {
    uint16_t id;
    uint8_t opcode;
    bool recursion_desired, checking_disabled, authentic_data;
    bool has_edns, dnssec_ok; /* DO */
    uint16_t udp_size;        /* what the asker takes over UDP: 512 at least */
    bool wants_keepalive;     /* edns-tcp-keepalive option present (RFC 7828) */
    struct dns_question question;
};

enum dns_query_error {
    DNS_QUERY_OK = 0,
    DNS_QUERY_SHORT,    /* less than a header: no answer is possible */
    DNS_QUERY_RESPONSE, /* QR set: never answered, or two servers would talk for ever */
    DNS_QUERY_FORMAT,   /* FORMERR: counts, names or records out of the bytes, not one question */
    DNS_QUERY_OPCODE,   /* NOTIMP */
    DNS_QUERY_VERSION,  /* BADVERS: EDNS version above 0 */
    DNS_QUERY_ERROR_COUNT
};

/*
 * Reads a client's query. Trailing bytes, a second OPT, an OPT of another name than the root, and
 * records in answer or authority sections are DNS_QUERY_FORMAT; so is a TSIG that is not the last
 * record (RFC 8945 5.1). With FORMAT, OPCODE and VERSION the
 * id, flags, EDNS fields and question are filled in as far as they were readable
 * (question.name.length 0: not readable), for the error answer.
 */
enum dns_query_error dns_query_parse(const uint8_t *bytes, size_t length, struct dns_query *out);

/*
 * The query for an upstream: same question in its case, CD and DO of the asker. RD and AD are
 * always set (RFC 6840 5.7): an answer is kept for whoever asks the same with the same DO and CD,
 * so it must not depend on the first asker's other flags. Returns the length in out[out_size], 0 if
 * it does not fit.
 */
struct dns_upstream_form {
    uint16_t id;
    uint16_t udp_size; /* announced in EDNS; 0: no EDNS at all, for an upstream that fails on it */
    bool keepalive;    /* ask how long the connection may idle (RFC 7828) */
    uint16_t pad_to;   /* fill to a multiple of this many bytes (RFC 8467); 0: no padding */
};
size_t dns_query_build(const struct dns_query *query, const struct dns_upstream_form *form,
                       uint8_t *out, size_t out_size);

enum dns_answer_error {
    DNS_ANSWER_OK = 0,
    DNS_ANSWER_SHORT,
    DNS_ANSWER_QUERY,    /* QR not set, or another opcode */
    DNS_ANSWER_FORMAT,   /* counts, names or records out of the bytes */
    DNS_ANSWER_ID,       /* not the id asked with */
    DNS_ANSWER_QUESTION, /* not the question asked; its case does not matter */
    DNS_ANSWER_ERROR_COUNT
};
const char *dns_answer_error_name(enum dns_answer_error error);

#define DNS_MAX_TTL_S 604800 /* RFC 8767 4: more than 7 days is capped */

/* A TTL field as it is to be taken: seconds up to DNS_MAX_TTL_S; 0 with its top bit set (RFC 2181
 * 8). */
uint32_t dns_ttl_meaning(uint32_t ttl);

/* An upstream's answer, borrowing its bytes. Offsets count from the header's first byte. */
struct dns_answer {
    const uint8_t *bytes;
    size_t length;
    uint16_t rcode; /* with the extended bits */
    bool truncated, authentic_data, authoritative, recursion_available;
    bool negative;  /* NXDOMAIN, or no data: no record answers the question (RFC 2308 2) */
    bool is_bare;   /* an error without a question section: only the id says what it is for */
    bool cacheable; /* NOERROR or NXDOMAIN, not truncated; a negative one has its SOA */
    uint32_t ttl_s; /* smallest TTL of the records; of a negative one also the SOA's MINIMUM */
    uint32_t keepalive_100ms; /* RFC 7828 timeout in units of 100 ms; UINT32_MAX: not given */
    size_t records;           /* offset behind the question */
    size_t opt, opt_length;   /* the OPT record; opt_length 0: none */
};

/*
 * Reads a response. asked may be NULL (fuzzing, tests); otherwise id and question must be those of
 * the query it answers. An error may come without its question (unbound's "refuse" does). Bytes
 * behind the last record are left out. bytes stay borrowed by *out.
 */
enum dns_answer_error dns_answer_parse(const uint8_t *bytes, size_t length, uint16_t id,
                                       const struct dns_question *asked, struct dns_answer *out);

#endif
