/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates and values, the notations of published ports, and how a set gets into and out of a
 * host's tables, in a network namespace of our own. What the shipped sets do to packets is tried in
 * tests/netns/test_rules.py.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "rule_templates.h"
#include "runtime/base/log.h"
#include "runtime/host/rules.h"

static struct rules_values *values;

static int new_values(void **state)
{
    (void)state;
    values = rules_values_new();
    return 0;
}

static int free_values(void **state)
{
    (void)state;
    rules_values_free(values);
    return 0;
}

static void renders(const char *template_text, const char *expected)
{
    struct failure failure = {""};
    char *text = rules_render(template_text, values, &failure);

    if (text == NULL)
        fail_msg("%s", failure.text);
    assert_string_equal(text, expected);
    free(text);
}

static void fails(const char *template_text, const char *message)
{
    struct failure failure = {""};

    assert_null(rules_render(template_text, values, &failure));
    if (strstr(failure.text, message) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", failure.text, message);
}

static void test_values(void **state)
{
    (void)state;
    rules_set(values, "a", "%d", 1);
    rules_set(values, "b", "x y");
    rules_set(values, "a", "%s", "again");
    renders("", "");
    renders("plain $ {a} $a\n", "plain $ {a} $a\n");
    renders("<${a}${b}>\n\n${b}", "<againx y>\n\nx y\n");
    fails("one\n${c}\n", "line 2: unknown name \"c\"");
    fails("${a", "no }");
    fails("${}\n", "unknown name");
    fails("${a_name_that_is_longer_than_any_may_be}\n", "unknown name");
}

static void test_conditions(void **state)
{
    (void)state;
    rules_set(values, "on", "1");
    rules_set(values, "off", "%s", "");
    renders("%if on\nA\n%else\nB\n%end\n", "A\n");
    renders("%if off\nA\n%else\nB\n%end\n", "B\n");
    renders("%if off\nA\n%end\nC\n", "C\n");
    renders("  %if on\n\t%if off\nA\n%else\nB\n%end\n%end\n", "B\n");
    /* What is not rendered is not looked up. */
    renders("%if off\n${c}\n%if c\n%else\n%end\n%for c\n${d}\n%end\n%end\n", "");
    fails("%if c\n%end\n", "unknown name \"c\"");
    fails("%if on\nA\n", "no single %end");
    fails("%if off\nA\n%else\nB\n", "no single %end");
    fails("%if on\n%else\n%else\n%end\n", "no single %end");
    fails("%end\n", "nothing to end");
    fails("%fi on\n", "unknown directive");
    fails("%if\n%end\n", "unknown directive");
    fails("%endless\n", "unknown directive");
}

static void test_lists(void **state)
{
    (void)state;
    rules_set(values, "x", "outer");
    rules_set(values, "y", "kept");
    rules_list(values, "none");
    for (int i = 1; i <= 2; i++) {
        rules_group(values, "list");
        rules_group_set(values, "x", "%d", i);
        rules_group_set(values, "odd", "%s", i % 2 ? "1" : "");
    }
    rules_group(values, "inner");
    rules_group_set(values, "z", "in");
    renders("%for list\n${x} ${y}\n%end\n${x}\n", "1 kept\n2 kept\nouter\n");
    renders("%for none\n${unknown}\n%end\n", "");
    renders("%for list\n%if odd\n${x}\n%else\neven\n%end\n%end\n", "1\neven\n");
    renders("%for list\n%for inner\n${x}${z}\n%end\n%end\n", "1in\n2in\n");
    fails("%for lost\n%end\n", "unknown list \"lost\"");
    fails("%for list\n${x}\n", "no %end");
    fails("%for list\n${x}\n%else\n%end\n", "no %end");
    fails("\n%for list\n\n${w}\n%end\n", "line 4: unknown name \"w\"");
}

static void test_bad_values(void **state)
{
    (void)state;
    rules_set(values, "a", "one\n-A INPUT -j ACCEPT");
    fails("", "\"a\" cannot stand in a rule");
}

static void test_value_without_group(void **state)
{
    (void)state;
    rules_group_set(values, "a", "1");
    fails("", "outside of a group");
}

static struct ip_addr addr(const char *text)
{
    struct ip_addr out = {0};

    assert_true(addr_parse(text, &out));
    return out;
}

static void test_published_ports(void **state)
{
    static const char notation[] = "%for publish4\n${proto} [${listen}] ${ports} ${ports_colon} "
                                   "${to} ${to_ports} ${to_ports_colon}\n${target}\n"
                                   "${nft_target}\n%end\n";
    static const char notation6[] = "%for publish6\n${target} ${nft_target}\n%end\n";
    struct rules_publish p = {"tcp", {0}, 443, 443, addr("100.127.0.2"), 443};

    (void)state;
    rules_publish(values, &p);
    p.to_first = 8443;
    rules_publish(values, &p);
    p = (struct rules_publish){"udp", addr("192.0.2.1"), 10, 12, addr("100.127.0.2"), 10};
    rules_publish(values, &p);
    p.to_first = 65533; /* up to the last port there is */
    rules_publish(values, &p);
    renders(notation, "tcp [] 443 443 100.127.0.2 443 443\n100.127.0.2\n100.127.0.2\n"
                      "tcp [] 443 443 100.127.0.2 8443 8443\n100.127.0.2:8443\n100.127.0.2:8443\n"
                      "udp [192.0.2.1] 10-12 10:12 100.127.0.2 10-12 10:12\n100.127.0.2\n"
                      "100.127.0.2\n"
                      "udp [192.0.2.1] 10-12 10:12 100.127.0.2 65533-65535 65533:65535\n"
                      "100.127.0.2:65533-65535/10\n"
                      "100.127.0.2:udp dport map { 10 : 65533, 11 : 65534, 12 : 65535 }\n");
    p = (struct rules_publish){"tcp", {0}, 1, 1, addr("fd00::2"), 2};
    rules_publish(values, &p);
    p.to_first = 1;
    rules_publish(values, &p);
    renders(notation6, "[fd00::2]:2 [fd00::2]:2\nfd00::2 fd00::2\n");
}

static void test_backend_names(void **state)
{
    static const char *const names[] = {"iptables", "iptables-legacy", "nft", "none", "auto"};
    enum rules_backend backend;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_true(rules_backend_parse(names[i], &backend));
        assert_string_equal(rules_backend_name(backend), names[i]);
    }
    assert_false(rules_backend_parse("ipfw", &backend));
    assert_false(rules_backend_parse("", &backend));
}

