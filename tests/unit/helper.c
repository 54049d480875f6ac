/* SPDX-License-Identifier: Apache-2.0 */
/* The clean-up writes a byte into a pipe; the end of the pipe says that the helper is gone. */
#include "runtime/base/helper.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/support.h"

static int notes[2];

static void clean_up(void *context)
{
    if (write(notes[1], context, 1) != 1)
        _exit(1);
}

/* A helper that only cleans up. */
static int start_cleaner(struct helper *helper, void (*cleanup)(void *context), void *context)
{
    const struct helper_duties duties = {.cleanup = cleanup, .context = context};

    return helper_start(helper, &duties);
}

static int open_notes(void **state)
{
    (void)state;
    return pipe(notes);
}

/* Everything that was written until the last writer was gone. */
static void assert_notes(const char *expected)
{
    char text[16] = "";
    size_t have = 0;
    ssize_t got;

    close(notes[1]);
    while ((got = read(notes[0], text + have, sizeof(text) - 1 - have)) > 0)
        have += (size_t)got;
    assert_int_equal(got, 0);
    close(notes[0]);
    assert_string_equal(text, expected);
}

static void test_cleans_up_on_request(void **state)
{
    struct helper helper;
    char note = 'c';

    (void)state;
    unsigned fds = support_open_fds();
    assert_int_equal(start_cleaner(&helper, clean_up, &note), 0);
    assert_true(helper.pid > 0);
    helper_finish(&helper);
    assert_int_equal(waitpid(helper.pid, NULL, WNOHANG), -1); /* it was waited for */
    assert_int_equal(support_open_fds(), fds);
    assert_notes("c");
}

/* What the context holds when it is forked counts, not what the daemon makes of it later. */
static void test_has_its_own_copy(void **state)
{
    struct helper helper;
    char note = 'a';

    (void)state;
    assert_int_equal(start_cleaner(&helper, clean_up, &note), 0);
    note = 'b';
    helper_finish(&helper);
    assert_notes("a");
}

static int start_and_be_killed(void *context)
{
    struct helper helper;

    if (start_cleaner(&helper, clean_up, context) < 0)
        return 1;
    raise(SIGKILL);
    return 1;
}

static void test_leaves_all_as_it_is_when_killed(void **state)
{
    char note = 'k';

    (void)state;
    assert_int_equal(support_in_child(start_and_be_killed, &note), 128 + SIGKILL);
    assert_notes("");
}

static int start_and_exit(void *context)
{
    struct helper helper;

    return start_cleaner(&helper, clean_up, context) < 0;
}

static void test_leaves_all_as_it_is_when_not_asked(void **state)
{
    char note = 'x';

    (void)state;
    assert_int_equal(support_in_child(start_and_exit, &note), 0);
    assert_notes("");
}

static bool is_named(pid_t pid, const char *name)
{
    char path[64], text[64] = "";

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    bool got = file != NULL && fgets(text, sizeof(text), file) != NULL;
    if (file != NULL)
        fclose(file);
    return got && strncmp(text, name, strlen(name)) == 0;
}

/* ^C and a supervisor's stop reach the whole process group. */
static void test_signals_are_the_daemons(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct helper helper;
    char note = 's';

    (void)state;
    assert_int_equal(start_cleaner(&helper, clean_up, &note), 0);
    WAIT_UNTIL(is_named(helper.pid, "causeway-clean"));
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        assert_int_equal(kill(helper.pid, signals[i]), 0);
    helper_finish(&helper);
    assert_notes("s");
}

/* 'e' gives the text back, 'u' fails, others are not known; the state of earlier requests stays. */
static bool serve(void *context, char kind, char *text, char *answer, struct failure *failure)
{
    unsigned *count = context;

    if (kind != 'e' && kind != 'u' && kind != 'n')
        return false;
    ++*count;
    if (kind == 'u')
        return failure_set(failure, "%s", text);
    if (kind == 'n')
        snprintf(answer, HELPER_TEXT_MAX, "%u", *count);
    else
        snprintf(answer, HELPER_TEXT_MAX, "%s", text);
    return true;
}

static void ignore(void *context)
{
    (void)context;
}

