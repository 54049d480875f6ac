/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/addresses.h"
#include "parent/config.h"
#include "parent/policy.h"

#include <linux/vm_sockets.h>

#include "tests/unit/support.h"
#include "tests/unit/words.h"

static struct parent_config config;
static struct words words;
static struct failure failure;

static enum options_result read_line(const char *line)
{
    words_split(&words, line);
    failure.text[0] = '\0';
    return parent_config_read(&config, words.argc, words.argv, NULL, &failure);
}

static void good(const char *line)
{
    if (read_line(line) != OPTIONS_OK)
        fail_msg("%s: %s", line, failure.text);
}

static void bad(const char *line, const char *sentence)
{
    if (read_line(line) != OPTIONS_INVALID)
        fail_msg("'%s' was taken", line);
    assert_string_equal(failure.text, sentence);
}

static void assert_address(uint32_t index, const char *address4, const char *address6)
{
    struct ip_addr a = parent_config_address(&config, 4, index);
    struct ip_addr b = parent_config_address(&config, 6, index);
    char text[ADDR_TEXT_BYTES];

    assert_string_equal(addr_format(&a, text), address4);
    assert_string_equal(addr_format(&b, text), address6);
}

static void test_defaults(void **state)
{
    char text[ADDR_TEXT_BYTES];

    (void)state;
    good("--enclave vsock:16:5005");
    assert_int_equal(config.enclave_count, 1);
    assert_string_equal(config.enclaves[0].name, "16");
    assert_int_equal(config.enclaves[0].index, 16);
    assert_address(16, "100.127.0.16", "fdc5:7e1a:9b40::10");
    assert_address(INDEX_GATEWAY, "100.127.0.1", "fdc5:7e1a:9b40::1");
    assert_string_equal(prefix_format(&config.pool4, text), "100.127.0.0/16");
    assert_string_equal(prefix_format(&config.pool6, text), "fdc5:7e1a:9b40::/64");
    assert_int_equal(config.lanes_max, WIRE_MAX_LANES);
    assert_int_equal(config.dead_seconds, 10);
    assert_int_equal(config.write_max, LINK_WRITE_AUTOMATIC);
    assert_int_equal(config.firewall, RULES_AUTO);
    assert_int_equal(config.common.log_level, LOG_LEVEL_INFO);
    assert_null(config.uplink);
    assert_null(config.common.user);
    assert_false(config.routed4 || config.routed6 || config.common.no_sandbox ||
                 config.common.check || config.common.dry_run);
    assert_int_equal(config.publish_count + config.allow.count + config.dns_count, 0);
}

static void test_every_option(void **state)
{
    (void)state;
    good(
        "--enclave vsock:16:5005,name=web --enclave unix:/run/db.sock,address=10.9.0.77 "
        "--publish web=443:443 --publish db.sock=53:53/udp --pool 10.9.0.0/24 --pool6 fd01:2::/96 "
        "--routed4 --routed6 --allow 10.1.0.0/16 --allow fd02::/16 --dns 9.9.9.9 --dns 2620:fe::fe "
        "--uplink eth0 --lanes 4 --firewall nft --dead-after 1 --write-max 5000 --user nobody "
        "--no-sandbox --check "
        "--dry-run --log-level error");
    assert_int_equal(config.enclave_count, 2);
    assert_string_equal(config.enclaves[0].name, "web");
    assert_string_equal(config.enclaves[1].name, "db.sock");
    assert_int_equal(config.enclaves[1].index, 77);
    assert_int_equal(config.publish_count, 2);
    assert_true(config.routed4 && config.routed6);
    assert_int_equal(config.allow.count, 2);
    assert_int_equal(config.dns_count, 2);
    assert_int_equal(config.dns[1].version, 6);
    assert_string_equal(config.uplink, "eth0");
    assert_int_equal(config.lanes_max, 4);
    assert_int_equal(config.firewall, RULES_NFT);
    assert_int_equal(config.dead_seconds, 1);
    assert_int_equal(config.write_max, 5000);
    assert_string_equal(config.common.user, "nobody");
    assert_true(config.common.no_sandbox && config.common.check && config.common.dry_run);
    assert_int_equal(config.common.log_level, LOG_LEVEL_ERROR);
    good("--enclave unix:/a,owner=4294967294,name=web --enclave unix:/b,owner=root");
    assert_true(config.enclaves[0].owned && config.enclaves[0].owner == 4294967294);
    assert_true(config.enclaves[1].owned && config.enclaves[1].owner == 0);
    good("--enclave vsock:16:5005 --uplink auto");
    assert_null(config.uplink);
}

