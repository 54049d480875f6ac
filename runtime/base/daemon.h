/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skeleton of a daemon: the options that all have, the order in which one starts and ends, the
 * loop, and the configuration read again.
 *
 *   options -> log -> --print-config, --check, --dry-run -> prepare -> helper -> instance -> loop,
 *   signals, notify -> open -> control socket -> sandbox -> ready -> turn ... -> stop -> clean-up
 *   by the helper -> close
 *
 * Whatever fails before the loop, or breaks the loop off, ends the program with one sentence and
 * status 1, and what was changed is cleaned up. A daemon brings its own business as a table of
 * functions.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_DAEMON_H
#define CAUSEWAY_RUNTIME_BASE_DAEMON_H

#include "runtime/base/control.h"
#include "runtime/base/event.h"
#include "runtime/base/failure.h"
#include "runtime/base/helper.h"
#include "runtime/base/log.h"
#include "runtime/base/notify.h"
#include "runtime/base/options.h"
#include "runtime/base/reload.h"
#include "runtime/base/sandbox.h"
#include "runtime/base/signals.h"

/* The options that all daemons have: the first member of every daemon's configuration, so that a
 * pointer to the one is a pointer to the other. */
struct daemon_options {
    struct option_file file;
    struct control_options control;
    const char *user;
    bool no_sandbox, check, dry_run, print_config;
    enum log_level log_level;
};

/* Their rows, in the order of --help; between them stand a daemon's own. member is the place of
 * struct daemon_options in type. */
#define DAEMON_CONFIG_ROW(type, member)                                                            \
    {                                                                                              \
        "config", "FILE", "read options from this file first; see causeway.conf(5)",               \
            OPTION_IS_FILE(type, member.file)                                                      \
    }
#define DAEMON_CONTROL_ROWS(type, member) CONTROL_OPTION_ROWS(type, member.control)
#define DAEMON_SANDBOX_ROWS(type, member)                                                          \
    {"user", "NAME", "run as this user once everything is open",                                   \
     OPTION_IS_TEXT(type, member.user)},                                                           \
    {                                                                                              \
        "no-sandbox", NULL, "keep all privileges (for debugging)",                                 \
            OPTION_IS_FLAG(type, member.no_sandbox)                                                \
    }
#define DAEMON_CHECK_ROW(type, member)                                                             \
    {                                                                                              \
        "check", NULL, "check options and host, change nothing",                                   \
            OPTION_IS_MODE(type, member.check)                                                     \
    }
#define DAEMON_DRY_RUN_ROW(type, member)                                                           \
    {                                                                                              \
        "dry-run", NULL, "print the rules that would be applied, change nothing",                  \
            OPTION_IS_MODE(type, member.dry_run)                                                   \
    }
#define DAEMON_PRINT_ROWS(type, member)                                                            \
    {"print-config", NULL, "print the configuration as a file that reads back the same",           \
     OPTION_IS_MODE(type, member.print_config)},                                                   \
    {                                                                                              \
        "log-level", "LEVEL", "error, warning, info or debug (default: info)",                     \
            OPTION_IS_CALL(daemon_set_log_level, daemon_print_log_level), .reload = true           \
    }

bool daemon_set_log_level(void *context, const char *value, struct failure *failure);
void daemon_print_log_level(const void *context, struct option_writer *writer);

/* A daemon's own business. config is its configuration, context whatever it keeps its state in. */
struct daemon_program {
    const char *name; /* "causeway-dns" */
    size_t config_bytes;
    const struct option_spec *options;
    reload_read *read;
    int (*check)(const void *config);   /* --check: the exit status */
    int (*dry_run)(const void *config); /* --dry-run: the same; NULL: there is no such option */
    bool one_instance;                  /* in a network namespace */
    const char *control_path;           /* the default */
    const struct control_command *commands;
    const struct sandbox_profile *sandbox;
    broker_make *make_ring; /* by the helper, for a daemon that has lanes; NULL: none */
    /* Where the helper changes files; NULL: nowhere of its own. */
    sandbox_folders *folders;
    /* Dials a socket that only its owner may: stays who it is unless told. NULL: never. */
    bool (*keeps_user)(const void *config);

    /* Looks whether this host can do it, before anything is changed. NULL: always. */
    bool (*prepare)(void *context, struct failure *failure);
    /* In the helper, with the privileges of the start; config is as it was at the fork. serve()
     * answers the daemon's own requests (helper.h); NULL: there are none. */
    void (*clean_up)(void *config);
    bool (*serve)(void *config, char kind, char *text, char *answer, struct failure *failure);
    /* Opens and sets up everything but what the skeleton does. */
    bool (*open)(void *context, struct failure *failure);
    void (*ready)(void *context); /* the loop begins: says so */
    /* Waits for events, at_most_ms (-1: for ever), and handles them. 0, or -errno of the loop. */
    int (*turn)(void *context, int at_most_ms);
    void (*print_stats)(void *context); /* SIGUSR1, and at the end */
    reload_take *reload;                /* SIGHUP */
    void (*reloaded)(void *context);    /* after each SIGHUP, whatever came of it; NULL: nothing */
    void (*stop)(void *context);        /* before the clean-up; NULL: nothing */
    void (*close)(void *context);       /* after it; NULL: nothing */
};

struct daemon {
    /* The caller's. */
    const struct daemon_program *program;
    void *config;   /* in force */
    void *context;  /* of the program's functions */
    void *commands; /* of the program's control commands */

    struct event_loop loop;
    struct signals signals;
    struct notify notify;
    struct helper helper;
    struct reload reload;
    struct control control;
};

/* For sandbox_folders: adds the folder that a path is in; NULL is allowed. */
void daemon_add_folder_of(const char *path, sandbox_add *add, void *context);

/* The whole life of a daemon. The exit status for main(). */
int daemon_main(struct daemon *daemon, int argc, char **argv);

#endif
