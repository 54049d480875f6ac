/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a daemon: requests and answers, docs/control.md has the protocol.
 *
 *   accept --place free--> READING --whole line, command run--> WRITING --all sent--> READING ...
 *
 * It is a Unix socket, so nothing that comes over the link or the network reaches it, and its file
 * belongs to its owner alone (or to a group by option). A client has one request at a time: while
 * an answer is on its way nothing is read. Everything a client can make the daemon hold is
 * bounded: a line, an answer, so many clients. Who sends no whole line or does not take an answer
 * in time is dropped; when all places are taken the client that has been quiet for longest makes
 * room. All of it runs on the control thread, commands included; lanes do not notice.
 *
 * A daemon brings a table of commands. A command may hand a file descriptor over with its answer
 * and hold something for as long as the client stays (control_hold()).
 */
#ifndef CAUSEWAY_RUNTIME_BASE_CONTROL_H
#define CAUSEWAY_RUNTIME_BASE_CONTROL_H

#include <sys/un.h>

#include "runtime/base/failure.h"
#include "runtime/base/control_request.h"
#include "runtime/base/counters.h"
#include "runtime/base/event.h"
#include "runtime/base/json.h"
#include "runtime/base/log.h"
#include "runtime/base/options.h"

#define CONTROL_CLIENTS_MAX 8
#define CONTROL_PATIENCE_MS 10000 /* for the rest of a line, and for an answer to be taken */
#define CONTROL_DIRECTORY   "/run/causeway"

/* As a daemon's configuration has it; rows for its table of options. */
struct control_options {
    const char *path;  /* a file, "@NAME" in the abstract namespace, or "none" */
    const char *group; /* NULL: the owner alone */
};
#define CONTROL_OPTION_ROWS(type, member)                                                          \
    {"control", "PATH",                                                                            \
     "the control socket for causewayctl: a file, @NAME\n"                                         \
     "(abstract) or none",                                                                         \
     OPTION_IS_TEXT(type, member.path)},                                                           \
    {                                                                                              \
        "control-group", "GROUP", "let members of this group use the control socket",              \
            OPTION_IS_TEXT(type, member.group)                                                     \
    }

struct control;
struct control_client;

struct control_request {
    struct control_client *client; /* for control_hold() */
    const struct control_words *words;
};

struct control_command {
    const char *name;      /* first word; NULL ends the table */
    const char *arguments; /* how messages call the others; NULL: none are taken */
    unsigned minimum, maximum;
    /* Adds members to the reply object. False with a sentence: the client gets that instead. */
    bool (*run)(void *context, const struct control_request *request, struct json *reply,
                struct failure *failure);
};

struct control_client {
    struct control *control;
    struct event_source source; /* fd -1: this place is free */
    uint64_t active_ms;         /* when it last sent or took something */
    size_t have;
    char line[CONTROL_LINE_MAX];
    struct json reply;
    size_t sent;
    int pass_fd; /* goes with the reply's first byte; -1: none */
    void (*closed)(void *context);
    void *closed_context;
};

struct control {
    struct event_loop *loop;
    const struct control_command *commands;
    void *context;
    bool abstract;
    uint64_t opened_ms;
    struct event_source listener; /* fd -1: none */
    struct control_client clients[CONTROL_CLIENTS_MAX];
    struct log_limit log;
    CONTROL_COUNTERS(COUNTER_MEMBER)
    CONTROL_STATUS_COUNTERS(COUNTER_MEMBER)
};

/*
 * Opens the socket, replacing the file of a daemon that is gone. A default_path that cannot be used
 * is a warning, any other a failure. commands and context are borrowed.
 */
bool control_open(struct control *control, struct event_loop *loop,
                  const struct control_options *options, const char *default_path,
                  const struct control_command *commands, void *context, struct failure *failure);

/* Drops who is too slow; returns for how many milliseconds nothing will be due, -1 for ever. */
int control_poll(struct control *control);

/* Closes the listener and all clients. The file stays for control_remove(). */
void control_close(struct control *control);

/* Removes the socket's file unless somebody listens on it. For the helper: the directory may be
 * root's. */
void control_remove(const struct control_options *options);

/* From within a command: pass_fd (or -1) goes to the client with the answer and is closed here;
 * closed(context) is called when the client goes, whyever. Once for a client; false after that. */
bool control_hold(const struct control_request *request, int pass_fd, void (*closed)(void *context),
                  void *context);

/* Adds what every daemon's status begins with: program, version, PID, uptime, clients. */
void control_report(const struct control *control, const char *program, struct json *reply);

#endif
