/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following a file by its name, not by its inode.
 *
 * /etc/resolv.conf is replaced by a rename, written in place, or a symbolic link whose target is
 * replaced (systemd-resolved, NetworkManager) or which itself is replaced. So every directory that
 * a link of the chain stands in is watched, and the file at its end (a bind mount, as in
 * containers, changes without its directory here telling). Any event there sets up the watches
 * anew, and then reads the file: whatever changes behind the reading gives another event. Events
 * say only "look"; whether the servers changed is decided by comparing them.
 *
 * A directory that does not exist cannot be watched: as long as the file cannot be read, it is
 * looked for once a second.
 */
#include "dns/files/follow.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/endpoint.h"
#include "runtime/base/log.h"

#define FILE_BYTES  16384 /* of a resolv.conf; what is behind is not read */
#define LINKS_MAX   8
#define LOOK_MS     1000
#define WATCHES_MAX (LINKS_MAX + 2)
#define DIRECTORY_EVENTS                                                                           \
    (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_DELETE_SELF |       \
     IN_MOVE_SELF | IN_ONLYDIR)
#define FILE_EVENTS (IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF)

struct follow {
    struct event_loop *loop;
    struct event_source source; /* inotify */
    struct follow_config config;
    char path[PATH_MAX];
    struct ip_addr own[FOLLOW_OWN_MAX];
    struct upstream_spec specs[UPSTREAMS_MAX];
    unsigned count;
    int watches[WATCHES_MAX];
    unsigned watch_count;
    bool is_missing;
    uint64_t look_ms;
    struct log_limit log;
};

/* ---- what it says ---- */

/* Whether an address is one of this machine's: a datagram to it would leave from it, but for the
 * loopback network, which leaves from 127.0.0.1. */
static bool is_local(const struct ip_addr *address)
{
    static const struct ip_prefix loopback = {{4, {127}}, 8};

    union inet_sockaddr to, from = {0};
    socklen_t length = endpoint_inet(address, 53, &to);
    if (prefix_contains(&loopback, address))
        return true;
    int fd = socket(to.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool known = connect(fd, &to.any, length) == 0 && getsockname(fd, &from.any, &length) == 0;
    close(fd);
    return known && (address->version == 6 ? memcmp(&from.v6.sin6_addr, &to.v6.sin6_addr, 16) == 0
                                           : from.v4.sin_addr.s_addr == to.v4.sin_addr.s_addr);
}

static bool is_own(const struct ip_addr *address, const struct ip_addr *own, unsigned own_count)
{
    static const uint8_t all[16];

    for (unsigned i = 0; i < own_count; i++) {
        if (addr_equal(&own[i], address))
            return true;
        if (own[i].version == address->version && memcmp(own[i].bytes, all, 16) == 0 &&
            is_local(address))
            return true;
    }
    return false;
}

/* The word behind "nameserver" of a line of `length` bytes, into word; false: another line. */
static bool server_of_line(const char *line, size_t length, char *word, size_t word_size)
{
    static const char keyword[] = "nameserver";
    size_t at = sizeof(keyword) - 1, end;

    if (length <= at || memcmp(line, keyword, at) != 0 || !isblank((unsigned char)line[at]))
        return false;
    while (at < length && isblank((unsigned char)line[at]))
        at++;
    for (end = at; end < length && !isspace((unsigned char)line[end]);)
        end++;
    if (end == at || end - at >= word_size)
        return false;
    memcpy(word, line + at, end - at);
    word[end - at] = '\0';
    return true;
}

unsigned follow_parse(const char *text, const struct ip_addr *own, unsigned own_count,
                      struct upstream_spec *specs)
{
    unsigned count = 0;

    while (*text != '\0' && count < UPSTREAMS_MAX) {
        char word[ADDR_TEXT_BYTES], url[ADDR_TEXT_BYTES + 8];
        struct failure ignored;
        size_t length = strcspn(text, "\n");
        if (server_of_line(text, length, word, sizeof(word))) {
            snprintf(url, sizeof(url), strchr(word, ':') != NULL ? "tcp://[%s]" : "tcp://%s", word);
            if (upstream_parse(url, &specs[count], &ignored) &&
                !is_own(&specs[count].address, own, own_count))
                count++;
        }
        text += length + (text[length] == '\n');
    }
    return count;
}

/* ---- watching ---- */

static void add_watch(struct follow *follow, const char *path, uint32_t events)
{
    int watch = inotify_add_watch(follow->source.fd, path, events);

    for (unsigned i = 0; i < follow->watch_count; i++)
        if (follow->watches[i] == watch)
            return; /* the same directory again */
    if (watch >= 0)
        follow->watches[follow->watch_count++] = watch;
}

static void watch_directory_of(struct follow *follow, const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        add_watch(follow, ".", DIRECTORY_EVENTS);
    else if (slash == path)
        add_watch(follow, "/", DIRECTORY_EVENTS);
    else if (snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path) <
             (int)sizeof(directory))
        add_watch(follow, directory, DIRECTORY_EVENTS);
}

