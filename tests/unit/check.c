/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/check_path.h"

#include <unistd.h>

#include "runtime/lane/lane.h"
#include "tests/unit/support.h"

static void test_findings(void **state)
{
    struct check_report report = {0};

    (void)state;
    support_capture_begin(1);
    check_required(&report, true, "legs", "grow some");
    check_optional(&report, true, "hat", "the sun shines on your head");
    check_optional(&report, false, "gloves", "your hands get cold");
    check_warning("ice", "you may slip");
    int status = check_finish(&report);
    assert_string_equal(support_capture_end(), "ok       legs\n"
                                               "ok       hat\n"
                                               "absent   gloves: your hands get cold\n"
                                               "warning  ice: you may slip\n"
                                               "ready\n");
    assert_int_equal(status, 0);
}

static void test_missing(void **state)
{
    struct check_report report = {0};

    (void)state;
    support_capture_begin(1);
    check_required(&report, false, "legs", "grow some");
    check_required(&report, true, "arms", "grow some");
    check_required(&report, false, "head", "find one");
    int status = check_finish(&report);
    assert_string_equal(support_capture_end(), "MISSING  legs: grow some\n"
                                               "ok       arms\n"
                                               "MISSING  head: find one\n"
                                               "not ready: 2 missing\n");
    assert_int_equal(status, 1);
}

static int check_here(void *context)
{
    struct check_report report = {0};

    (void)context;
    check_path(&report);
    return check_finish(&report);
}

static void test_common_as_root(void **state)
{
    struct failure failure;

    (void)state;
    if (geteuid() != 0 || !lane_probe(&failure)) {
        print_message("not root, or no io_uring here\n");
        skip();
    }
    unsigned fds = support_open_fds();
    support_capture_begin(1);
    int status = check_here(NULL);
    assert_string_equal(support_capture_end(), "ok       capabilities\n"
                                               "ok       io_uring\n"
                                               "ok       AF_PACKET with PACKET_VNET_HDR\n"
                                               "ready\n");
    assert_int_equal(status, 0);
    assert_int_equal(support_open_fds(), fds);
}

static int check_as_nobody(void *context)
{
    return setgid(65534) < 0 || setuid(65534) < 0 ? 99 : check_here(context);
}

static void test_common_without_privileges(void **state)
{
    (void)state;
    support_capture_begin(1);
    int status = support_in_child(geteuid() == 0 ? check_as_nobody : check_here, NULL);
    const char *text = support_capture_end();
    assert_int_equal(status, 1);
    assert_contains(text, "MISSING  capabilities: needs the capabilities CAP_NET_ADMIN");
    assert_contains(text, "MISSING  AF_PACKET");
    assert_contains(text, "not ready: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_common_as_root),
        cmocka_unit_test(test_common_without_privileges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
