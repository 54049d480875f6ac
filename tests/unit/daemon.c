/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which a daemon starts and ends, whatever goes wrong on the way. A daemon of the
 * test's own runs in a child; each of its functions writes a letter into a pipe, as its helper
 * does.
 */
#include "runtime/base/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/support.h"

struct config {
    struct daemon_options common;
    bool fails_to_prepare, fails_to_open, fails_to_turn;
};

static const struct option_spec options[] = {
    DAEMON_CONFIG_ROW(struct config, common),
    DAEMON_CONTROL_ROWS(struct config, common),
    DAEMON_SANDBOX_ROWS(struct config, common),
    DAEMON_CHECK_ROW(struct config, common),
    {"fail-prepare", NULL, "", OPTION_IS_FLAG(struct config, fails_to_prepare)},
    {"fail-open", NULL, "", OPTION_IS_FLAG(struct config, fails_to_open)},
    {"fail-turn", NULL, "", OPTION_IS_FLAG(struct config, fails_to_turn)},
    DAEMON_PRINT_ROWS(struct config, common),
    {.name = NULL},
};

static struct config config;
static struct daemon daemon_under_test;
static int letters[2];

static void note(char letter)
{
    if (write(letters[1], &letter, 1) != 1)
        _exit(99);
}

static enum options_result read_config(void *context, int argc, char **argv, char *text,
                                       struct failure *failure)
{
    struct config *fresh = context;

    *fresh = (struct config){.common = {.control = {.path = "none"}, .log_level = LOG_LEVEL_INFO}};
    return options_parse_again(options, "causeway-test", "a test", argc, argv, text, fresh,
                               failure);
}

static int check(const void *context)
{
    (void)context;
    note('K');
    return 5;
}

static bool prepare(void *context, struct failure *failure)
{
    (void)context;
    note('p');
    return !config.fails_to_prepare || failure_set(failure, "this host cannot do it");
}

static bool open_all(void *context, struct failure *failure)
{
    (void)context;
    note('o');
    return !config.fails_to_open || failure_set(failure, "there is nothing to open");
}

static void ready(void *context)
{
    (void)context;
    note('r');
    kill(getpid(), SIGTERM);
}

static int turn(void *context, int at_most_ms)
{
    (void)context;
    if (config.fails_to_turn)
        return -EIO;
    return event_wait(&daemon_under_test.loop, at_most_ms);
}

static void print_stats(void *context)
{
    (void)context;
    note('t');
}

static bool take(void *context, const void *given, const void *fresh, struct failure *failure)
{
    (void)context;
    (void)given;
    (void)fresh;
    (void)failure;
    return true;
}

static void stop(void *context)
{
    (void)context;
    note('s');
}

static void clean_up(void *context)
{
    (void)context;
    note('c');
}

static void close_all(void *context)
{
    (void)context;
    note('x');
}

static const struct control_command commands[] = {{.name = NULL}};
static const struct sandbox_profile profile = {0};
static const struct daemon_program program = {
    .name = "causeway-test",
    .config_bytes = sizeof(struct config),
    .options = options,
    .read = read_config,
    .check = check,
    .control_path = "none",
    .commands = commands,
    .sandbox = &profile,
    .prepare = prepare,
    .clean_up = clean_up,
    .open = open_all,
    .ready = ready,
    .turn = turn,
    .print_stats = print_stats,
    .reload = take,
    .stop = stop,
    .close = close_all,
};

static int run(void *words)
{
    char **argv = words;
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    daemon_under_test =
        (struct daemon){.program = &program, .config = &config, .context = &daemon_under_test};
    return daemon_main(&daemon_under_test, argc, argv);
}

/* Runs a daemon with these words; it has to end with this status, and to have done this in turn. */
static void lives(char **words, int status, const char *order)
{
    char done[32] = "";
    size_t have = 0;
    ssize_t got;

    assert_int_equal(pipe(letters), 0);
    assert_int_equal(support_in_child(run, words), status);
    close(letters[1]);
    while ((got = read(letters[0], done + have, sizeof(done) - 1 - have)) > 0)
        have += (size_t)got;
    close(letters[0]);
    assert_string_equal(done, order);
}

static void test_whole_life(void **state)
{
    char *words[] = {"causeway-test", "--no-sandbox", NULL};

    (void)state;
    lives(words, 0, "portscx");
}

static void test_host_cannot(void **state)
{
    char *words[] = {"causeway-test", "--no-sandbox", "--fail-prepare", NULL};

    (void)state;
    lives(words, 1, "p");
}

/* What was half set up is cleaned up. */
static void test_fails_to_open(void **state)
{
    char *words[] = {"causeway-test", "--no-sandbox", "--fail-open", NULL};

    (void)state;
    lives(words, 1, "poc");
}

/* It is cleaned up, and whoever started it sees that nobody asked for the end. */
static void test_loop_fails(void **state)
{
    char *words[] = {"causeway-test", "--no-sandbox", "--fail-turn", NULL};

    (void)state;
    lives(words, 1, "portscx");
}

static void test_nothing_is_done(void **state)
{
    char *checks[] = {"causeway-test", "--check", NULL};
    char *prints[] = {"causeway-test", "--print-config", NULL};
    char *wrong[] = {"causeway-test", "--log-level", "loud", NULL};

    (void)state;
    lives(checks, 5, "K");
    lives(prints, 0, "");
    lives(wrong, 2, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_life),      cmocka_unit_test(test_host_cannot),
        cmocka_unit_test(test_fails_to_open),   cmocka_unit_test(test_loop_fails),
        cmocka_unit_test(test_nothing_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
