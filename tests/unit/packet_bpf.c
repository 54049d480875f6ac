/* SPDX-License-Identifier: Apache-2.0 */
/* Filters as libpcap compiles them: what we say of a packet is what libpcap says. */
#include "packet/bpf.h"

#include <assert.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <pcap/pcap.h>

#include "packet/parse.h"

static const char *const filters[] = {
    "",
    "tcp",
    "udp port 53",
    "tcp port 443",
    "icmp or icmp6",
    "host 203.0.113.10",
    "net 100.64.0.0/10 and not port 22",
    "src 192.0.2.1 and dst port 80",
    "ip6 host 2001:db8::1",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "(ip[2:2] - ((ip[0] & 0xf) << 2)) - ((tcp[12] & 0xf0) >> 2) > 0",
    "greater 100",
    "less 60",
    "ip[6:2] & 0x1fff = 0 and portrange 1-1024",
    "ip[1] = len / 4 or ip[8] % 3 = 1 or ip[9] * 2 ^ 5 > 9",
    "udp[8:4] = 0x01020304 or ip[4:2] << 3 > 500",
    "ip6 proto 17 or ip proto 17",
};

static uint32_t random_state = 1;

static uint8_t next_random(void)
{
    random_state = random_state * 1103515245 + 12345;
    return (uint8_t)(random_state >> 16);
}

/* A packet that filters may well care about; often cut short. */
static uint32_t make_packet(uint8_t *out, unsigned number)
{
    static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6};
    static const uint8_t addresses[][4] = {{203, 0, 113, 10}, {100, 64, 1, 2}, {192, 0, 2, 1}};
    static const uint16_t ports[] = {53, 443, 80, 22, 40000};
    bool six = number % 3 == 0;
    uint32_t header = six ? 40 : 20, length = header + next_random() % 120;

    for (uint32_t i = 0; i < 200; i++)
        out[i] = next_random();
    out[0] = six ? 0x60 : 0x45;
    out[six ? 6 : 9] = protocols[number % 4];
    if (six) {
        memcpy(out + 8, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    } else {
        memcpy(out + 12, addresses[number % 3], 4);
        memcpy(out + 16, addresses[number / 3 % 3], 4);
        store_be16(out + 2, (uint16_t)length);
        if (number % 5 != 0)
            store_be16(out + 6, 0);
    }
    store_be16(out + header, ports[number % 5]);
    store_be16(out + header + 2, ports[number / 5 % 5]);
    out[header + 12] = 0x50;
    return number % 7 == 0 ? number / 7 % 30 : length;
}

static void test_as_libpcap(void **state)
{
    pcap_t *compiler = pcap_open_dead(DLT_RAW, 65535);
    unsigned taken = 0, left = 0;

    (void)state;
    for (size_t f = 0; f < sizeof(filters) / sizeof(filters[0]); f++) {
        struct bpf_program program;
        if (pcap_compile(compiler, &program, filters[f], 1, PCAP_NETMASK_UNKNOWN) < 0)
            fail_msg("%s: %s", filters[f], pcap_geterr(compiler));
        const struct sock_filter *ours = (const struct sock_filter *)program.bf_insns;
        static_assert(sizeof(struct sock_filter) == sizeof(struct bpf_insn), "the same form");
        assert_true(bpf_check(ours, program.bf_len));
        for (unsigned number = 0; number < 3000; number++) {
            uint8_t packet[200];
            uint32_t length = make_packet(packet, number);
            uint32_t theirs = bpf_filter(program.bf_insns, packet, length, length);
            if (bpf_run(ours, packet, length) != theirs)
                fail_msg("'%s' on packet %u: libpcap says %u", filters[f], number, theirs);
            *(theirs > 0 ? &taken : &left) += 1;
        }
        pcap_freecode(&program);
    }
    pcap_close(compiler);
    assert_true(taken > 5000 && left > 5000);
}

#define RETURN BPF_STMT(BPF_RET | BPF_K, 1)

static bool accepted(struct sock_filter step)
{
    struct sock_filter program[] = {step, RETURN, RETURN};

    return bpf_check(program, 3);
}

static void test_check(void **state)
{
    static struct sock_filter program[BPF_PROGRAM_MAX + 1];
    struct sock_filter no_return[] = {BPF_STMT(BPF_LD | BPF_IMM, 1)};

    (void)state;
    assert_true(accepted((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0)));
    assert_false(accepted((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0)));
    assert_false(accepted((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 255)));
    assert_true(accepted((struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 1)));
    assert_false(accepted((struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 2)));
    assert_false(accepted((struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff)));
    assert_true(accepted((struct sock_filter)BPF_STMT(BPF_ST, 15)));
    assert_false(accepted((struct sock_filter)BPF_STMT(BPF_ST, 16)));
    assert_false(accepted((struct sock_filter)BPF_STMT(BPF_LDX | BPF_MEM, 16)));
    assert_false(accepted((struct sock_filter)BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0)));
    assert_false(accepted((struct sock_filter)BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 0)));
    assert_false(accepted((struct sock_filter)BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32)));
    assert_false(accepted((struct sock_filter)BPF_STMT(0xffff, 0)));
    assert_false(accepted((struct sock_filter)BPF_STMT(BPF_MISC | 0x40, 0)));
    assert_false(bpf_check(no_return, 1));
    assert_false(bpf_check(program, 0));
    for (unsigned i = 0; i <= BPF_PROGRAM_MAX; i++)
        program[i] = (struct sock_filter)RETURN;
    assert_true(bpf_check(program, BPF_PROGRAM_MAX));
    assert_false(bpf_check(program, BPF_PROGRAM_MAX + 1));
}

static void test_ends_in_zero(void **state)
{
    static const uint8_t packet[4] = {1, 2, 3, 4};
    struct sock_filter beyond[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 1), RETURN};
    struct sock_filter wraps[] = {BPF_STMT(BPF_LDX | BPF_IMM, 0xffffffff),
                                  BPF_STMT(BPF_LD | BPF_B | BPF_IND, 2), RETURN};
    struct sock_filter divides[] = {BPF_STMT(BPF_LDX | BPF_IMM, 0),
                                    BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), RETURN};

    (void)state;
    assert_int_equal(bpf_run(beyond, packet, 4), 0);
    assert_int_equal(bpf_run(wraps, packet, 4), 0);
    assert_int_equal(bpf_run(divides, packet, 4), 0);
    beyond[0].k = 0;
    assert_int_equal(bpf_run(beyond, packet, 4), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_libpcap),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_ends_in_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
