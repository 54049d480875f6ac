/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on standard error, one line each, for a supervisor to collect.
 *
 * Levels follow syslog's meaning, and under systemd the journal is told them. A message inside a
 * loop that a peer can provoke goes through log_limited(), which lets a few through per interval
 * and says afterwards how many it held back. Text that came from a peer is never printed raw.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_LOG_H
#define CAUSEWAY_RUNTIME_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Sets the program's name (static string) and the highest level that is printed; finds out whether
 * standard error leads to the journal. */
void log_init(const char *program, enum log_level level);
/* Changes the level; any thread may be logging meanwhile. */
void log_set_level(enum log_level level);
bool log_level_parse(const char *text, enum log_level *out);
const char *log_level_name(enum log_level level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints an error and exits with status 1. For start-up only. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* State of one rate-limited message; zero-initialised, used by one thread. */
struct log_limit {
    uint64_t window_start_ms;
    uint32_t printed;
    uint32_t held_back;
};
#define LOG_LIMIT_WINDOW_MS 10000
#define LOG_LIMIT_BURST     10

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
