/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolve/client_limits.h"

#include "tests/unit/support.h"

static struct ip_addr client(unsigned number)
{
    struct ip_addr addr = {.version = 4, .bytes = {10, (uint8_t)(number >> 8), (uint8_t)number, 1}};

    return addr;
}

static void test_each_has_its_own(void **state)
{
    struct client_limits *limits = client_limits_create(100, 3);
    struct ip_addr a = client(1), b = client(2);

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(client_limits_enter(limits, &a));
    assert_false(client_limits_enter(limits, &a));
    assert_true(client_limits_enter(limits, &b));
    client_limits_leave(limits, &a);
    assert_true(client_limits_enter(limits, &a));
    assert_false(client_limits_enter(limits, &a));
    client_limits_free(limits);
}

/* The same bytes in another family, or a CID, are another client. */
static void test_families(void **state)
{
    struct client_limits *limits = client_limits_create(10, 1);
    struct ip_addr four = client(1), six = four, link = four;

    (void)state;
    six.version = 6;
    link.version = 0;
    assert_true(client_limits_enter(limits, &four));
    assert_true(client_limits_enter(limits, &six));
    assert_true(client_limits_enter(limits, &link));
    assert_false(client_limits_enter(limits, &six));
    client_limits_free(limits);
}

/* As many clients as there can be questions come and go, in an order of their own: counts stay
 * right while entries of a cluster move. */
static void test_full_table(void **state)
{
    enum { CLIENTS = 500, LIMIT = 4 };
    struct client_limits *limits = client_limits_create(CLIENTS, LIMIT);
    unsigned waiting[CLIENTS] = {0}, total = 0, random = 1;

    (void)state;
    for (int step = 0; step < 200000; step++) {
        random = random * 1103515245 + 12345;
        unsigned number = (random >> 8) % CLIENTS;
        struct ip_addr who = client(number);
        if ((random >> 28) % 2 == 0 && total < CLIENTS) {
            assert_int_equal(client_limits_enter(limits, &who), waiting[number] < LIMIT);
            total += waiting[number] < LIMIT;
            waiting[number] += waiting[number] < LIMIT;
        } else if (waiting[number] > 0) {
            client_limits_leave(limits, &who);
            waiting[number]--;
            total--;
        }
    }
    for (unsigned number = 0; number < CLIENTS; number++) {
        struct ip_addr who = client(number);
        for (; waiting[number] > 0; waiting[number]--)
            client_limits_leave(limits, &who);
        /* Nothing is left over: the whole limit is free again. */
        for (int i = 0; i < LIMIT; i++)
            assert_true(client_limits_enter(limits, &who));
        assert_false(client_limits_enter(limits, &who));
        for (int i = 0; i < LIMIT; i++)
            client_limits_leave(limits, &who);
    }
    client_limits_free(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_has_its_own),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