static void test_serves(void **state)
{
    static char large[HELPER_TEXT_MAX + 1], answer[HELPER_TEXT_MAX];
    struct failure failure;
    unsigned count = 0;
    struct helper_duties duties = {.cleanup = ignore, .serve = serve, .context = &count};
    struct helper helper;

    (void)state;
    assert_int_equal(helper_start(&helper, &duties), 0);
    assert_true(helper_request(&helper, 'e', "a word", answer, &failure));
    assert_string_equal(answer, "a word");
    assert_true(helper_request(&helper, 'e', "", answer, &failure));
    assert_string_equal(answer, "");
    assert_false(helper_request(&helper, 'u', "a reason", answer, &failure));
    assert_string_equal(failure.text, "a reason");
    assert_false(helper_request(&helper, 'x', "", answer, &failure));
    assert_string_equal(failure.text, "this request is not known");
    memset(large, 'l', sizeof(large) - 1);
    assert_false(helper_request(&helper, 'e', large, answer, &failure));
    assert_contains(failure.text, "the request is longer than");
    large[sizeof(large) - 2] = '\0';
    assert_true(helper_request(&helper, 'e', large, answer, &failure));
    assert_string_equal(answer, large);
    assert_true(helper_request(&helper, 'n', "", answer, &failure));
    assert_string_equal(answer, "5");
    assert_int_equal(count, 0); /* here nothing has happened */
    helper_finish(&helper);
}

static int make_nothing(void)
{
    return -ENOSYS;
}

/* A daemon that was taken over may pass what it likes: the helper goes on. */
static void test_listener_that_is_none(void **state)
{
    struct failure failure;
    struct helper_duties duties = {.cleanup = ignore, .serve = serve, .make = make_nothing};
    unsigned count = 0;
    struct helper helper;
    int ends[2];

    (void)state;
    duties.context = &count;
    assert_int_equal(helper_start(&helper, &duties), 0);
    assert_false(helper_request(&helper, HELPER_KIND_LISTEN, "", NULL, &failure));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(write(ends[1], "something", 9), 9);
        assert_true(helper_listen(&helper, ends[0], &failure));
        assert_true(helper_request(&helper, 'e', "a word", NULL, &failure));
        close(ends[1]);
    }
    helper_finish(&helper);
}

static void test_nothing_to_listen_for(void **state)
{
    struct failure failure;
    struct helper helper;
    int ends[2];

    (void)state;
    assert_int_equal(start_cleaner(&helper, ignore, NULL), 0);
    assert_int_equal(pipe(ends), 0);
    assert_false(helper_listen(&helper, ends[0], &failure));
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(write(ends[1], "x", 1), -1); /* the helper has closed its copy */
    signal(SIGPIPE, SIG_DFL);
    close(ends[1]);
    helper_finish(&helper);
}

static void test_only_cleans_up(void **state)
{
    struct helper helper;
    struct failure failure;

    (void)state;
    assert_int_equal(start_cleaner(&helper, ignore, NULL), 0);
    assert_false(helper_request(&helper, 'e', "", NULL, &failure));
    assert_string_equal(failure.text, "this request is not known");
    helper_finish(&helper);
}

/* A helper that is gone is said to be, and takes nobody along. */
static void test_gone(void **state)
{
    struct helper helper;
    struct failure failure;

    (void)state;
    assert_int_equal(start_cleaner(&helper, ignore, NULL), 0);
    assert_int_equal(kill(helper.pid, SIGKILL), 0);
    for (int i = 0; i < 2; i++) {
        assert_false(helper_request(&helper, 'e', "", NULL, &failure));
        assert_contains(failure.text, "does not answer");
    }
    assert_true(helper.broken);
    helper_finish(&helper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cleans_up_on_request, open_notes),
        cmocka_unit_test_setup(test_has_its_own_copy, open_notes),
        cmocka_unit_test_setup(test_leaves_all_as_it_is_when_killed, open_notes),
        cmocka_unit_test_setup(test_leaves_all_as_it_is_when_not_asked, open_notes),
        cmocka_unit_test_setup(test_signals_are_the_daemons, open_notes),
        cmocka_unit_test(test_serves),
        cmocka_unit_test(test_listener_that_is_none),
        cmocka_unit_test(test_nothing_to_listen_for),
        cmocka_unit_test(test_only_cleans_up),
        cmocka_unit_test(test_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
