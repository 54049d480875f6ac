/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/resolvers.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/support.h"

static struct failure failure;

static const char *contents(const char *path)
{
    static char text[1000];
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static bool serve(const char *path, const char *list)
{
    char text[1000];

    snprintf(text, sizeof(text), "%s", list);
    return resolvers_serve(path, text, &failure);
}

static void test_written_and_removed(void **state)
{
    const char *path = support_path("run/resolvers"); /* the directory is made */
    struct stat status;

    (void)state;
    assert_true(serve(path, "192.0.2.1\n2001:db8::1\n"));
    assert_contains(contents(path), "\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0644);
    assert_true(serve(path, ""));
    assert_null(strstr(contents(path), "nameserver"));
    resolvers_remove(path);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_nothing_but_addresses_gets_in(void **state)
{
    static const char *const lists[] = {
        "192.0.2.1 options\n",
        "name\n",
        "127.0.0.1\n",
        "224.0.0.1\n",
        "fe80::1\n",
        "169.254.169.254\n",
        "1.1.1.1\n1.1.1.1\n1.1.1.1\n1.1.1.1\n1.1.1.1\n",
    };
    const char *path = support_path("resolvers");

    (void)state;
    assert_true(serve(path, "192.0.2.7\n"));
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        assert_false(serve(path, lists[i]));
        assert_contains(failure.text, "cannot write ");
        assert_contains(contents(path), "nameserver 192.0.2.7\n");
    }
    assert_int_equal(access(support_path("resolvers.new"), F_OK), -1);
}

static void test_no_link_is_followed(void **state)
{
    char victim[200], fresh[200], path[200];

    (void)state;
    snprintf(victim, sizeof(victim), "%s", support_path("victim"));
    snprintf(fresh, sizeof(fresh), "%s", support_path("resolvers.new"));
    snprintf(path, sizeof(path), "%s", support_path("resolvers"));
    fclose(fopen(victim, "w"));
    assert_int_equal(symlink(victim, fresh), 0);
    assert_true(serve(path, "192.0.2.1\n"));
    assert_string_equal(contents(victim), "");
}

static void test_place_that_cannot_be_written(void **state)
{
    (void)state;
    assert_false(serve("/proc/no/such/place", "192.0.2.1\n"));
    assert_contains(failure.text, "cannot write /proc/no/such/place: No such file or directory");
}

static void test_filter(void **state)
{
    static const char *const offers[] = {"127.0.0.53", "192.0.2.1", "ff02::1", "2001:db8::1"};
    struct wire_config config = {.dns_count = 4};

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_true(addr_parse(offers[i], &config.dns[i]));
    resolvers_filter(&config, &(struct prefix_table){0});
    assert_int_equal(config.dns_count, 2);
    assert_int_equal(config.dns[0].version, 4);
    assert_int_equal(config.dns[1].version, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_and_removed),
        cmocka_unit_test(test_nothing_but_addresses_gets_in),
        cmocka_unit_test(test_no_link_is_followed),
        cmocka_unit_test(test_place_that_cannot_be_written),
        cmocka_unit_test(test_filter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