#define ONE "--enclave vsock:16:5005 "

static void test_rejects(void **state)
{
    (void)state;
    bad("", "--enclave is missing: which enclave may connect?");
    bad("--enclave 16:5005", "--enclave: '16:5005' is neither vsock:CID:PORT nor unix:PATH");
    bad("--enclave vsock:16", "--enclave: 'vsock:16' is not vsock:CID:PORT");
    bad("--enclave vsock:16:1,name=",
        "--enclave: 'vsock:16:1,name=' has a name that is empty, too long, or contains = : / or "
        "space");
    bad("--enclave vsock:16:1,name=a/b",
        "--enclave: 'vsock:16:1,name=a/b' has a name that is empty, too long, or contains = : / or "
        "space");
    bad("--enclave vsock:16:1,address=fd00::1",
        "--enclave: 'vsock:16:1,address=fd00::1' has an address= that is not an IPv4 address");
    bad("--enclave vsock:16:1,slot=4", "--enclave: 'vsock:16:1,slot=4' has a part that is neither "
                                       "name=NAME, address=ADDRESS nor owner=USER");
    bad("--enclave vsock:16:1,owner=0",
        "--enclave: 'vsock:16:1,owner=0' has an owner=, which only a "
        "unix: socket can have");
    bad("--enclave unix:/a,owner=no-such-user",
        "--enclave: 'unix:/a,owner=no-such-user' has an owner= that is no user here");
    bad("--enclave unix:/a,owner=4294967295",
        "--enclave: 'unix:/a,owner=4294967295' has an owner= that is no user here");
    bad("--enclave vsock:16:1,", "--enclave: 'vsock:16:1,' has a part that is neither "
                                 "name=NAME, address=ADDRESS nor owner=USER");
    bad(ONE "--pool 10.0.0.0/30", "--pool: '10.0.0.0/30' is too small a pool (at most /29)");
    bad(ONE "--pool 10.0.0.1/24", "--pool: '10.0.0.1/24' is not an IPv4 network, nor none");
    bad(ONE "--pool fd00::/64", "--pool: 'fd00::/64' is not an IPv4 network, nor none");
    bad(ONE "--pool6 fd00::/113", "--pool6: 'fd00::/113' is too small a pool (at most /112)");
    bad(ONE "--pool6 10.0.0.0/8", "--pool6: '10.0.0.0/8' is not an IPv6 network, nor none");
    bad(ONE "--pool none --pool6 none",
        "--pool and --pool6 are both none: enclaves need addresses");
    bad(ONE "--allow example.org", "--allow: 'example.org' is not a network like 10.1.0.0/16");
    bad(ONE "--dns localhost", "--dns: 'localhost' is not an IP address");
    bad(ONE "--uplink a-name-of-16-byt", "--uplink: 'a-name-of-16-byt' is not a device name");
    bad(ONE "--lanes 9", "--lanes: '9' is not a number from 1 to 8");
    bad(ONE "--write-max 4095", "--write-max: '4095' is neither auto nor 4096 to 131072 bytes");
    bad(ONE "--dead-after 601", "--dead-after: '601' is not a number from 1 to 600");
    bad(ONE "--firewall ipfw", "--firewall: 'ipfw' is not auto, iptables, iptables-legacy or nft");
    bad(ONE "--log-level all", "--log-level: 'all' is not error, warning, info or debug");
    bad(ONE "--publish 80", "--publish: '80' is not PORTS:PORTS (1 to 65535, or FIRST-LAST)");
}

