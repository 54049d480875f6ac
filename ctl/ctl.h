/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causewayctl: looks into running daemons and changes what can be changed, over their control
 * sockets (docs/control.md). A file for each command; what they share is here.
 *
 * A command prints what it has to say on standard output and returns main()'s status. What goes
 * wrong is one sentence on standard error: status 2 for a mistake on the command line, 1 for
 * anything else.
 */
#ifndef CAUSEWAY_CTL_CTL_H
#define CAUSEWAY_CTL_CTL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include "runtime/base/failure.h"
#include "runtime/base/options.h"

#define CTL_PROGRAM     "causewayctl"
#define CTL_TARGETS_MAX 16
#define CTL_WRONG_USE   2 /* exit status */

/* The daemons that a command is for: what --control names, else those at the usual places. */
struct ctl_targets {
    unsigned count;
    const char *path[CTL_TARGETS_MAX];
};

/* A row for a command's options whose context begins with a struct ctl_targets. */
bool ctl_set_control(void *context, const char *value, struct failure *failure);
void ctl_print_control(const void *context, struct option_writer *writer);
#define CTL_CONTROL_ROW                                                                            \
    {                                                                                              \
        "control", "PATH",                                                                         \
            "a daemon's control socket (a file or @NAME); may be\n"                                \
            "repeated (default: those that are in /run/causeway)",                                 \
            OPTION_IS_CALL(ctl_set_control, ctl_print_control)                                     \
    }

/* Reads a command's options. True: go on. False: *status is what main() returns. */
bool ctl_options(const struct option_spec *table, const char *name, const char *summary, int argc,
                 char **argv, struct ctl_targets *targets, int *status);

/* "causewayctl: error: ..." */
void ctl_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * One request to a daemon on a fresh connection: the answer, released by json_object_put(), or NULL
 * with a sentence in error. connection: left open there if not NULL; passed_fd: a descriptor that
 * came with the answer, or -1.
 */
struct json_object *ctl_request(const char *path, const char *line, int *connection, int *passed_fd,
                                struct failure *failure);

/* ---- status answers ---- */

/* Text or number of a member; "" or 0 where there is none of that kind. */
const char *ctl_text(struct json_object *object, const char *key);
uint64_t ctl_number(struct json_object *object, const char *key);

/* One lane of a status answer and what it belongs to. */
struct ctl_lane {
    const char *enclave; /* its name at the parent; in the enclave the parent's address */
    const char *peer;
    struct json_object *lane;
};
/* Lists up to max lanes of an answer. */
unsigned ctl_lanes(struct json_object *status, struct ctl_lane *out, unsigned max);
#define CTL_LANES_MAX 512 /* 64 enclaves of 8 lanes */

/* "parent", "enclave" or "dns" */
const char *ctl_role(struct json_object *status);

/* By how much a counter has grown between two answers; 0 if the daemon was restarted. */
uint64_t ctl_grown(struct json_object *before, struct json_object *after, const char *key);
/* Adds a member, rounded. */
void ctl_add_number(struct json_object *object, const char *key, double value);
/* Of an object "reason": count. */
uint64_t ctl_sum(struct json_object *reasons);
/* A line "LABEL: reason 3, other 1" of those that are not zero; nothing if all are. */
void ctl_print_reasons(const char *label, struct json_object *reasons);

/* A number in a column of nine: " 987", "12.3k", "4.5G". */
void ctl_print_cell(uint64_t number);

/*
 * Adds an object "rates" to every lane of `after` that `before` has too: packets and bytes a second
 * each way, bytes a write, drops a second.
 */
void ctl_add_rates(struct json_object *before, struct json_object *after);

/*
 * Asks every target twice, interval_ms apart, for its status; answers[i] has rates and is the
 * caller's to release, or NULL with a sentence on standard error. How many answered.
 */
unsigned ctl_sample(const struct ctl_targets *targets, unsigned interval_ms,
                    struct json_object **answers);

/* ---- causeway-dns's answers; those of others are left alone ---- */

/* Adds an object "rates" to the answer, and to every upstream that `before` has too. */
void ctl_dns_add_rates(struct json_object *before, struct json_object *after, double seconds);
/* Adds p50_us, p90_us and p99_us to every upstream that has answered: the upper bounds of the
 * histogram's buckets in which they lie, for the last one its lower bound. NULL is allowed. */
void ctl_dns_add_latencies(struct json_object *status);
void ctl_dns_print_status(struct json_object *status);
void ctl_dns_print_view(struct json_object *status);

/* ---- commands ---- */

int ctl_status(int argc, char **argv);
int ctl_top(int argc, char **argv);
int ctl_metrics(int argc, char **argv);
int ctl_capture(int argc, char **argv);
int ctl_change(int argc, char **argv); /* publish, unpublish, allow, disallow */
int ctl_check(int argc, char **argv);

/* The Prometheus text of all targets. */
void ctl_print_metrics(const struct ctl_targets *targets, FILE *out);
/* Serves it over HTTP until a signal ends it. */
int ctl_serve_metrics(const struct ctl_targets *targets, const char *listen);

#endif
