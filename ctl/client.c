/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "runtime/base/control_request.h"
#include "runtime/base/endpoint.h"

#define PATIENCE_SECONDS 90 /* a change waits for the firewall's tools */
#define ANSWER_MAX_BYTES (8u << 20)

static bool connect_to(const char *path, int *connection, struct failure *failure)
{
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    struct sockaddr_un address;
    socklen_t length = endpoint_unix(path, &address);

    if (length == 0)
        return failure_set(failure, "--control: '%.200s' is not the path of a socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, length) == 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        *connection = fd;
        return true;
    }
    const char *why = strerror(errno);
    if (errno == ENOENT || errno == ECONNREFUSED)
        why = "no daemon listens there";
    else if (errno == EACCES)
        why = "permission denied (root, or a member of --control-group, may use it)";
    failure_set(failure, "%.200s: %s", path, why);
    if (fd >= 0)
        close(fd);
    return false;
}

static void take_descriptor(struct msghdr *message, int *passed_fd)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head)) {
        int fd;
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(&fd, CMSG_DATA(head), sizeof(fd));
        if (passed_fd != NULL && *passed_fd < 0)
            *passed_fd = fd;
        else
            close(fd);
    }
}

static ssize_t receive(int fd, char *bytes, size_t size, int *passed_fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {bytes, size};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t got;

    do
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        take_descriptor(&message, passed_fd);
    return got;
}

/* The answer's line, from malloc(), without its newline. */
static char *read_line(int fd, int *passed_fd)
{
    size_t have = 0, size = 65536;
    char *line = malloc(size);

    while (line != NULL) {
        ssize_t got = receive(fd, line + have, size - have - 1, passed_fd);
        if (got <= 0)
            break;
        have += (size_t)got;
        if (line[have - 1] == '\n') {
            line[have - 1] = '\0';
            return line;
        }
        if (have == size - 1) {
            char *larger = size < ANSWER_MAX_BYTES ? realloc(line, size * 2) : NULL;
            if (larger == NULL)
                break;
            line = larger;
            size *= 2;
        }
    }
    free(line);
    return NULL;
}

static bool send_line(int fd, const char *line)
{
    struct iovec parts[] = {{(void *)line, strlen(line)}, {(void *)"\n", 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)(strlen(line) + 1);
}

struct json_object *client_read_answer(const char *text, const char *path, struct failure *failure)
{
    struct json_object *answer = json_tokener_parse(text), *error = NULL;

    if (json_object_get_boolean(json_object_object_get(answer, "ok")))
        return answer;
    error = json_object_object_get(answer, "error");
    if (json_object_is_type(error, json_type_string))
        failure_set(failure, "%s", json_object_get_string(error));
    else
        failure_set(failure, "%.200s: the daemon gives no answer", path);
    json_object_put(answer);
    return NULL;
}

static struct json_object *exchange(int fd, const char *path, const char *line, int *passed_fd,
                                    struct failure *failure)
{
    char *text = send_line(fd, line) ? read_line(fd, passed_fd) : NULL;
    struct json_object *answer = client_read_answer(text != NULL ? text : "", path, failure);

    free(text);
    return answer;
}

struct json_object *client_request(const char *path, const char *line, int *connection,
                                   int *passed_fd, struct failure *failure)
{
    int fd = -1;

    if (strlen(line) + 1 > CONTROL_LINE_MAX) {
        failure_set(failure, "the request is longer than %d bytes", CONTROL_LINE_MAX);
        return NULL;
    }
    if (!connect_to(path, &fd, failure))
        return NULL;
    struct json_object *answer = exchange(fd, path, line, passed_fd, failure);
    if (answer != NULL && connection != NULL)
        *connection = fd;
    else
        close(fd);
    return answer;
}