static void test_names(void **state)
{
    char line[300] = "--enclave vsock:16:1,name=";

    (void)state;
    good("--enclave unix:relative");
    assert_string_equal(config.enclaves[0].name, "relative");
    good("--enclave unix:/a/b/c.sock");
    assert_string_equal(config.enclaves[0].name, "c.sock");
    good("--enclave vsock:any:7");
    assert_string_equal(config.enclaves[0].name, "any");
    memset(line + strlen(line), 'n', PARENT_NAME_BYTES - 1);
    good(line);
    line[strlen(line)] = 'n';
    assert_int_equal(read_line(line), OPTIONS_INVALID);

    bad("--enclave vsock:16:1 --enclave vsock:16:1",
        "--enclave: 'vsock:16:1' has the peer or the name of another --enclave");
    bad("--enclave unix:/a/x --enclave unix:/b/x",
        "--enclave: 'unix:/b/x' has the peer or the name of another --enclave");
    bad("--enclave vsock:16:1 --enclave vsock:17:1,name=16",
        "--enclave: 'vsock:17:1,name=16' has the peer or the name of another --enclave");
    bad("--enclave unix:/a/x --enclave unix:/a/x,name=y",
        "--enclave: 'unix:/a/x,name=y' has the peer or the name of another --enclave");
    good("--enclave unix:/a/x --enclave unix:/b/x,name=y --enclave vsock:16:1 --enclave "
         "vsock:16:2,name=z");
    assert_ptr_equal(parent_config_find(&config, "y"), &config.enclaves[1]);
    assert_null(parent_config_find(&config, "w"));
    assert_null(parent_config_find(&config, "")); /* several: none of them is meant */
    good(ONE);
    assert_ptr_equal(parent_config_find(&config, ""), &config.enclaves[0]);
}

static void assert_indexes(const char *line, const uint32_t *indexes)
{
    good(line);
    for (unsigned i = 0; i < config.enclave_count; i++)
        if (config.enclaves[i].index != indexes[i])
            fail_msg("%s: enclave %u has index %u, not %u", line, i, config.enclaves[i].index,
                     indexes[i]);
}

static void test_indexes(void **state)
{
    (void)state;
    assert_indexes("--enclave vsock:16:1 --enclave vsock:17:1", (uint32_t[]){16, 17});
    assert_indexes("--enclave unix:/a --enclave vsock:2:1 --enclave unix:/b",
                   (uint32_t[]){3, 2, 4});
    /* An address that is asked for comes before a CID's own. */
    assert_indexes("--enclave vsock:16:1 --enclave unix:/a,address=100.127.0.16",
                   (uint32_t[]){2, 16});
    assert_indexes("--enclave vsock:16:1,address=100.127.1.0 --enclave vsock:256:1",
                   (uint32_t[]){256, 2});
    assert_indexes("--enclave vsock:any:1 --enclave unix:/a", (uint32_t[]){0, 2});
    assert_indexes("--enclave vsock:4000000000:1", (uint32_t[]){2});
    assert_indexes("--enclave vsock:1:1", (uint32_t[]){2});
    good("--enclave vsock:16:1");
    assert_true(parent_config_index_taken(&config, 16));
    assert_false(parent_config_index_taken(&config, 17));
}

/* A CID that has no index of its own must not take another CID's, in whatever order they stand. */
static void test_indexes_in_any_order(void **state)
{
    (void)state;
    assert_indexes("--enclave vsock:2:1 --enclave vsock:4000000000:1", (uint32_t[]){2, 3});
    assert_indexes("--enclave vsock:4000000000:1 --enclave vsock:2:1", (uint32_t[]){3, 2});
    assert_indexes("--enclave vsock:16:1 --enclave vsock:16:2,name=b --enclave vsock:2:1",
                   (uint32_t[]){16, 3, 2});
}

static void not_free(const char *line, const char *which)
{
    char sentence[200];

    snprintf(sentence, sizeof(sentence), "--enclave: %s: not a free address of 100.127.0.0/16",
             which);
    bad(line, sentence);
}

