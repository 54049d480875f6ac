/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/daemon.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/instance.h"

/* ---- options ---- */

bool daemon_set_log_level(void *context, const char *value, struct failure *failure)
{
    if (log_level_parse(value, &((struct daemon_options *)context)->log_level))
        return true;
    return failure_set(failure, "is not error, warning, info or debug");
}

void daemon_print_log_level(const void *context, struct option_writer *writer)
{
    option_value(writer, "%s", log_level_name(((const struct daemon_options *)context)->log_level));
}

/* ---- in the helper ---- */

static void clean_up(void *context)
{
    const struct daemon *daemon = context;
    const struct daemon_options *options = daemon->config;

    control_remove(&options->control);
    daemon->program->clean_up(daemon->config);
}

static bool serve(void *context, char kind, char *text, char *answer, struct failure *failure)
{
    const struct daemon *daemon = context;
    const struct daemon_options *options = daemon->config;

    if (kind == RELOAD_KIND_FILE)
        return reload_serve(&options->file, answer, failure);
    return daemon->program->serve != NULL &&
           daemon->program->serve(daemon->config, kind, text, answer, failure);
}

void daemon_add_folder_of(const char *path, sandbox_add *add, void *context)
{
    char folder[PATH_MAX];
    char *slash;

    if (path == NULL || (size_t)snprintf(folder, sizeof(folder), "%s", path) >= sizeof(folder))
        return;
    slash = strrchr(folder, '/');
    if (slash == NULL)
        snprintf(folder, sizeof(folder), ".");
    else
        slash[slash == folder] = '\0';
    add(context, folder);
}

static void add_folders(const void *context, sandbox_add *add, void *add_context)
{
    const struct daemon *daemon = context;
    const struct daemon_options *options = daemon->config;

    daemon_add_folder_of(options->control.path, add, add_context);
    if (daemon->program->folders != NULL)
        daemon->program->folders(daemon->config, add, add_context);
}

static bool confine(void *context, struct failure *failure)
{
    const struct daemon *daemon = context;
    const struct daemon_options *options = daemon->config;

    return options->no_sandbox ||
           sandbox_enter_helper(daemon->program->sandbox, add_folders, daemon, failure);
}

/* ---- in the daemon ---- */

static void print_stats(void *context)
{
    const struct daemon *daemon = context;

    daemon->program->print_stats(daemon->context);
}

static void reload(void *context)
{
    struct daemon *daemon = context;

    reload_configuration(&daemon->reload);
    if (daemon->program->reloaded != NULL)
        daemon->program->reloaded(daemon->context);
}

static bool prepare_reload(struct daemon *daemon, int argc, char **argv)
{
    size_t bytes = daemon->program->config_bytes;

    daemon->reload = (struct reload){
        .read = daemon->program->read,
        .take = daemon->program->reload,
        .context = daemon->context,
        .given = malloc(bytes),
        .fresh = malloc(bytes),
        .helper = &daemon->helper,
        .argc = argc,
        .argv = argv,
    };
    if (daemon->reload.given == NULL || daemon->reload.fresh == NULL)
        return false;
    memcpy(daemon->reload.given, daemon->config, bytes);
    return true;
}

static bool open_loop(struct daemon *daemon, struct failure *failure)
{
    int result = event_loop_init(&daemon->loop);

    if (result == 0)
        result = signals_open(&daemon->signals, &daemon->loop, print_stats, daemon);
    if (result == 0)
        result = signals_on_hangup(&daemon->signals, reload);
    if (result == 0)
        return notify_open(&daemon->notify, &daemon->loop, failure);
    return failure_set(failure, "cannot open epoll or signalfd: %s", strerror(-result));
}

/* Somebody without files of his own. A host that does not let it change, such as a container with
 * few capabilities, keeps root without root's capabilities. */
