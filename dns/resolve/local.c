/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables of names: that of --host, which only grows, and that of the hosts file, which is built
 * anew and put in the old one's place when the file changes. A name found in the first is not
 * looked for in the second, so that an option overrides the file.
 *
 * localhost, invalid, the loopback's reverse names, and what no upstream should see need no table.
 */
#include "dns/resolve/local.h"

#include "dns/resolve/local_table.h"
#include "runtime/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCAL_TTL_S 10   /* a change of the hosts file is noticed within a second, then by caches */
#define LINE_BYTES  4096 /* of the hosts file; a longer line is ignored */
#define LOCALHOST   "\x09localhost"
#define INVALID     "\x07invalid"
#define ONION       "\x05onion"

static const uint8_t localhost_wire[] = LOCALHOST;
static const uint8_t loopback4[] = {127, 0, 0, 1};
static const uint8_t loopback6[16] = {[15] = 1};

/* ---- names that need no table ---- */

enum special { NOT_SPECIAL, SPECIAL_LOCALHOST, SPECIAL_INVALID, SPECIAL_ONION, SPECIAL_ARPA };

static bool is_label(const struct dns_name *name, size_t at, const char *lowered)
{
    for (size_t i = 0; i <= (size_t)lowered[0]; i++) /* a length has no letter's bits */
        if ((name->wire[at + i] | (i == 0 ? 0 : 0x20)) != (uint8_t)lowered[i])
            return false;
    return true;
}

/* By the last label. RFC 6761 6.3 and 6.4: and all that is below. */
static enum special special_of(const struct dns_name *name)
{
    size_t at = 0, last = 0;

    for (; name->wire[at] != 0; at += 1 + (size_t)name->wire[at])
        last = at;
    if (is_label(name, last, LOCALHOST))
        return SPECIAL_LOCALHOST;
    if (is_label(name, last, INVALID))
        return SPECIAL_INVALID;
    if (is_label(name, last, ONION))
        return SPECIAL_ONION;
    return is_label(name, last, "\4arpa") ? SPECIAL_ARPA : NOT_SPECIAL;
}

static size_t answer_one(const struct dns_query *query, uint16_t type, const uint8_t *rdata,
                         size_t length, size_t limit, uint8_t *out)
{
    struct dns_local_record record = {type, (uint16_t)length, rdata};
    bool asked = query->question.type == type || query->question.type == DNS_TYPE_ANY;

    return dns_render_local(query, DNS_NOERROR, &record, asked, LOCAL_TTL_S, limit, out);
}

static size_t answer_localhost(const struct dns_query *query, size_t limit, uint8_t *out)
{
    if (query->question.type == DNS_TYPE_AAAA)
        return answer_one(query, DNS_TYPE_AAAA, loopback6, sizeof(loopback6), limit, out);
    return answer_one(query, DNS_TYPE_A, loopback4, sizeof(loopback4), limit, out);
}

/* All of 127.in-addr.arpa is ours, and ::1 (RFC 6303 4.2, 4.3). */
static size_t answer_loopback(const struct dns_query *query, size_t limit, uint8_t *out)
{
    static const struct dns_name zone4 = {18, "\003127\007in-addr\004arpa"};
    struct ip_addr one = {.version = 6};
    struct dns_name zone6;

    memcpy(one.bytes, loopback6, sizeof(loopback6));
    local_reverse_name(&one, &zone6);
    if (!dns_name_within(&query->question.name, &zone4) &&
        !dns_name_equal(&query->question.name, &zone6))
        return 0;
    return answer_one(query, DNS_TYPE_PTR, localhost_wire, sizeof(localhost_wire), limit, out);
}

/*
 * Addresses that mean something on one link or machine only: this network, link-local, broadcast
 * (RFC 6303 4.2, 4.3, 4.5). Their names are asked by accident, and tell an upstream what stands on
 * the link. Private networks are not among them: a VPC's resolver knows its own.
 */
static bool is_on_the_link(const struct dns_name *name)
{
    static const struct dns_name zones[] = {
        {16, "\0010\007in-addr\004arpa"},
        {22, "\003254\003169\007in-addr\004arpa"},
        {30, "\003255\003255\003255\003255\007in-addr\004arpa"},
        {16, "\0018\001e\001f\003ip6\004arpa"},
        {16, "\0019\001e\001f\003ip6\004arpa"},
        {16, "\001a\001e\001f\003ip6\004arpa"},
        {16, "\001b\001e\001f\003ip6\004arpa"},
    };
    const struct ip_addr unspecified = {.version = 6};
    struct dns_name zone6;

    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
        if (dns_name_within(name, &zones[i]))
            return true;
    local_reverse_name(&unspecified, &zone6);
    return dns_name_within(name, &zone6);
}

