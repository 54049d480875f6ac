/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a tool of the host: text in, text out.
 *
 * Input, output and errors are anonymous files (memfd), not pipes, so that no order of reading and
 * writing between this process and the child can block either. posix_spawn: no code of ours runs
 * between fork and exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/host/rules_private.h"

/* The tools live in sbin, which a daemon started by an init of few words may not have in PATH. */
#define SYSTEM_PATH "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"

extern char **environ;

void text_append(struct text *text, const char *bytes, size_t length)
{
    if (text->capacity - text->length <= length) {
        size_t capacity = 2 * text->capacity + length + 256;
        char *grown = realloc(text->bytes, capacity);
        if (grown == NULL)
            die("out of memory for the firewall rules");
        text->bytes = grown;
        text->capacity = capacity;
    }
    if (length > 0)
        memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    char *line;
    int length;

    va_start(arguments, format);
    length = vasprintf(&line, format, arguments);
    va_end(arguments);
    if (length < 0)
        die("out of memory for the firewall rules");
    text_append(text, line, (size_t)length);
    free(line);
}

void text_free(struct text *text)
{
    free(text->bytes);
    memset(text, 0, sizeof(*text));
}

void run_complaint(const struct run_result *result, const char *program, struct failure *failure)
{
    const char *words = result->errors.bytes;

    failure_set(failure, "%s: %s", program, words[0] != '\0' ? words : "failed without a message");
    char *text = failure->text;
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    for (char *c = text; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    }
}

void run_result_free(struct run_result *result)
{
    text_free(&result->output);
    text_free(&result->errors);
}

/* The first executable file of that name in a colon-separated path; false if there is none. */
static bool search(const char *path, const char *program, char *out, size_t size)
{
    while (path != NULL && *path != '\0') {
        size_t length = strcspn(path, ":");
        int written = snprintf(out, size, "%.*s/%s", (int)length, path, program);

        if (length > 0 && written > 0 && (size_t)written < size && access(out, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

static bool locate(const char *program, char *out, size_t size)
{
    return search(getenv("PATH"), program, out, size) || search(SYSTEM_PATH, program, out, size);
}

bool run_found(const char *program)
{
    char path[512];

    return locate(program, path, sizeof(path));
}

static int make_input(const char *input)
{
    size_t left = input == NULL ? 0 : strlen(input);
    int fd = memfd_create("rules", MFD_CLOEXEC);

    while (fd >= 0 && left > 0) {
        ssize_t written = write(fd, input, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            close(fd);
            return -1;
        }
        input += written;
        left -= (size_t)written;
    }
    if (fd >= 0 && lseek(fd, 0, SEEK_SET) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void read_back(int fd, struct text *text)
{
    char buffer[4096];
    off_t offset = 0;
    ssize_t bytes;

    text_append(text, "", 0);
    while ((bytes = pread(fd, buffer, sizeof(buffer), offset)) > 0) {
        text_append(text, buffer, (size_t)bytes);
        offset += bytes;
    }
}

static int spawn(pid_t *child, const char *path, const char *const arguments[], const int fds[3])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    int error;

    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    for (int i = 0; i < 3; i++)
        posix_spawn_file_actions_adddup2(&actions, fds[i], i);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    /* The cast: POSIX promises not to change the strings (posix_spawn, rationale). */
    error = posix_spawn(child, path, &actions, &attributes, (char *const *)(uintptr_t)arguments,
                        environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static int wait_status(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool rules_run(const char *const arguments[], const char *input, struct run_result *result)
{
    char path[512];
    pid_t child = -1;
    int error;
    int fds[3] = {make_input(input), memfd_create("output", MFD_CLOEXEC),
                  memfd_create("errors", MFD_CLOEXEC)};

    memset(result, 0, sizeof(*result));
    result->status = -1;
    text_append(&result->output, "", 0);
    text_append(&result->errors, "", 0);
    if (!locate(arguments[0], path, sizeof(path)))
        error = ENOENT;
    else if (fds[0] < 0 || fds[1] < 0 || fds[2] < 0)
        error = errno;
    else
        error = spawn(&child, path, arguments, fds);
    if (error == 0) {
        result->status = wait_status(child);
        read_back(fds[1], &result->output);
        read_back(fds[2], &result->errors);
    } else {
        text_printf(&result->errors, "%s: %s", arguments[0], strerror(error));
    }
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    return result->status == 0;
}