static bool change_user(const struct daemon *daemon, struct failure *failure)
{
    const struct daemon_options *options = daemon->config;
    const char *user = sandbox_default_user();
    struct failure reason;

    if (options->user != NULL)
        return sandbox_change_user(options->user, failure);
    if (daemon->program->keeps_user != NULL && daemon->program->keeps_user(daemon->config))
        return true;
    if (user != NULL && !sandbox_change_user(user, &reason))
        log_warning("stays root: %s", reason.text);
    return true;
}

static bool enter_sandbox(struct daemon *daemon, struct failure *failure)
{
    const struct daemon_program *program = daemon->program;
    const struct daemon_options *options = daemon->config;
    int listener = -1;

    if (options->no_sandbox)
        return true;
    if (!change_user(daemon, failure) ||
        !sandbox_enter(program->sandbox, program->make_ring != NULL ? &listener : NULL, failure))
        return false;
    if (program->make_ring == NULL)
        return true;
    if (listener >= 0)
        return helper_listen(&daemon->helper, listener, failure);
    log_warning("another program answers this one's system calls already: a thread that is taken "
                "over could make an io_uring");
    return true;
}

static bool start(struct daemon *daemon, struct failure *failure)
{
    const struct daemon_program *program = daemon->program;
    const struct daemon_options *options = daemon->config;

    return open_loop(daemon, failure) && program->open(daemon->context, failure) &&
           control_open(&daemon->control, &daemon->loop, &options->control, program->control_path,
                        program->commands, daemon->commands, failure) &&
           enter_sandbox(daemon, failure);
}

/* The exit status: a loop that breaks off is no end that somebody asked for. */
static int run(struct daemon *daemon)
{
    daemon->program->ready(daemon->context);
    while (!daemon->signals.stop) {
        int error = daemon->program->turn(daemon->context, control_poll(&daemon->control));
        if (error < 0) {
            log_error("the control loop failed: %s", strerror(-error));
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}

static void end(struct daemon *daemon)
{
    const struct daemon_program *program = daemon->program;

    notify_stopping(&daemon->notify);
    print_stats(daemon);
    control_close(&daemon->control);
    if (program->stop != NULL)
        program->stop(daemon->context);
    helper_finish(&daemon->helper);
    if (program->close != NULL)
        program->close(daemon->context);
    notify_close(&daemon->notify);
    event_loop_close(&daemon->loop);
    log_info("stopped");
}

static int serve_until_told(struct daemon *daemon, int argc, char **argv)
{
    const struct daemon_program *program = daemon->program;
    struct helper_duties duties = {.cleanup = clean_up,
                                   .serve = serve,
                                   .context = daemon,
                                   .confine = confine,
                                   .make = program->make_ring};
    struct failure failure;

    if (!prepare_reload(daemon, argc, argv))
        die("out of memory");
    if (program->prepare != NULL && !program->prepare(daemon->context, &failure))
        die("%s", failure.text);
    int started = helper_start(&daemon->helper, &duties);
    if (started < 0)
        die("cannot fork: %s", strerror(-started));
    /* Behind the fork: the helper must not hold the lock when the daemon is killed. */
    if (program->one_instance && !instance_lock(program->name, &failure))
        die("%s", failure.text);
    if (!start(daemon, &failure)) {
        helper_finish(&daemon->helper);
        die("%s", failure.text);
    }
    int status = run(daemon);
    end(daemon);
    return status;
}

int daemon_main(struct daemon *daemon, int argc, char **argv)
{
    const struct daemon_program *program = daemon->program;
    const struct daemon_options *options = daemon->config;
    struct failure failure;
    enum options_result result = program->read(daemon->config, argc, argv, NULL, &failure);

    log_init(program->name, options->log_level);
    if (result == OPTIONS_HELP)
        return EXIT_SUCCESS;
    if (result == OPTIONS_INVALID) {
        log_error("%s", failure.text);
        return 2;
    }
    if (options->print_config) {
        options_print(program->options, daemon->config, stdout);
        return EXIT_SUCCESS;
    }
    if (options->check)
        return program->check(daemon->config);
    if (options->dry_run)
        return program->dry_run(daemon->config);
    return serve_until_told(daemon, argc, argv);
}