static void test_fixed_addresses(void **state)
{
    (void)state;
    not_free("--enclave vsock:16:1,address=10.0.0.1", "16 cannot have 10.0.0.1");
    not_free("--enclave vsock:16:1,address=100.127.0.0", "16 cannot have 100.127.0.0");
    not_free("--enclave vsock:16:1,address=100.127.0.1", "16 cannot have 100.127.0.1");
    not_free("--enclave vsock:16:1,address=100.127.255.255", "16 cannot have 100.127.255.255");
    not_free("--enclave vsock:16:1,address=100.127.0.5 --enclave vsock:17:1,address=100.127.0.5",
             "17 cannot have 100.127.0.5");
    not_free("--enclave vsock:any:1,address=100.127.0.5", "any cannot have 100.127.0.5");
    assert_int_equal(read_line("--enclave vsock:16:1,address=100.127.0.5 --pool none"),
                     OPTIONS_INVALID);
    assert_contains(failure.text, "16 cannot have 100.127.0.5");
    good("--enclave vsock:16:1,address=100.127.255.254");
    assert_int_equal(config.enclaves[0].index, 65534);
}

static void test_pool_sizes(void **state)
{
    (void)state;
    good(ONE "--pool 10.0.0.0/29");
    assert_int_equal(parent_config_index_end(&config), 7);
    assert_int_equal(config.enclaves[0].index, 2);
    good(ONE "--pool 10.0.0.0/16");
    assert_int_equal(parent_config_index_end(&config), 65535);
    good(ONE "--pool 10.0.0.0/8");
    assert_int_equal(parent_config_index_end(&config), 65535);
    assert_address(65534, "10.0.255.254", "fdc5:7e1a:9b40::fffe");
    good(ONE "--pool none --pool6 fd00::/112");
    assert_int_equal(parent_config_index_end(&config), 65535);
    assert_address(65534, "none", "fd00::fffe");
    good(ONE "--pool6 none");
    assert_address(16, "100.127.0.16", "none");
}

static void test_pool_too_small(void **state)
{
    char line[400] = "--pool 10.0.0.0/29";

    (void)state;
    for (int i = 0; i < 5; i++)
        sprintf(line + strlen(line), " --enclave unix:/s%d", i);
    good(line);
    strcat(line, " --enclave unix:/one-more");
    bad(line, "--pool: 10.0.0.0/29 has fewer addresses than there are enclaves");
}

/* Appends the words with every number of 0 up to count in the place of '#'. */
static void repeat(char *line, const char *pattern, int count)
{
    char *end = line + strlen(line);

    for (int i = 0; i < count; i++) {
        for (const char *at = pattern; *at != '\0'; at++)
            end += *at == '#' ? sprintf(end, "%d", i) : sprintf(end, "%c", *at);
    }
}

static void test_limits(void **state)
{
    static char line[16384];

    (void)state;
    strcpy(line, "");
    repeat(line, " --enclave vsock:#:1", PARENT_ENCLAVES_MAX);
    good(line);
    strcat(line, " --enclave vsock:999:1");
    bad(line, "--enclave: 'vsock:999:1' is one enclave too many (at most 64)");
    strcpy(line, ONE);
    repeat(line, " --publish=#1:#1", PARENT_PUBLISH_MAX);
    good(line);
    strcat(line, " --publish 9:9");
    bad(line, "--publish: '9:9' is one too many (at most 256)");
    strcpy(line, ONE);
    repeat(line, " --allow 10.#.0.0/16", PREFIX_TABLE_MAX);
    good(line);
    strcat(line, " --allow 11.0.0.0/8");
    bad(line, "--allow: '11.0.0.0/8' is one network too many (at most 64)");
    bad(ONE "--dns 1.1.1.1 --dns 1.1.1.2 --dns 1.1.1.3 --dns 1.1.1.4 --dns 1.1.1.5",
        "--dns: '1.1.1.5' is one resolver too many (at most 4)");
}

static void test_publish(void **state)
{
    (void)state;
    good(ONE "--publish 80:80 --publish 80:80/udp --publish 81:80");
    bad(ONE "--publish web=80:80", "--publish: no --enclave is called 'web'");
    bad("--enclave vsock:16:1 --enclave vsock:17:1 --publish 80:80",
        "--publish: with several enclaves it must say which one: NAME=PORTS:PORTS");
    bad("--enclave vsock:any:1 --publish 80:80",
        "--publish: an enclave of any CID has no fixed address; configure it by its own CID");
    bad(ONE "--publish 80:80 --publish 70-90:70-90", "--publish: port 70/tcp is published twice");
    bad("--enclave vsock:16:1 --enclave vsock:17:1 --publish 16=80:80 --publish 17=80:80",
        "--publish: port 80/tcp is published twice");
    good("--publish b=80:80 --enclave vsock:16:1,name=a --enclave vsock:17:1,name=b");
}

