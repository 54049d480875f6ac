/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/control.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/endpoint.h"
#include "runtime/base/link.h"

#define BACKLOG 16

/* ---- clients ---- */

static void close_client(struct control_client *client)
{
    event_remove(client->control->loop, &client->source);
    close(client->source.fd);
    client->source.fd = -1;
    if (client->pass_fd >= 0)
        close(client->pass_fd);
    client->pass_fd = -1;
    json_free(&client->reply);
    if (client->closed != NULL)
        client->closed(client->closed_context);
    client->closed = NULL;
}

static void drop_client(struct control_client *client, const char *why)
{
    client->control->dropped++;
    log_limited(&client->control->log, LOG_LEVEL_WARNING, "a client of the control socket: %s",
                why);
    close_client(client);
}

bool control_hold(const struct control_request *request, int pass_fd, void (*closed)(void *context),
                  void *context)
{
    struct control_client *client = request->client;

    if (client->closed != NULL)
        return false;
    client->pass_fd = pass_fd;
    client->closed = closed;
    client->closed_context = context;
    return true;
}

/* ---- answers ---- */

static ssize_t send_bytes(struct control_client *client)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {client->reply.bytes + client->sent, client->reply.length - client->sent};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (client->pass_fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &client->pass_fd, sizeof(int));
    }
    return sendmsg(client->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Sends what the socket takes. False: the client is gone. */
static bool write_reply(struct control_client *client)
{
    while (client->sent < client->reply.length) {
        ssize_t sent = send_bytes(client);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            event_change(client->control->loop, &client->source, EPOLLOUT);
            return true;
        }
        if (sent < 0) {
            close_client(client);
            return false;
        }
        client->sent += (size_t)sent;
        client->active_ms = clock_ms();
        if (client->pass_fd >= 0)
            close(client->pass_fd);
        client->pass_fd = -1;
    }
    json_free(&client->reply);
    client->sent = 0;
    event_change(client->control->loop, &client->source, EPOLLIN);
    return true;
}

static void reply_error(struct json *reply, const char *sentence)
{
    json_free(reply);
    json_begin(reply, NULL);
    json_flag(reply, "ok", false);
    json_text(reply, "error", sentence);
    json_end(reply);
    json_raw(reply, "\n", 1);
}

/* ---- requests ---- */

static const struct control_command *find_command(const struct control_command *commands,
                                                  const char *name)
{
    for (; commands->name != NULL; commands++)
        if (strcmp(commands->name, name) == 0)
            return commands;
    return NULL;
}

static bool run_command(struct control_client *client, const struct control_words *words,
                        struct failure *failure)
{
    struct control *control = client->control;
    struct control_request request = {.client = client, .words = words};
    const struct control_command *command = find_command(control->commands, words->word[0]);
    unsigned arguments = words->count - 1;

    if (command == NULL)
        failure_set(failure, "unknown command '%.100s'", words->word[0]);
    else if (arguments < command->minimum || arguments > command->maximum)
        failure_set(failure, command->arguments ? "%s needs: %s" : "%s takes no arguments",
                    command->name, command->arguments);
    else if (command->run(control->context, &request, &client->reply, failure))
        return true;
    return false;
}

static void handle_line(struct control_client *client, size_t length)
{
    struct control *control = client->control;
    struct control_words words;
    struct failure failure = {"a request is words of printable characters"};

    control->requests++;
    json_begin(&client->reply, NULL);
    json_flag(&client->reply, "ok", true);
    bool done =
        control_split(client->line, length, &words) && run_command(client, &words, &failure);
    json_end(&client->reply);
    json_raw(&client->reply, "\n", 1);
    if (done && client->reply.failed) {
        failure_set(&failure, "the answer is too long");
        done = false;
    }
    if (!done) {
        control->bad_requests++;
        reply_error(&client->reply, failure.text);
    }
}

/* Handles the lines that are there, until an answer has to wait. */
static void read_lines(struct control_client *client)
{
    char *end;

    while (client->reply.length == 0 && (end = memchr(client->line, '\n', client->have)) != NULL) {
        size_t length = (size_t)(end - client->line);
        handle_line(client, length);
        client->have -= length + 1;
        memmove(client->line, end + 1, client->have);
        if (!write_reply(client))
            return;
    }
    if (client->reply.length == 0 && client->have == sizeof(client->line))
        drop_client(client, "sent a line that is too long");
}

static void client_ready(void *context, uint32_t events)
{
    struct control_client *client = context;

    if (client->reply.length > 0) {
        if (events & (EPOLLHUP | EPOLLERR))
            close_client(client);
        else if (write_reply(client))
            read_lines(client);
        return;
    }
    ssize_t got = recv(client->source.fd, client->line + client->have,
                       sizeof(client->line) - client->have, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        close_client(client);
        return;
    }
    if (client->have == 0)
        client->active_ms = clock_ms(); /* the clock of a line begins with its first byte */
    client->have += (size_t)got;
    read_lines(client);
}

/* ---- accept ---- */

/* A free place, made if need be by the client that was quiet for longest and holds nothing. */
static struct control_client *get_place(struct control *control)
{
    struct control_client *oldest = NULL;

    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct control_client *client = &control->clients[i];
        if (client->source.fd < 0)
            return client;
        if (client->closed == NULL && (oldest == NULL || client->active_ms < oldest->active_ms))
            oldest = client;
    }
    if (oldest != NULL) {
        control->evicted++;
        close_client(oldest);
    }
    return oldest;
}

