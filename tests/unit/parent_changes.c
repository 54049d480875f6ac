/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a running parent. The helper is a real one, in a network namespace of the test's own;
 * its firewall is nft, so the rules that are in force can be looked at.
 */
#include "parent/changes.h"

#include <stdlib.h>
#include <unistd.h>

#include "parent/firewall.h"
#include "runtime/base/reload.h"
#include "tests/unit/support.h"
#include "tests/unit/words.h"

static struct parent_config config;
static struct sessions sessions;
static struct netdev netdev;
static struct helper helper;
static struct parent_config given, fresh;
static struct changes changes;
static struct reload reloading;
static struct words words;
static struct failure complaint;

static void clean_up(void *context)
{
    struct failure failure;

    (void)context;
    rules_remove(&firewall_rules, RULES_NFT, &failure);
}

/* What the skeleton of the daemon does. */
static bool serve(void *context, char kind, char *text, char *answer, struct failure *failure)
{
    struct parent_config *own = context;

    return kind == RELOAD_KIND_FILE ? reload_serve(&own->common.file, answer, failure)
                                    : changes_serve(own, kind, text, answer, failure);
}

static void write_file(const char *text)
{
    FILE *out = fopen(support_path("conf"), "we");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static int start(void **state)
{
    char line[800];

    (void)state;
    write_file("publish = 443:443\n");
    snprintf(line, sizeof(line), "--config %s --enclave unix:/run/a,name=web --firewall nft",
             support_path("conf"));
    words_split(&words, line);
    if (parent_config_read(&config, words.argc, words.argv, NULL, &complaint) != OPTIONS_OK ||
        netdev_open(&netdev) < 0)
        return -1;
    sessions = (struct sessions){.context = {.config = &config, .netdev = &netdev, .mtu = 1500}};
    changes = (struct changes){.config = &config, .sessions = &sessions, .helper = &helper};
    given = config;
    reloading = (struct reload){
        .read = parent_config_read,
        .take = changes_reload,
        .context = &changes,
        .given = &given,
        .fresh = &fresh,
        .helper = &helper,
        .argc = words.argc,
        .argv = words.argv,
    };
    return helper_start(&helper, &(struct helper_duties){
                                     .cleanup = clean_up,
                                     .serve = serve,
                                     .context = &config,
                                 });
}

static int finish(void **state)
{
    (void)state;
    helper_finish(&helper);
    netdev_close(&netdev);
    free(reloading.text);
    option_file_free(&config.common.file);
    return 0;
}

static bool in_rules(const char *part)
{
    static char text[65536];
    FILE *pipe = popen("nft list table inet causeway 2>&1", "re");

    assert_non_null(pipe);
    text[fread(text, 1, sizeof(text) - 1, pipe)] = '\0';
    pclose(pipe);
    return strstr(text, part) != NULL;
}

static bool change(enum change_kind kind, const char *key, const char *value)
{
    complaint.text[0] = '\0';
    return changes_make(&changes, kind, key, value, &complaint);
}

static void refused(enum change_kind kind, const char *key, const char *value, const char *sentence)
{
    unsigned published = config.publish_count;
    size_t allowed = config.allow.count;

    assert_false(change(kind, key, value));
    assert_string_equal(complaint.text, sentence);
    assert_int_equal(config.publish_count, published);
    assert_int_equal(config.allow.count, allowed);
}

static void test_publish(void **state)
{
    (void)state;
    assert_true(change(CHANGE_ADD, "publish", "8443:443"));
    assert_true(in_rules("dport 8443") && in_rules("dport 443"));
    assert_int_equal(config.publish_count, 2);
    assert_true(change(CHANGE_ADD, "publish", "web=5300-5310:53-63/udp"));
    refused(CHANGE_ADD, "publish", "8443:80", "--publish: port 8443/tcp is published twice");
    refused(CHANGE_ADD, "publish", "box=80:80", "--publish: no --enclave is called 'box'");
    refused(CHANGE_ADD, "publish", "80",
            "publish: '80' is not PORTS:PORTS (1 to 65535, or FIRST-LAST)");
    refused(CHANGE_REMOVE, "publish", "8443:80", "unpublish: '8443:80' is not there");
    refused(CHANGE_REMOVE, "publish", "rubbish", "unpublish: 'rubbish' is not there");
    /* With one enclave a name or none is the same. */
    assert_true(change(CHANGE_REMOVE, "publish", "web=8443:443"));
    assert_true(change(CHANGE_REMOVE, "publish", "5300-5310:53-63/udp"));
    assert_false(in_rules("dport 8443"));
    assert_int_equal(config.publish_count, 1);
}

static void test_allow(void **state)
{
    (void)state;
    assert_true(change(CHANGE_ADD, "allow", "10.1.0.0/16"));
    assert_true(change(CHANGE_ADD, "allow", "fd12::/64"));
    assert_true(in_rules("10.1.0.0/16 accept") && in_rules("fd12::/64 accept"));
    refused(CHANGE_ADD, "allow", "10.1.0.0/16", "allow: '10.1.0.0/16' is allowed already");
    refused(CHANGE_ADD, "allow", "10.1.0.1/16",
            "allow: '10.1.0.1/16' has bits of a host set: the network is "
            "10.1.0.0/16");
    refused(CHANGE_REMOVE, "allow", "10.2.0.0/16", "disallow: '10.2.0.0/16' is not there");
    refused(CHANGE_ADD, "pool", "10.2.0.0/16", "unknown key 'pool'");
    assert_true(change(CHANGE_REMOVE, "allow", "10.1.0.0/16"));
    assert_false(in_rules("10.1.0.0/16 accept"));
    assert_true(in_rules("fd12::/64 accept"));
}

static const char *reload(const char *text)
{
    write_file(text);
    support_capture_begin(2);
    reload_configuration(&reloading);
    return support_capture_end();
}

static void test_reload(void **state)
{
    (void)state;
    assert_contains(reload("publish = 80:80\nuplink = eth7\ndead-after = 77\npool = 10.0.0.0/24\n"),
                    "changed publish, uplink, dead-after");
    assert_true(in_rules("dport 80 ") && !in_rules("dport 443"));
    assert_string_equal(config.uplink, "eth7");
    assert_int_equal(config.dead_seconds, 77);
    assert_contains(reload("pool = 10.0.0.0/24\nallow = 10.7.0.0/16\n"), "a change of pool needs");
    assert_null(config.uplink);
    assert_int_equal(config.publish_count, 0);
    assert_true(in_rules("10.7.0.0/16 accept"));
    assert_int_equal(config.pool4.length, 16);
    /* What was changed one by one is gone with the next reload. */
    assert_true(change(CHANGE_ADD, "publish", "81:81"));
    assert_contains(reload("allow = 10.7.0.0/16\n"), "changed publish");
    assert_false(in_rules("dport 81"));
}

static void test_invalid_reload(void **state)
{
    (void)state;
    assert_true(change(CHANGE_ADD, "allow", "10.1.0.0/16"));
    assert_contains(reload("dead-after = 3\npublish = 80\n"), "conf:2: publish: '80' is not");
    assert_contains(reload("publish = 80:80\npublish = 80:81\n"), "is published twice");
    assert_int_equal(config.dead_seconds, 10);
    assert_int_equal(config.publish_count, 1);
    assert_true(in_rules("dport 443") && in_rules("10.1.0.0/16 accept"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_publish, start, finish),
        cmocka_unit_test_setup_teardown(test_allow, start, finish),
        cmocka_unit_test_setup_teardown(test_reload, start, finish),
        cmocka_unit_test_setup_teardown(test_invalid_reload, start, finish),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    if (!rules_backend_usable(RULES_NFT)) {
        printf("skipped: nft does not work here\n");
        return TEST_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
