/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/instance.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/support.h"

struct holder {
    pid_t pid;
    int started; /* readable once the lock is taken */
};

/* A process that takes the lock and then waits to be ended. */
static struct holder hold(const char *name)
{
    struct holder holder;
    char taken = 'n';
    struct failure failure;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    holder.pid = fork();
    assert_true(holder.pid >= 0);
    if (holder.pid == 0) {
        taken = instance_lock(name, &failure) ? 'y' : 'n';
        if (write(ends[1], &taken, 1) == 1)
            pause();
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &taken, 1), 1);
    close(ends[0]);
    assert_int_equal(taken, 'y');
    return holder;
}

static void end(struct holder holder)
{
    assert_int_equal(kill(holder.pid, SIGKILL), 0);
    assert_int_equal(waitpid(holder.pid, NULL, 0), holder.pid);
}

static int take(void *name)
{
    struct failure failure;

    return instance_lock(name, &failure) ? 0 : 1;
}

static int take_elsewhere(void *name)
{
    return unshare(CLONE_NEWNET) < 0 ? 2 : take(name);
}

static void test_second_is_refused(void **state)
{
    struct failure failure = {""};

    (void)state;
    struct holder holder = hold("unit-a");
    bool taken = instance_lock("unit-a", &failure);
    end(holder);
    assert_false(taken);
    assert_string_equal(failure.text, "another unit-a runs in this network namespace");
}

static void test_free_when_the_process_dies(void **state)
{
    (void)state;
    struct holder holder = hold("unit-b");
    assert_int_equal(support_in_child(take, (char *)"unit-b"), 1);
    end(holder);
    assert_int_equal(support_in_child(take, (char *)"unit-b"), 0);
    assert_int_equal(support_in_child(take, (char *)"unit-b"), 0);
}

static void test_names_are_apart(void **state)
{
    (void)state;
    struct holder holder = hold("unit-c");
    int other = support_in_child(take, (char *)"unit-cc");
    int shorter = support_in_child(take, (char *)"unit-");
    end(holder);
    assert_int_equal(other, 0);
    assert_int_equal(shorter, 0);
}

static void test_namespaces_are_apart(void **state)
{
    (void)state;
    struct holder holder = hold("unit-d");
    int elsewhere = support_in_child(take_elsewhere, (char *)"unit-d");
    end(holder);
    assert_int_equal(elsewhere, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_is_refused),
        cmocka_unit_test(test_free_when_the_process_dies),
        cmocka_unit_test(test_names_are_apart),
        cmocka_unit_test(test_namespaces_are_apart),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
