/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/clock.h"

static const char *program_name = "causeway";
static enum log_level highest_level = LOG_LEVEL_INFO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

/* What the journal reads before a line's text: syslog's numbers, sd-daemon(3). */
static const char *const journal_prefixes[] = {"<3>", "<4>", "<6>", "<7>"};
static bool to_journal;

/* Is standard error the journal's? JOURNAL_STREAM may have been inherited: systemd.exec(5). */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    char own[64];

    if (stream == NULL || fstat(STDERR_FILENO, &status) < 0)
        return false;
    snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    return strcmp(stream, own) == 0;
}

void log_init(const char *program, enum log_level level)
{
    program_name = program;
    highest_level = level;
    to_journal = stderr_is_journal();
}

static const char *journal_prefix(enum log_level level)
{
    return to_journal ? journal_prefixes[level] : "";
}

void log_set_level(enum log_level level)
{
    __atomic_store_n(&highest_level, level, __ATOMIC_RELAXED);
}

static bool is_shown(enum log_level level)
{
    return level <= __atomic_load_n(&highest_level, __ATOMIC_RELAXED);
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_level_parse(const char *text, enum log_level *out)
{
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        if (strcmp(text, level_names[level]) == 0) {
            *out = (enum log_level)level;
            return true;
        }
    }
    return false;
}

/* One line, one write: lines of several threads do not mix. */
static __attribute__((format(printf, 2, 0))) void log_line(enum log_level level, const char *format,
                                                           va_list arguments)
{
    char text[1024];

    if (!is_shown(level))
        return;
    vsnprintf(text, sizeof(text), format, arguments);
    fprintf(stderr, "%s%s: %s: %s\n", journal_prefix(level), program_name, level_names[level],
            text);
}

#define DEFINE_LOG(name, level)                                                                    \
    void name(const char *format, ...)                                                             \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        log_line(level, format, arguments);                                                        \
        va_end(arguments);                                                                         \
    }

DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warning, LOG_LEVEL_WARNING)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)

void die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_line(LOG_LEVEL_ERROR, format, arguments);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
    uint64_t now_ms = clock_ms();
    va_list arguments;

    if (!is_shown(level))
        return;
    if (limit->window_start_ms == 0 || now_ms - limit->window_start_ms >= LOG_LIMIT_WINDOW_MS) {
        if (limit->held_back > 0)
            fprintf(stderr, "%s%s: %s: %u similar messages held back\n", journal_prefix(level),
                    program_name, level_names[level], limit->held_back);
        *limit = (struct log_limit){.window_start_ms = now_ms};
    }
    if (limit->printed >= LOG_LIMIT_BURST) {
        limit->held_back++;
        return;
    }
    limit->printed++;
    va_start(arguments, format);
    log_line(level, format, arguments);
    va_end(arguments);
}