/* ---- with the host's tools ---- */

static const struct rules_set sample = {
    .name = "sample",
    .nft = "table inet causeway\ndelete table inet causeway\ntable inet causeway {\n"
           "chain c {\nip daddr ${address} drop\n}\n}\n",
    .nft_table = "inet causeway",
    .ipv4 = "*filter\n:CAUSEWAY-A - [0:0]\n:CAUSEWAY-B - [0:0]\n"
            "-A CAUSEWAY-A -d ${address} -j CAUSEWAY-B\nCOMMIT\n",
    .hooks = "filter FORWARD -i ${device} -j CAUSEWAY-A\n",
};

static const struct {
    enum rules_backend backend;
    const char *list;
} backends[] = {
    {RULES_IPTABLES, "iptables -S 2>/dev/null"},
    {RULES_IPTABLES_LEGACY, "iptables-legacy -S"},
    {RULES_NFT, "nft list ruleset"},
};

static const char *ask(const char *command)
{
    static char output[65536];
    FILE *pipe = popen(command, "r");
    size_t bytes;

    assert_non_null(pipe);
    bytes = fread(output, 1, sizeof(output) - 1, pipe);
    output[bytes] = '\0';
    pclose(pipe);
    return output;
}

static unsigned count(const char *text, const char *part)
{
    unsigned found = 0;

    while ((text = strstr(text, part)) != NULL) {
        found++;
        text++;
    }
    return found;
}

static int new_namespace(void **state)
{
    (void)state;
    if (unshare(CLONE_NEWNET) < 0)
        return -1;
    values = rules_values_new();
    rules_set(values, "address", "192.0.2.1");
    rules_set(values, "device", "cw1");
    return 0;
}

static void apply(enum rules_backend backend)
{
    enum rules_backend used;
    struct failure failure = {""};

    if (!rules_apply(&sample, backend, values, &used, &failure))
        fail_msg("%s", failure.text);
    assert_int_equal(used, backend);
}

static void remove_sample(enum rules_backend backend)
{
    struct failure failure = {""};

    if (!rules_remove(&sample, backend, &failure))
        fail_msg("%s", failure.text);
}

static void test_apply_twice_and_remove(void **state)
{
    unsigned tried = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        if (!rules_backend_usable(backends[i].backend)) {
            print_message("%s is not usable here\n", rules_backend_name(backends[i].backend));
            continue;
        }
        tried++;
        remove_sample(backends[i].backend); /* absent: success */
        apply(backends[i].backend);
        rules_set(values, "address", "192.0.2.2");
        apply(backends[i].backend);
        assert_int_equal(count(ask(backends[i].list), "192.0.2."), 1);
        assert_int_equal(count(ask(backends[i].list), "192.0.2.2"), 1);
        remove_sample(backends[i].backend);
        assert_int_equal(count(ask(backends[i].list), "192.0.2."), 0);
        assert_int_equal(count(ask(backends[i].list), "CAUSEWAY"), 0);
        assert_int_equal(count(ask(backends[i].list), "causeway"), 0);
    }
    if (tried == 0)
        skip();
}