/* An address of a family that enclaves do not have would be published nowhere, and silently. */
static void test_publish_on_a_family_that_is_off(void **state)
{
    (void)state;
    bad(ONE "--pool6 none --publish [2001:db8::1]:80:80",
        "--publish: enclaves have no IPv6: port 80 of an IPv6 address cannot be theirs");
    bad(ONE "--pool none --publish 192.0.2.1:80:80",
        "--publish: enclaves have no IPv4: port 80 of an IPv4 address cannot be theirs");
    good(ONE "--pool6 none --publish 192.0.2.1:80:80 --publish 81:81");
}

static char *print_config(void)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    options_print(parent_options, &config, out);
    fclose(out);
    return text;
}

/* What is printed reads back, by --config, as the same configuration. */
static void round_trip(const char *line)
{
    char again[600];

    good(line);
    char *once = print_config();
    FILE *out = fopen(support_path("conf"), "we");
    assert_non_null(out);
    fputs(once, out);
    fclose(out);
    snprintf(again, sizeof(again), "--config %s", support_path("conf"));
    good(again);
    char *twice = print_config();
    assert_string_equal(once, twice);
    free(once);
    free(twice);
    option_file_free(&config.common.file);
}

static void test_round_trip(void **state)
{
    (void)state;
    round_trip("--enclave unix:/run/a");
    round_trip("--enclave unix:/run/a,owner=65534,name=web");
    round_trip("--enclave unix:/run/a:b=c --pool6 none");
    round_trip(
        "--enclave vsock:16:5005,name=web,address=100.127.0.50 --enclave vsock:any:5006 "
        "--enclave unix:/run/x,name=box --publish web=443:443 --publish "
        "box=198.51.100.3:8000-8010:9000-9010/udp --publish box=[2001:db8::3]:80:81 "
        "--pool 100.127.0.0/24 --pool6 fd01::/64 --routed4 --routed6 --allow 10.0.0.0/8 --allow "
        "fd00::/8 --dns 9.9.9.9 --dns 2620:fe::fe --uplink eth7 --lanes 3 --firewall nft "
        "--dead-after 3 --write-max auto --user nobody --no-sandbox --dry-run --log-level error");
}

static void test_check_needs_no_enclave(void **state)
{
    (void)state;
    good("--check");
}

/* The part that changes at run time: taken whole or not at all. */
static void test_policy(void **state)
{
    char text[200], *printed = NULL;
    size_t length;

    (void)state;
    good("--enclave unix:/run/a,name=web --publish 443:443 --allow 10.0.0.0/8 --dns 9.9.9.9");
    strcpy(text, "publish = web=80:8080\nallow = fd00::/8\npublish = 53:53/udp\n");
    assert_true(parent_policy_take(&config, text, &failure));
    assert_int_equal(config.publish_count, 2);
    assert_int_equal(config.allow.count, 1);
    assert_int_equal(config.dns_count, 1);
    FILE *out = open_memstream(&printed, &length);
    parent_policy_print(&config, out);
    fclose(out);
    assert_string_equal(printed,
                        "publish = web=80:8080/tcp\npublish = 53:53/udp\nallow = fd00::/8\n");
    strcpy(text, "publish = 443:443\npublish = box=80:80\n");
    assert_false(parent_policy_take(&config, text, &failure));
    assert_string_equal(failure.text, "--publish: no --enclave is called 'box'");
    strcpy(text, "enclave = unix:/run/b\n");
    assert_false(parent_policy_take(&config, text, &failure));
    assert_string_equal(failure.text, "policy:1: unknown key 'enclave'");
    assert_int_equal(config.publish_count, 2);
    assert_true(parent_policy_take(&config, printed, &failure));
    assert_int_equal(config.publish_count, 2);
    free(printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_option),
        cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_indexes),
        cmocka_unit_test(test_indexes_in_any_order),
        cmocka_unit_test(test_fixed_addresses),
        cmocka_unit_test(test_pool_sizes),
        cmocka_unit_test(test_pool_too_small),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_publish),
        cmocka_unit_test(test_publish_on_a_family_that_is_off),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_check_needs_no_enclave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