static size_t deny(const struct dns_query *query, size_t limit, uint8_t *out)
{
    return dns_render_local(query, DNS_NXDOMAIN, NULL, 0, LOCAL_TTL_S, limit, out);
}

/* What no table has and no upstream should see. 0: it is not such a name. */
static size_t answer_unlisted(const struct dns_query *query, enum special special, size_t limit,
                              uint8_t *out)
{
    size_t length;

    if (special == SPECIAL_ONION) /* RFC 7686 2 */
        return deny(query, limit, out);
    if (special != SPECIAL_ARPA)
        return 0;
    length = answer_loopback(query, limit, out);
    if (length == 0 && is_on_the_link(&query->question.name))
        length = deny(query, limit, out);
    return length;
}

/* ---- the hosts file ---- */

struct dns_local {
    struct local_table *options, *file; /* file NULL: none, or not there */
    char *path;
    struct stat seen; /* of the file as it was read last; st_nlink 0: it was not there */
    struct log_limit unreadable;
};

/* What was not taken from the file, for one message. */
struct ignored {
    unsigned lines, first_line, names;
};

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_nlink == b->st_nlink && a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* What no file can change. */
static bool is_fixed(const struct dns_name *name)
{
    enum special special = special_of(name);
    return special == SPECIAL_LOCALHOST || special == SPECIAL_INVALID;
}

/* "ADDRESS NAME ALIAS..."; a comment starts with '#'. */
static enum local_add add_line(struct local_table *table, char *line, bool *good,
                               struct ignored *ignored)
{
    char *rest = line, *word;
    struct ip_addr address;
    bool first = true;

    line[strcspn(line, "#\r\n")] = '\0';
    *good = true;
    word = strtok_r(line, " \t", &rest);
    if (!word)
        return LOCAL_ADDED;
    *good = addr_parse(word, &address);
    while (*good && (word = strtok_r(NULL, " \t", &rest)) != NULL) {
        struct dns_name name;
        enum local_add result = LOCAL_ADDED;
        *good = dns_name_from_text(word, &name) && name.length > 1;
        if (*good && !is_fixed(&name))
            result = local_table_add(table, &name, &address, first);
        first = false;
        if (result == LOCAL_NO_MEMORY)
            return result;
        ignored->names += result == LOCAL_TOO_MANY;
    }
    return LOCAL_ADDED;
}

static bool add_lines(struct local_table *table, FILE *file, struct ignored *ignored)
{
    char line[LINE_BYTES];
    bool inside = false; /* of a line whose beginning was too long */

    for (unsigned number = 1; fgets(line, sizeof(line), file);) {
        bool whole = strchr(line, '\n') != NULL || feof(file), good = whole && !inside;
        if (good && add_line(table, line, &good, ignored) == LOCAL_NO_MEMORY)
            return false;
        if (!good && !inside && ignored->lines++ == 0)
            ignored->first_line = number;
        inside = !whole;
        number += whole;
    }
    return ferror(file) == 0;
}

static void tell_ignored(const char *path, const struct ignored *ignored)
{
    if (ignored->lines)
        log_warning("%s: %u lines are not an address and names (the first: line %u)", path,
                    ignored->lines, ignored->first_line);
    if (ignored->names)
        log_warning("%s: %u names are beyond the limits (%d names, %d addresses of each)", path,
                    ignored->names, DNS_LOCAL_ENTRIES, LOCAL_RECORDS_MAX);
}

/* The file's table, with the file's state from before it was read: a later change is seen as one.
 * NULL with errno: cannot be read. */
static struct local_table *read_file(const char *path, struct stat *seen)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it might be a pipe */
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    struct local_table *table = file ? local_table_create() : NULL;
    struct ignored ignored = {0};

    if (table && (fstat(fd, seen) != 0 || !add_lines(table, file, &ignored))) {
        local_table_free(table);
        table = NULL;
    }
    int error = errno;
    if (file)
        fclose(file);
    else if (fd >= 0)
        close(fd);
    if (table)
        tell_ignored(path, &ignored);
    errno = error;
    return table;
}