/* Whatever the match of an earlier hook, and wherever it stands; other people's rules stay. */
static void test_hook_is_first_and_single(void **state)
{
    (void)state;
    if (!rules_backend_usable(RULES_IPTABLES))
        skip();
    apply(RULES_IPTABLES);
    ask("iptables -I FORWARD 1 -s 198.51.100.1 -j ACCEPT;"
        "iptables -A FORWARD -p udp -m comment --comment 'about -j CAUSEWAY-A' -j DROP;"
        "iptables -A FORWARD -i other -m comment --comment \"two words\" -j CAUSEWAY-A;"
        "iptables -A FORWARD -g CAUSEWAY-A; iptables -P FORWARD DROP");
    rules_set(values, "device", "cw9");
    apply(RULES_IPTABLES);
    assert_string_equal(ask("iptables -S FORWARD"),
                        "-P FORWARD DROP\n-A FORWARD -i cw9 -j CAUSEWAY-A\n"
                        "-A FORWARD -s 198.51.100.1/32 -j ACCEPT\n"
                        "-A FORWARD -p udp -m comment --comment \"about -j CAUSEWAY-A\" -j DROP\n");
    remove_sample(RULES_AUTO);
    assert_string_equal(ask("iptables -S FORWARD"),
                        "-P FORWARD DROP\n-A FORWARD -s 198.51.100.1/32 -j ACCEPT\n"
                        "-A FORWARD -p udp -m comment --comment \"about -j CAUSEWAY-A\" -j DROP\n");
}

/* A set moves when another backend is chosen. */
static void test_change_of_backend(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        if (!rules_backend_usable(backends[i].backend))
            skip();
    }
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        apply(backends[i].backend);
        for (size_t k = 0; k < sizeof(backends) / sizeof(backends[0]); k++) {
            /* nft lists what iptables-nft makes, too, under iptables' names. */
            const char *mark = backends[k].backend == RULES_NFT ? "inet causeway" : "-N CAUSEWAY-A";
            assert_int_equal(count(ask(backends[k].list), mark), i == k);
        }
    }
    remove_sample(RULES_AUTO);
}

static void test_failure_leaves_nothing(void **state)
{
    struct rules_set broken = sample;
    enum rules_backend used;
    struct failure failure = {""};

    (void)state;
    if (!rules_backend_usable(RULES_IPTABLES))
        skip();
    broken.hooks = "filter FORWARD -i ${device} --no-such-match -j CAUSEWAY-A\n";
    assert_false(rules_apply(&broken, RULES_IPTABLES, values, &used, &failure));
    assert_int_equal(count(failure.text, "iptables-restore: "), 1);
    assert_int_equal(count(failure.text, "no-such-match"), 1);
    assert_int_equal(count(failure.text, "\n"), 0);
    assert_int_equal(count(ask("iptables -S"), "CAUSEWAY"), 0);
}

/* RULES_AUTO goes on to the next form, and says which one worked. */
static void test_auto_falls_back(void **state)
{
    struct rules_set only_nft = sample;
    enum rules_backend used;
    struct failure failure = {""};

    (void)state;
    if (!rules_backend_usable(RULES_NFT))
        skip();
    only_nft.ipv4 = "*filter\n:CAUSEWAY-A - [0:0]\n-A CAUSEWAY-A --no-such-match\nCOMMIT\n";
    assert_true(rules_apply(&only_nft, RULES_AUTO, values, &used, &failure));
    assert_int_equal(used, RULES_NFT);
    assert_true(rules_remove(&only_nft, RULES_AUTO, &failure));
    only_nft.nft = "no nft at all\n";
    assert_false(rules_apply(&only_nft, RULES_AUTO, values, &used, &failure));
    assert_true(count(failure.text, "nft: ") >= 1);
}

static void test_tools_out_of_path(void **state)
{
    char *path = getenv("PATH");

    (void)state;
    if (!rules_backend_usable(RULES_IPTABLES))
        skip();
    path = path == NULL ? NULL : strdup(path);
    setenv("PATH", "/nonexistent", 1);
    assert_true(rules_backend_usable(RULES_IPTABLES)); /* found in the system's own places */
    if (path != NULL)
        setenv("PATH", path, 1);
    free(path);
}

/* Asking what works may not set up tables (and with them hooks) of ip_tables. */
static void test_usable_changes_nothing(void **state)
{
    char before[256], *after;

    (void)state;
    snprintf(before, sizeof(before), "%.255s", ask("cat /proc/net/ip_tables_names 2>/dev/null"));
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
        (void)rules_backend_usable(backends[i].backend);
    remove_sample(RULES_AUTO);
    after = (char *)(uintptr_t)ask("cat /proc/net/ip_tables_names 2>/dev/null");
    assert_string_equal(after, before);
    assert_string_equal(ask("nft list ruleset 2>/dev/null"), "");
}

