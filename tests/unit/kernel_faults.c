/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host/kernel_faults.h"

#include "tests/unit/support.h"

#define ALL (KERNEL_VSOCK | KERNEL_NFQUEUE | KERNEL_UDP_GSO)

static struct kernel_version parse(const char *release, const char *version)
{
    struct kernel_version kernel;

    assert_true(kernel_version_parse(release, version, &kernel));
    return kernel;
}

static void assert_version(struct kernel_version kernel, unsigned a, unsigned b, unsigned c)
{
    assert_int_equal(kernel.number[0], a);
    assert_int_equal(kernel.number[1], b);
    assert_int_equal(kernel.number[2], c);
}

static void test_versions(void **state)
{
    static const char debian12[] = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)";
    static const char backport[] = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.43-1~bpo12+1 (2025-09-06)";
    struct kernel_version kernel = {{4, 7, 1}};

    (void)state;
    assert_version(parse("6.1.0-40-cloud-amd64", debian12), 6, 1, 153);
    assert_version(parse("6.12.43+deb12-cloud-amd64", backport), 6, 12, 43);
    assert_version(parse("6.1.155-176.282.amzn2023.x86_64", "#1 SMP"), 6, 1, 155);
    assert_version(parse("7.1-rc3", "#1 SMP Debian"), 7, 1, 0);
    assert_version(parse("6.8.0-1031-aws", "#33 SMP Debian of sorts"), 6, 8, 0);
    assert_false(kernel_version_parse("", "", &kernel));
    assert_false(kernel_version_parse("six", "#1", &kernel));
    assert_false(kernel_version_parse("6", "#1", &kernel));
    assert_version(kernel, 4, 7, 1);
}

/* The names of all faults of a version, in the table's order. */
static void assert_faults(const char *release, unsigned uses, const char *names)
{
    struct kernel_version kernel = parse(release, "");
    const struct kernel_fault *fault = NULL;
    char found[256] = "";

    while ((fault = kernel_fault_next(&kernel, uses, fault)) != NULL) {
        strcat(found, fault->name);
        strcat(found, ". ");
    }
    assert_string_equal(found, names);
}

#define WRITES  "fragmented vsock writes. "
#define RECEIVE "vsock receive limit. "
#define ACCEPT  "vsock accept queue. "
#define QUEUE   "NFQUEUE use after free. "
#define UDP     "UDP segmentation. "

/* Both sides of every border. */
static void test_ranges(void **state)
{
    static const char *const rows[][2] = {
        {"4.14.256", ""},
        {"5.10.244", ""},
        {"6.1.0", ACCEPT},
        {"6.1.174", ACCEPT},
        {"6.1.175", ""},
        {"6.6.100", ""},
        {"6.12.67", ACCEPT},
        {"6.12.68", WRITES ACCEPT},
        {"6.12.74", WRITES ACCEPT},
        {"6.12.75", WRITES ACCEPT QUEUE},
        {"6.12.82", WRITES ACCEPT QUEUE},
        {"6.12.83", WRITES ACCEPT},
        {"6.12.89", WRITES ACCEPT},
        {"6.12.90", WRITES},
        {"6.12.91", WRITES},
        {"6.12.92", WRITES RECEIVE},
        {"6.12.100", WRITES RECEIVE},
        {"6.12.101", WRITES},
        {"6.13.0", ""},
        {"6.16.12", ""},
        {"6.17.0", WRITES},
        {"6.18.3", WRITES},
        {"6.19.14", WRITES},
        {"7.0.0", WRITES ACCEPT UDP},
        {"7.0.8", WRITES ACCEPT UDP},
        {"7.0.9", WRITES UDP},
        {"7.1.4", WRITES UDP},
        {"7.1.5", WRITES},
        {"8.0.0", WRITES},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_faults(rows[i][0], ALL, rows[i][1]);
}

/* Only what a daemon uses is named. */
static void test_uses(void **state)
{
    (void)state;
    assert_faults("6.12.80", KERNEL_VSOCK, WRITES ACCEPT);
    assert_faults("6.12.80", KERNEL_NFQUEUE, QUEUE);
    assert_faults("6.12.80", KERNEL_UDP_GSO, "");
    assert_faults("7.1.0", KERNEL_NFQUEUE | KERNEL_UDP_GSO, UDP);
    assert_faults("7.1.0", 0, "");
}

/* A fault is told in whole sentences, with where it is known from. */
static void test_words(void **state)
{
    struct kernel_version kernel = parse("6.12.82", "");
    const struct kernel_fault *fault = NULL;

    (void)state;
    while ((fault = kernel_fault_next(&kernel, ALL, fault)) != NULL) {
        assert_true(strlen(fault->effect) > 0 && strlen(fault->measure) > 0);
        assert_true(strlen(fault->source) > 0);
        assert_true(strlen(fault->effect) + strlen(fault->measure) + strlen(fault->source) < 250);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_uses),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
