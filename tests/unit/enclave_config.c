/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/config.h"

#include <sched.h>

#include "tests/unit/support.h"
#include "tests/unit/words.h"

static struct enclave_config config;
static struct words words;
static struct failure failure;

static enum options_result read_line(const char *line)
{
    words_split(&words, line);
    failure.text[0] = '\0';
    return enclave_config_read(&config, words.argc, words.argv, NULL, &failure);
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

static struct prefix_table connected; /* networks of the machine's other devices */

static struct ip_addr addr(const char *text)
{
    struct ip_addr out = {0};

    assert_true(addr_parse(text, &out));
    return out;
}

static void test_defaults(void **state)
{
    cpu_set_t set;

    (void)state;
    good("--link vsock:3:5005");
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    unsigned cpus = (unsigned)CPU_COUNT(&set);
    assert_int_equal(config.lanes, cpus < WIRE_MAX_LANES ? cpus : WIRE_MAX_LANES);
    assert_int_equal(config.link.cid, 3);
    assert_int_equal(config.link.port, 5005);
    assert_int_equal(config.capture, CAPTURE_AUTO);
    assert_int_equal(config.pinned4.addr.version, 0);
    assert_int_equal(config.pinned6.addr.version, 0);
    assert_int_equal(config.mtu_max, 65535);
    assert_int_equal(config.inside.count, 0);
    assert_int_equal(config.queue_base, 7700);
    assert_int_equal(config.queue_length, 2048);
    assert_int_equal(config.dead_seconds, 10);
    assert_int_equal(config.write_max, LINK_WRITE_AUTOMATIC);
    assert_int_equal(config.firewall, RULES_AUTO);
    assert_int_equal(config.common.log_level, LOG_LEVEL_INFO);
    assert_null(config.common.user);
    assert_false(config.common.no_sandbox || config.common.check || config.common.dry_run);
}

static void test_every_option(void **state)
{
    struct ip_addr inside = addr("172.18.5.5");

    (void)state;
    good("--link unix:/run/parent.sock --lanes 8 --capture nfqueue --address 100.127.0.9 --address "
         "fdc5::9 --mtu 1280 --inside 172.17.0.0/16 --inside 172.18.0.0/16 --queue 65527 "
         "--queue-length 16 --firewall iptables-legacy --dead-after 600 --write-max 5000 --user "
         "nobody --no-sandbox "
         "--check --dry-run --log-level debug");
    assert_int_equal(config.link.kind, LINK_UNIX);
    assert_int_equal(config.lanes, 8);
    assert_int_equal(config.capture, CAPTURE_NFQUEUE);
    struct ip_addr pin4 = addr("100.127.0.9"), pin6 = addr("fdc5::9");
    assert_true(addr_equal(&config.pinned4.addr, &pin4));
    assert_true(addr_equal(&config.pinned6.addr, &pin6));
    assert_int_equal(config.mtu_max, 1280);
    assert_int_equal(config.inside.count, 2);
    assert_true(prefix_table_contains(&config.inside, &inside));
    assert_int_equal(config.queue_base, 65527);
    assert_int_equal(config.queue_length, 16);
    assert_int_equal(config.firewall, RULES_IPTABLES_LEGACY);
    assert_int_equal(config.dead_seconds, 600);
    assert_int_equal(config.write_max, 5000);
    assert_string_equal(config.common.user, "nobody");
    assert_true(config.common.no_sandbox && config.common.check && config.common.dry_run);
    assert_int_equal(config.common.log_level, LOG_LEVEL_DEBUG);
    good("--link vsock:3:1 --capture packet");
    assert_int_equal(config.capture, CAPTURE_PACKET);
    good("--link vsock:3:1 --capture packet --capture auto");
    assert_int_equal(config.capture, CAPTURE_AUTO);
}

#define LINK "--link vsock:3:1 "

static void test_rejects(void **state)
{
    (void)state;
    bad("", "--link is missing: where does the parent listen?");
    bad("--lanes 1", "--link is missing: where does the parent listen?");
    bad("--link vsock:3", "--link: 'vsock:3' is not vsock:CID:PORT");
    bad("--link vsock:any:5", "--link: 'vsock:any:5' needs the parent's CID: 3 on Nitro, 2 under "
                              "QEMU");
    bad(LINK "--lanes 0", "--lanes: '0' is not a number from 1 to 8");
    bad(LINK "--lanes 9", "--lanes: '9' is not a number from 1 to 8");
    bad(LINK "--capture tun", "--capture: 'tun' is not auto, nfqueue or packet");
    bad(LINK "--address 1.2.3", "--address: '1.2.3' is neither an IP address nor a network");
    bad(LINK "--address 10.0.0.1/8",
        "--address: '10.0.0.1/8' is neither an IP address nor a network");
    bad(LINK "--mtu 1279", "--mtu: '1279' is not a number from 1280 to 65535");
    bad(LINK "--mtu 65536", "--mtu: '65536' is not a number from 1280 to 65535");
    bad(LINK "--inside docker0", "--inside: 'docker0' is not a network like 172.17.0.0/16");
    bad(LINK "--inside 172.17.0.1/16",
        "--inside: '172.17.0.1/16' is not a network like 172.17.0.0/16");
    bad(LINK "--queue 65528", "--queue: '65528' is not a number from 0 to 65527");
    bad(LINK "--queue-length 15", "--queue-length: '15' is not a number from 16 to 65536");
    bad(LINK "--firewall pf", "--firewall: 'pf' is not auto, iptables, iptables-legacy or nft");
    bad(LINK "--write-max 4095", "--write-max: '4095' is neither auto nor 4096 to 131072 bytes");
    bad(LINK "--dead-after 0", "--dead-after: '0' is not a number from 1 to 600");
    bad(LINK "--log-level loud", "--log-level: 'loud' is not error, warning, info or debug");
    bad(LINK "--pool 10.0.0.0/8", "unknown option '--pool' (see --help)");
}

static void test_too_many_inside(void **state)
{
    char line[8192] = LINK;

    (void)state;
    for (int i = 0; i < PREFIX_TABLE_MAX; i++)
        sprintf(line + strlen(line), "--inside 10.%d.0.0/16 ", i);
    good(line);
    strcat(line, "--inside 11.0.0.0/8");
    bad(line, "--inside: '11.0.0.0/8' is one network too many (at most 64)");
}

/* ---- what the parent says ---- */

static struct wire_config offer(void)
{
    return (struct wire_config){
        .lanes = 2,
        .mtu = 1500,
        .address4 = addr("100.127.0.2"),
        .gateway4 = addr("100.127.0.1"),
        .address6 = addr("fdc5:7e1a:9b40::2"),
        .gateway6 = addr("fdc5:7e1a:9b40::1"),
    };
}

static void accepted(struct wire_config offered)
{
    struct failure reason = {""};

    if (!enclave_config_accept(&config, &connected, &offered, &reason))
        fail_msg("refused: %s", reason.text);
    assert_string_equal(reason.text, "");
}

static void refused(struct wire_config offered, const char *sentence)
{
    struct failure reason = {""};

    if (enclave_config_accept(&config, &connected, &offered, &reason))
        fail_msg("taken, not: %s", sentence);
    assert_string_equal(reason.text, sentence);
}

static void test_good_offers(void **state)
{
    struct wire_config offered = offer();

    (void)state;
    good(LINK "--lanes 2");
    accepted(offered);
    offered.address6 = offered.gateway6 = (struct ip_addr){0};
    accepted(offered);
    offered = offer();
    offered.address4 = offered.gateway4 = (struct ip_addr){0};
    accepted(offered);
    offered = offer();
    offered.lanes = 1;
    accepted(offered);
    offered.address4 = addr("8.8.8.8"); /* whose it is, the parent does not decide */
    refused(offered, "8.8.8.8 is no local address, and no --address allows it");
    offered = offer();
    offered.gateway6 = addr("2001:db8::1");
    refused(offered, "2001:db8::1 is no local address, and no --address allows it");
    good(LINK "--lanes 2 --address 8.8.8.0/24");
    offered = offer();
    offered.address4 = addr("8.8.8.8");
    accepted(offered);
    offered.address4 = addr("8.8.4.4");
    refused(offered, "it offers 8.8.4.4 where 8.8.8.0/24 is pinned");
}

static void test_lanes(void **state)
{
    struct wire_config offered = offer();

    (void)state;
    good(LINK "--lanes 2");
    offered.lanes = 3;
    refused(offered, "it grants 3 lanes where 2 were asked for");
    offered.lanes = 255;
    refused(offered, "it grants 255 lanes where 2 were asked for");
}

static void test_mtu_is_limited(void **state)
{
    struct wire_config offered = offer();
    struct failure reason;

    (void)state;
    good(LINK "--lanes 2 --mtu 1400");
    assert_true(enclave_config_accept(&config, &connected, &offered, &reason));
    assert_int_equal(offered.mtu, 1400);
    offered.mtu = 1300;
    assert_true(enclave_config_accept(&config, &connected, &offered, &reason));
    assert_int_equal(offered.mtu, 1300);
}

static void test_no_address(void **state)
{
    struct wire_config offered = {.lanes = 1, .mtu = 1500};

    (void)state;
    good(LINK);
    refused(offered, "it offers no address");
}

/* Addresses that would turn the enclave's own routing, or somebody's trust, against it. */
static void test_hostile_addresses(void **state)
{
    static const char *const hostile4[] = {"127.0.0.1",  "0.0.0.0",         "224.0.0.1",
                                           "239.1.2.3",  "255.255.255.255", "169.254.169.254",
                                           "169.254.0.1"};
    static const char *const hostile6[] = {"::",
                                           "::1",
                                           "ff02::1",
                                           "fe80::1",
                                           "::ffff:10.0.0.1",
                                           "::ffff:127.0.0.1",
                                           "fd00:ec2::254",
                                           "64:ff9b::7f00:1",
                                           "64:ff9b::a9fe:a9fe"};
    char sentence[200];

    (void)state;
    good(LINK "--lanes 2");
    for (size_t i = 0; i < sizeof(hostile4) / sizeof(hostile4[0]); i++) {
        struct wire_config offered = offer();
        offered.address4 = addr(hostile4[i]);
        snprintf(sentence, sizeof(sentence), "%s is not an ordinary address", hostile4[i]);
        refused(offered, sentence);
        offered = offer();
        offered.gateway4 = addr(hostile4[i]);
        refused(offered, sentence);
    }
    for (size_t i = 0; i < sizeof(hostile6) / sizeof(hostile6[0]); i++) {
        struct wire_config offered = offer();
        offered.address6 = addr(hostile6[i]);
        snprintf(sentence, sizeof(sentence), "%s is not an ordinary address", hostile6[i]);
        refused(offered, sentence);
        offered = offer();
        offered.gateway6 = addr(hostile6[i]);
        refused(offered, sentence);
    }
    struct wire_config offered = offer();
    offered.gateway4 = offered.address4;
    refused(offered, "100.127.0.2 is offered as address and gateway");
}

static void test_inside(void **state)
{
    struct wire_config offered = offer();

    (void)state;
    good(LINK "--lanes 2 --inside 100.127.0.0/28 --inside fd00::/8");
    refused(offered, "100.127.0.2 lies in a network given with --inside");
    offered.address4 = addr("100.127.0.16");
    offered.gateway4 = addr("100.127.0.17");
    refused(offered, "fdc5:7e1a:9b40::2 lies in a network given with --inside");
}

static void test_networks_of_the_machine(void **state)
{
    struct wire_config offered = offer();
    struct ip_prefix docker, docker6;

    (void)state;
    good(LINK "--lanes 2");
    assert_true(prefix_parse("172.17.0.0/16", &docker) && prefix_parse("fd00:d::/64", &docker6));
    prefix_table_add(&connected, &docker);
    prefix_table_add(&connected, &docker6);
    accepted(offered);
    offered.address4 = addr("172.17.0.2");
    refused(offered, "172.17.0.2 lies in a network that this machine is in");
    offered = offer();
    offered.gateway6 = addr("fd00:d::1");
    refused(offered, "fd00:d::1 lies in a network that this machine is in");
    good(LINK "--lanes 2 --address 172.17.0.2"); /* a pin does not make it right */
    offered = offer();
    offered.address4 = addr("172.17.0.2");
    refused(offered, "172.17.0.2 lies in a network that this machine is in");
    connected.count = 0;
}

static void test_pins(void **state)
{
    struct wire_config offered = offer();

    (void)state;
    good(LINK "--lanes 2 --address 100.127.0.2");
    accepted(offered);
    offered.address6 = offered.gateway6 = (struct ip_addr){0};
    accepted(offered);
    offered.address4 = addr("100.127.0.3");
    refused(offered, "it offers 100.127.0.3 where 100.127.0.2 is pinned");
    offered = offer();
    offered.address4 = offered.gateway4 = (struct ip_addr){0};
    refused(offered, "it offers none where 100.127.0.2 is pinned");
    good(LINK "--lanes 2 --address fdc5:7e1a:9b40::3");
    refused(offer(), "it offers fdc5:7e1a:9b40::2 where fdc5:7e1a:9b40::3 is pinned");
}

static char *print_config(void)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    options_print(enclave_options, &config, out);
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
    round_trip("--link vsock:3:5005");
    round_trip("--link unix:/run/a=b,c --lanes 8 --capture nfqueue --address 100.127.0.9 --address "
               "fdc5::9 --mtu 1280 --inside 172.17.0.0/16 --inside fd00:d::/64 --queue 65527 "
               "--queue-length 16 --firewall iptables-legacy --dead-after 600 --write-max 5000 "
               "--user nobody "
               "--no-sandbox --dry-run --log-level debug");
}

static void test_check_needs_no_link(void **state)
{
    (void)state;
    good("--check");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_option),
        cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_too_many_inside),
        cmocka_unit_test(test_good_offers),
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_mtu_is_limited),
        cmocka_unit_test(test_no_address),
        cmocka_unit_test(test_hostile_addresses),
        cmocka_unit_test(test_inside),
        cmocka_unit_test(test_networks_of_the_machine),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_check_needs_no_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