void dns_local_refresh(struct dns_local *local)
{
    struct stat now;

    if (!local->path)
        return;
    if (stat(local->path, &now) != 0)
        memset(&now, 0, sizeof(now)); /* st_nlink 0 */
    if (same_file(&now, &local->seen))
        return;
    struct local_table *table = NULL;
    if (now.st_nlink != 0) {
        table = read_file(local->path, &now);
        if (!table) { /* what was known before is better than nothing */
            log_limited(&local->unreadable, LOG_LEVEL_WARNING, "%s: %s", local->path,
                        strerror(errno));
            return;
        }
    }
    local_table_free(local->file);
    local->file = table;
    local->seen = now;
}

/* ---- the whole ---- */

struct dns_local *dns_local_create(const char *hosts_path)
{
    struct dns_local *local = calloc(1, sizeof(*local));

    if (!local)
        return NULL;
    local->options = local_table_create();
    local->path = hosts_path ? strdup(hosts_path) : NULL;
    if (!local->options || (hosts_path && !local->path)) {
        dns_local_free(local);
        return NULL;
    }
    dns_local_refresh(local);
    return local;
}

void dns_local_free(struct dns_local *local)
{
    if (!local)
        return;
    local_table_free(local->options);
    local_table_free(local->file);
    free(local->path);
    free(local);
}

/* Splits NAME=ADDRESS. NULL: good; otherwise what is wrong. */
static const char *parse_host(const char *text, struct dns_name *name, struct ip_addr *address)
{
    const char *equals = strchr(text, '=');
    char name_text[DNS_NAME_TEXT_BYTES];
    size_t length = equals ? (size_t)(equals - text) : 0;

    if (length == 0 || length >= sizeof(name_text))
        return "is not of the form NAME=ADDRESS";
    memcpy(name_text, text, length);
    name_text[length] = '\0';
    if (!dns_name_from_text(name_text, name) || name->length == 1)
        return "does not start with a host name";
    if (!addr_parse(equals + 1, address))
        return "does not end with an IP address";
    switch (special_of(name)) {
    case SPECIAL_LOCALHOST:
        return "names the loopback, whose address is fixed (RFC 6761 6.3)";
    case SPECIAL_INVALID:
        return "is below \"invalid\", where no name exists (RFC 6761 6.4)";
    case SPECIAL_ONION:
    case SPECIAL_ARPA:
    case NOT_SPECIAL:
        break;
    }
    return NULL;
}

static const char *wrong_with(enum local_add result)
{
    switch (result) {
    case LOCAL_ADDED:
        return NULL;
    case LOCAL_NO_MEMORY:
        return "does not fit in memory";
    case LOCAL_TOO_MANY:
        break;
    }
    return "is one too many";
}

bool dns_local_add(struct dns_local *local, const char *text, struct failure *failure)
{
    struct dns_name name;
    struct ip_addr address;
    const char *wrong = parse_host(text, &name, &address);

    if (!wrong)
        wrong = wrong_with(local_table_add(local->options, &name, &address, true));
    if (wrong)
        failure_set(failure, "%s", wrong);
    return wrong == NULL;
}

static size_t answer_from_tables(const struct dns_local *local, const struct dns_query *query,
                                 size_t limit, uint8_t *out)
{
    const struct local_table *const tables[] = {local->options, local->file};
    struct dns_local_record records[LOCAL_RECORDS_MAX];
    struct dns_name lowered;

    dns_name_lower(&query->question.name, &lowered);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t index = tables[i] ? local_table_find(tables[i], &lowered) : 0;
        if (index != 0) {
            size_t count = local_table_records(tables[i], index, query->question.type, records);
            return dns_render_local(query, DNS_NOERROR, records, count, LOCAL_TTL_S, limit, out);
        }
    }
    return 0;
}

size_t dns_local_answer(const struct dns_local *local, const struct dns_query *query, size_t limit,
                        uint8_t *out)
{
    if (query->question.class != DNS_CLASS_IN)
        return 0;
    enum special special = special_of(&query->question.name);
    if (special == SPECIAL_LOCALHOST)
        return answer_localhost(query, limit, out);
    if (special == SPECIAL_INVALID)
        return deny(query, limit, out);
    size_t length = answer_from_tables(local, query, limit, out);
    return length != 0 ? length : answer_unlisted(query, special, limit, out);
}