static void set_enclave_values(const char *tagged, const char *balanced)
{
    rules_set(values, "device", "cw1");
    rules_set(values, "tagged", "%s", tagged);
    rules_set(values, "balanced", "%s", balanced);
    rules_set(values, "queue_base", "40");
    rules_set(values, "queue_last", "41");
    rules_group(values, "lanes");
    rules_group_set(values, "mark", "0x80010000");
    rules_group_set(values, "mask", "0x80ff0000");
    rules_group_set(values, "queue", "41");
}

/* The capture rules in the three ways of spreading packets over queues, and in the nft form, which
 * fails without harm in a kernel without NFT_QUEUE. */
static void test_enclave_set(void **state)
{
    static const struct rules_set enclave = {"enclave",
                                             rule_enclave_nft,
                                             "inet causeway_enclave",
                                             rule_enclave_ipv4_rules,
                                             rule_enclave_ipv6_rules,
                                             rule_enclave_hooks};
    static const struct {
        const char *tagged, *balanced, *rule, *nft_rule;
    } cases[] = {
        {"1", "", "--mark 0x80010000/0x80ff0000 -j NFQUEUE --queue-num 41\n",
         "meta mark & 0x80ff0000 == 0x80010000 queue"},
        {"", "1", "-j NFQUEUE --queue-balance 40:41\n", "queue"},
        {"", "", "-j NFQUEUE --queue-num 40\n", "queue"},
    };

    (void)state;
    if (!rules_backend_usable(RULES_IPTABLES))
        skip();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum rules_backend used;
        struct failure failure = {""};
        const char *rules;

        set_enclave_values(cases[i].tagged, cases[i].balanced);
        if (!rules_apply(&enclave, RULES_AUTO, values, &used, &failure))
            fail_msg("%s", failure.text);
        assert_int_equal(used, RULES_IPTABLES);
        rules = ask("iptables -t raw -S; ip6tables -t raw -S");
        assert_int_equal(count(rules, "-A PREROUTING -i cw1 -j CAUSEWAY-CAPTURE\n"), 2);
        assert_true(count(rules, cases[i].rule) >= 2);
        assert_int_equal(count(rules, "-A CAUSEWAY-CAPTURE -j DROP\n"), 2);
        assert_true(rules_remove(&enclave, RULES_AUTO, &failure));
        assert_int_equal(count(ask("iptables-save; ip6tables-save"), "CAUSEWAY"), 0);
        if (rules_apply(&enclave, RULES_NFT, values, &used, &failure)) {
            assert_true(count(ask("nft list ruleset"), cases[i].nft_rule) > 0);
            assert_true(rules_remove(&enclave, RULES_NFT, &failure));
        } else {
            /* The kernel refused a rule; the text itself is good nft. */
            assert_int_equal(count(failure.text, "syntax error"), 0);
            assert_true(count(failure.text, "Could not process rule") > 0);
        }
        assert_int_equal(count(ask("nft list ruleset"), "causeway"), 0);
    }
}

#define WITH_VALUES(test)  cmocka_unit_test_setup_teardown(test, new_values, free_values)
#define IN_NAMESPACE(test) cmocka_unit_test_setup_teardown(test, new_namespace, free_values)

int main(void)
{
    const struct CMUnitTest pure[] = {
        WITH_VALUES(test_values),
        WITH_VALUES(test_conditions),
        WITH_VALUES(test_lists),
        WITH_VALUES(test_bad_values),
        WITH_VALUES(test_value_without_group),
        WITH_VALUES(test_published_ports),
        WITH_VALUES(test_backend_names),
    };
    const struct CMUnitTest host[] = {
        IN_NAMESPACE(test_apply_twice_and_remove), IN_NAMESPACE(test_hook_is_first_and_single),
        IN_NAMESPACE(test_change_of_backend),      IN_NAMESPACE(test_failure_leaves_nothing),
        IN_NAMESPACE(test_auto_falls_back),        IN_NAMESPACE(test_tools_out_of_path),
        IN_NAMESPACE(test_usable_changes_nothing), IN_NAMESPACE(test_enclave_set),
    };
    int failed;

    log_init("rules", LOG_LEVEL_WARNING);
    failed = cmocka_run_group_tests(pure, NULL, NULL);
    if (unshare(CLONE_NEWNET) < 0) {
        printf("no network namespace of our own: %s\n", strerror(errno));
        return failed ? failed : 77;
    }
    return failed + cmocka_run_group_tests(host, NULL, NULL);
}
