/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of rules share: growing text and running the host's tools. */
#ifndef CAUSEWAY_RUNTIME_HOST_RULES_PRIVATE_H
#define CAUSEWAY_RUNTIME_HOST_RULES_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/failure.h"
#include "runtime/host/rules.h"

/* Text that grows; zero-initialised, always NUL-terminated once appended to. Dies when out of
 * memory: rule sets are made at start-up. */
struct text {
    char *bytes;
    size_t length, capacity;
};
void text_append(struct text *text, const char *bytes, size_t length);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *text);

/* Longest argument list that rules_run() is given, its NULL included. */
#define RUN_ARGUMENTS_MAX 16

/* What a tool answered. */
struct run_result {
    int status; /* exit status, 128 + signal, or -1 if it could not be started */
    struct text output, errors;
};
void run_result_free(struct run_result *result);

/* Is there such a program in PATH or in the system's usual places? */
bool run_found(const char *program);

/*
 * Runs arguments[0] with the given standard input (NULL: none) and waits for its end; the answer is
 * the caller's to free in every case. True if it ended with status 0. Signals that this process
 * blocks or ignores are as usual in the child.
 */
bool rules_run(const char *const arguments[], const char *input, struct run_result *result);

/* The tool's own words on one line, for a message. */
void run_complaint(const struct run_result *result, const char *program, struct failure *failure);

/* The two kinds of tool. The functions are those of rules.h for one backend; a set without the form
 * in question is success. */
bool nft_usable(void);
bool nft_apply(const struct rules_set *set, const struct rules_values *values,
               struct failure *failure);
bool nft_remove(const struct rules_set *set, struct failure *failure);
int nft_print(const struct rules_set *set, const struct rules_values *values);

bool iptables_usable(enum rules_backend backend);
bool iptables_family_usable(enum rules_backend backend, int version);
bool iptables_apply(const struct rules_set *set, enum rules_backend backend,
                    const struct rules_values *values, struct failure *failure);
bool iptables_remove(const struct rules_set *set, enum rules_backend backend,
                     struct failure *failure);
int iptables_print(const struct rules_set *set, enum rules_backend backend,
                   const struct rules_values *values);
/* Does the program of this backend speak to the kernel's ip_tables (and not to nf_tables)? */
bool iptables_is_legacy(enum rules_backend backend);

#endif