/* path becomes what the symbolic link it names points at; false: it names none. */
static bool resolve_link(char *path)
{
    char target[PATH_MAX], joined[2 * PATH_MAX];
    ssize_t length = readlink(path, target, sizeof(target) - 1);
    const char *slash = strrchr(path, '/');

    if (length < 0)
        return false;
    target[length] = '\0';
    if (target[0] == '/' || slash == NULL)
        snprintf(joined, sizeof(joined), "%s", target);
    else
        snprintf(joined, sizeof(joined), "%.*s/%s", (int)(slash - path), path, target);
    if (strlen(joined) >= PATH_MAX)
        return false;
    memcpy(path, joined, strlen(joined) + 1);
    return true;
}

static void watch_all(struct follow *follow)
{
    char path[PATH_MAX];

    while (follow->watch_count > 0)
        inotify_rm_watch(follow->source.fd, follow->watches[--follow->watch_count]);
    snprintf(path, sizeof(path), "%s", follow->config.path);
    for (unsigned links = 0; links < LINKS_MAX; links++) {
        watch_directory_of(follow, path);
        if (!resolve_link(path))
            break;
    }
    add_watch(follow, path, FILE_EVENTS);
}

/* ---- reading ---- */

static bool read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    size_t have = 0;
    ssize_t got = -1;

    if (fd < 0)
        return false;
    while (have < size - 1 && (got = read(fd, text + have, size - 1 - have)) > 0)
        have += (size_t)got;
    close(fd);
    text[have] = '\0';
    return got >= 0 || have > 0;
}

static bool same_servers(const struct upstream_spec *a, unsigned a_count,
                         const struct upstream_spec *b, unsigned b_count)
{
    if (a_count != b_count)
        return false;
    for (unsigned i = 0; i < a_count; i++)
        if (!upstream_equal(&a[i], &b[i]))
            return false;
    return true;
}

static void tell(struct follow *follow)
{
    char list[UPSTREAMS_MAX * (ADDR_TEXT_BYTES + 1)] = "", address[ADDR_TEXT_BYTES];
    size_t used = 0;

    for (unsigned i = 0; i < follow->count; i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, " %s",
                                 addr_format(&follow->specs[i].address, address));
    log_limited(&follow->log, LOG_LEVEL_INFO, "%s: %u name servers%s%s", follow->config.path,
                follow->count, follow->count > 0 ? ":" : "", list);
}

/*
 * Takes all events away: what happened before is seen by the reading that follows, and each watch
 * that was removed has left one (IN_IGNORED), which would wake us for ever.
 */
static void drain(const struct follow *follow)
{
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

    while (read(follow->source.fd, buffer, sizeof(buffer)) > 0)
        ;
}

/* True when the servers are not what they were. */
static bool look(struct follow *follow)
{
    struct upstream_spec specs[UPSTREAMS_MAX];
    char text[FILE_BYTES];

    watch_all(follow);
    drain(follow);
    follow->is_missing = !read_file(follow->config.path, text, sizeof(text));
    follow->look_ms = clock_ms() + LOOK_MS;
    if (follow->is_missing)
        return false;
    unsigned count = follow_parse(text, follow->own, follow->config.own_count, specs);
    if (same_servers(specs, count, follow->specs, follow->count))
        return false;
    memcpy(follow->specs, specs, sizeof(specs));
    follow->count = count;
    tell(follow);
    return true;
}

static void look_and_tell(struct follow *follow)
{
    if (look(follow))
        follow->config.changed(follow->config.context, follow->specs, follow->count);
}

static void inotify_ready(void *context, uint32_t events)
{
    (void)events;
    look_and_tell(context);
}

int follow_timeout(const struct follow *follow, uint64_t now_ms)
{
    if (!follow->is_missing)
        return -1;
    return follow->look_ms > now_ms ? (int)(follow->look_ms - now_ms) : 0;
}

void follow_tick(struct follow *follow, uint64_t now_ms)
{
    if (follow->is_missing && now_ms >= follow->look_ms)
        look_and_tell(follow);
}

unsigned follow_servers(const struct follow *follow, const struct upstream_spec **specs)
{
    *specs = follow->specs;
    return follow->count;
}

const char *follow_path(const struct follow *follow)
{
    return follow->path;
}

struct follow *follow_open(struct event_loop *loop, const struct follow_config *config,
                           struct failure *failure)
{
    struct follow *follow = calloc(1, sizeof(*follow));
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (follow == NULL || fd < 0 || config->own_count > FOLLOW_OWN_MAX) {
        failure_set(failure, "cannot watch %s: %s", config->path,
                    fd < 0 ? strerror(errno) : "no memory");
        if (fd >= 0)
            close(fd);
        free(follow);
        return NULL;
    }
    follow->loop = loop;
    follow->config = *config;
    snprintf(follow->path, sizeof(follow->path), "%s", config->path);
    follow->config.path = follow->path;
    for (unsigned i = 0; i < config->own_count; i++)
        follow->own[i] = config->own[i];
    follow->source = (struct event_source){.fd = fd, .ready = inotify_ready, .context = follow};
    if (event_add(loop, &follow->source, EPOLLIN) < 0) {
        failure_set(failure, "cannot watch %s", config->path);
        close(fd);
        free(follow);
        return NULL;
    }
    look(follow);
    if (follow->is_missing)
        log_info("%s is not there yet: waiting for it", config->path);
    return follow;
}

void follow_close(struct follow *follow)
{
    if (follow == NULL)
        return;
    event_remove(follow->loop, &follow->source);
    close(follow->source.fd);
    free(follow);
}