/* A file's mode keeps strangers out; a name in the abstract namespace has none. */
static bool is_welcome(const struct control *control, int fd)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);

    if (!control->abstract)
        return true;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void listener_ready(void *context, uint32_t events)
{
    struct control *control = context;
    int fd = accept4(control->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    struct control_client *client = is_welcome(control, fd) ? get_place(control) : NULL;
    if (client == NULL) {
        control->refused++;
        close(fd);
        return;
    }
    control->accepted++;
    client->source = (struct event_source){.fd = fd, .ready = client_ready, .context = client};
    client->active_ms = clock_ms();
    client->have = client->sent = 0;
    if (event_add(control->loop, &client->source, EPOLLIN) < 0) {
        close(fd);
        client->source.fd = -1;
    }
}

/* ---- the socket ---- */

static int listen_abstract(const char *name)
{
    struct sockaddr_un address;
    socklen_t length = endpoint_unix(name, &address);

    if (length == 0)
        return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static int link_of(const char *path, struct link_addr *out)
{
    *out = (struct link_addr){.kind = LINK_UNIX};
    return (size_t)snprintf(out->path, sizeof(out->path), "%s", path) < sizeof(out->path)
               ? 0
               : -ENAMETOOLONG;
}

static int listen_file(const char *path)
{
    struct link_addr address;
    int error = link_of(path, &address);

    if (error < 0)
        return error;
    if (strncmp(path, CONTROL_DIRECTORY "/", sizeof(CONTROL_DIRECTORY)) == 0)
        mkdir(CONTROL_DIRECTORY, 0755); /* else the sentence is bind()'s */
    return link_listen(&address);
}

static bool give_to_group(const struct control_options *options, struct failure *failure)
{
    const struct group *group = getgrnam(options->group);

    if (group == NULL)
        return failure_set(failure, "--control-group: no such group: %.100s", options->group);
    if (chown(options->path, (uid_t)-1, group->gr_gid) < 0 || chmod(options->path, 0660) < 0)
        return failure_set(failure, "--control-group: cannot give %.200s to %.100s: %s",
                           options->path, options->group, strerror(errno));
    return true;
}

static bool open_listener(struct control *control, const struct control_options *options,
                          struct failure *failure)
{
    int fd = control->abstract ? listen_abstract(options->path) : listen_file(options->path);

    if (fd >= 0) {
        control->listener =
            (struct event_source){.fd = fd, .ready = listener_ready, .context = control};
        int added = event_add(control->loop, &control->listener, EPOLLIN);
        if (added == 0)
            return true;
        close(fd);
        control->listener.fd = -1;
        fd = added;
    }
    return failure_set(failure, "--control: cannot listen on '%.200s': %s", options->path,
                       strerror(-fd));
}

bool control_open(struct control *control, struct event_loop *loop,
                  const struct control_options *options, const char *default_path,
                  const struct control_command *commands, void *context, struct failure *failure)
{
    *control = (struct control){
        .loop = loop,
        .commands = commands,
        .context = context,
        .abstract = options->path[0] == '@',
        .opened_ms = clock_ms(),
        .listener = {.fd = -1},
    };
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        control->clients[i] =
            (struct control_client){.control = control, .source = {.fd = -1}, .pass_fd = -1};
    if (strcmp(options->path, "none") == 0)
        return true;
    if (!open_listener(control, options, failure)) {
        if (strcmp(options->path, default_path) != 0)
            return false;
        log_warning("%s; causewayctl cannot reach this daemon", failure->text);
        return true;
    }
    return options->group == NULL || control->abstract || give_to_group(options, failure);
}

int control_poll(struct control *control)
{
    uint64_t now_ms = clock_ms(), next_ms = UINT64_MAX;

    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct control_client *client = &control->clients[i];
        if (client->source.fd < 0 || (client->have == 0 && client->reply.length == 0))
            continue;
        uint64_t deadline_ms = client->active_ms + CONTROL_PATIENCE_MS;
        if (now_ms >= deadline_ms)
            drop_client(client, client->reply.length > 0 ? "does not take its answer"
                                                         : "sends no whole line");
        else if (deadline_ms < next_ms)
            next_ms = deadline_ms;
    }
    return next_ms == UINT64_MAX ? -1 : (int)(next_ms - now_ms);
}

void control_close(struct control *control)
{
    if (control->listener.fd >= 0) {
        event_remove(control->loop, &control->listener);
        close(control->listener.fd);
        control->listener.fd = -1;
    }
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].source.fd >= 0)
            close_client(&control->clients[i]);
}

void control_remove(const struct control_options *options)
{
    struct link_addr address;

    if (options->path[0] != '@' && strcmp(options->path, "none") != 0 &&
        link_of(options->path, &address) == 0)
        link_remove_stale(&address);
}

void control_report(const struct control *control, const char *program, struct json *reply)
{
    unsigned clients = 0;

    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        clients += control->clients[i].source.fd >= 0;
    json_text(reply, "program", program);
    json_text(reply, "version", CAUSEWAY_VERSION);
    json_number(reply, "pid", (uint64_t)getpid());
    json_number(reply, "uptime_ms", clock_ms() - control->opened_ms);
    json_begin(reply, "control");
    json_number(reply, "clients", clients);
#define X(counter, ...) json_number(reply, #counter, control->counter);
    CONTROL_COUNTERS(X)
    CONTROL_STATUS_COUNTERS(X)
#undef X
    json_end(reply);
}
