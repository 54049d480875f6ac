/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tc program, assembled here: a dozen instructions do not earn a compiler for BPF at build time
 * nor a loader library in the enclave's image.
 *
 * "Is this an IP fragment?" is asked in two machine languages, by the tc program (eBPF) and by the
 * packet socket (classic BPF), and both must give the same answer, or a fragment would be lost or
 * carried twice. So both are made from one list of classic instructions, fragment_test(): a tc
 * program may use classic BPF's packet loads (LD_ABS, LD_IND) as they are, and translate() writes
 * the others in eBPF. Both machines end with the verdict 0 when a load lies outside the packet:
 * "not a fragment".
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "packet/headers.h"
#include "runtime/host/tc_mark.h"

/* IPv6 extension headers that may stand before a fragment header (RFC 8200, 4.1): hop-by-hop,
 * destination options, routing; each at most once. */
#define LOAD_ATTEMPTS  10
#define EXTENSIONS_MAX 3

#define AT_FRAGMENT (ETH_HLEN + IPV4_FRAGMENT)
#define AT_NEXT     (ETH_HLEN + IPV6_NEXT_HEADER)
#define AT_PAYLOAD  (ETH_HLEN + IPV6_HEADER)
#define IS_FRAGMENT (IPV4_MF | IPV4_OFFSET)

#define CLASSIC_MAX 64
#define EBPF_MAX    128

struct classic {
    struct sock_filter code[CLASSIC_MAX];
    unsigned count;
};

struct ebpf {
    struct bpf_insn code[EBPF_MAX];
    unsigned count;
};

static void put(struct classic *c, uint16_t code, unsigned jt, unsigned jf, uint32_t k)
{
    c->code[c->count++] = (struct sock_filter){code, (uint8_t)jt, (uint8_t)jf, k};
}

/* Placeholders for jump distances, filled in by resolve(). */
#define JUMP_YES 254
#define JUMP_NO  255

/*
 * The header at ETH_HLEN+40+X is one of the extensions (A holds its type): A becomes the type of
 * what follows, X moves on by its length, (len + 1) * 8 (RFC 8200, 4.3 to 4.6).
 */
static void skip_extension(struct classic *c)
{
    put(c, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, IPPROTO_HOPOPTS);
    put(c, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, IPPROTO_DSTOPTS);
    put(c, BPF_JMP | BPF_JEQ | BPF_K, 0, JUMP_NO, IPPROTO_ROUTING);
    put(c, BPF_LD | BPF_B | BPF_IND, 0, 0, AT_PAYLOAD);
    put(c, BPF_ST, 0, 0, 0);
    put(c, BPF_LD | BPF_B | BPF_IND, 0, 0, AT_PAYLOAD + IPV6_EXTENSION_LENGTH);
    put(c, BPF_ALU | BPF_ADD | BPF_K, 0, 0, 1);
    put(c, BPF_ALU | BPF_LSH | BPF_K, 0, 0, 3);
    put(c, BPF_ALU | BPF_ADD | BPF_X, 0, 0, 0);
    put(c, BPF_MISC | BPF_TAX, 0, 0, 0);
    put(c, BPF_LD | BPF_MEM, 0, 0, 0);
}

/* Points the placeholders at the two exits: "no" is the instruction at count, "yes" the next. */
static void resolve(struct classic *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct sock_filter *insn = &c->code[i];
        unsigned to_no = c->count - i - 1;

        if (BPF_CLASS(insn->code) != BPF_JMP)
            continue;
        if (insn->jt >= JUMP_YES)
            insn->jt = (uint8_t)(to_no + (insn->jt == JUMP_YES));
        if (insn->jf >= JUMP_YES)
            insn->jf = (uint8_t)(to_no + (insn->jf == JUMP_YES));
    }
}

/* Continues at count for "no fragment", at count + 1 for "fragment". */
static void fragment_test(struct classic *c)
{
    c->count = 0;
    put(c, BPF_LD | BPF_H | BPF_ABS, 0, 0, 2 * ETH_ALEN);
    put(c, BPF_JMP | BPF_JEQ | BPF_K, 0, 2, ETH_P_IP);
    put(c, BPF_LD | BPF_H | BPF_ABS, 0, 0, AT_FRAGMENT);
    put(c, BPF_JMP | BPF_JSET | BPF_K, JUMP_YES, JUMP_NO, IS_FRAGMENT);
    put(c, BPF_JMP | BPF_JEQ | BPF_K, 0, JUMP_NO, ETH_P_IPV6);
    put(c, BPF_LDX | BPF_IMM, 0, 0, 0);
    put(c, BPF_LD | BPF_B | BPF_ABS, 0, 0, AT_NEXT);
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        put(c, BPF_JMP | BPF_JEQ | BPF_K, JUMP_YES, 0, IPPROTO_FRAGMENT);
        skip_extension(c);
    }
    put(c, BPF_JMP | BPF_JEQ | BPF_K, JUMP_YES, JUMP_NO, IPPROTO_FRAGMENT);
    resolve(c);
}

int tc_mark_filter_fragments(int packet_socket)
{
    struct classic c;
    struct sock_fprog program = {.filter = c.code};

    fragment_test(&c);
    put(&c, BPF_RET | BPF_K, 0, 0, 0);
    put(&c, BPF_RET | BPF_K, 0, 0, UINT32_MAX); /* how many bytes to keep: all */
    program.len = (unsigned short)c.count;
    return setsockopt(packet_socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0
               ? -errno
               : 0;
}

/* eBPF registers: A and X of the classic machine and its one memory cell; R6 holds the context, as
 * LD_ABS demands, and survives it, as R7 to R9 do. */
enum { REG_A = BPF_REG_0, REG_CONTEXT = BPF_REG_6, REG_X = BPF_REG_7, REG_CELL = BPF_REG_8 };

static void emit(struct ebpf *e, uint8_t code, uint8_t dst, uint8_t src, int16_t offset,
                 int32_t immediate)
{
    e->code[e->count++] = (struct bpf_insn){
        .code = code, .dst_reg = dst, .src_reg = src, .off = offset, .imm = immediate};
}

/* Jump distances of conditional jumps are in classic instructions until retarget(). */
static void translate_one(struct ebpf *e, const struct sock_filter *insn)
{
    int32_t k = (int32_t)insn->k;

    switch (insn->code) {
    case BPF_LD | BPF_H | BPF_ABS:
    case BPF_LD | BPF_B | BPF_ABS:
        emit(e, (uint8_t)insn->code, 0, 0, 0, k);
        break;
    case BPF_LD | BPF_B | BPF_IND:
        emit(e, (uint8_t)insn->code, 0, REG_X, 0, k);
        break;
    case BPF_LDX | BPF_IMM:
        emit(e, BPF_ALU | BPF_MOV | BPF_K, REG_X, 0, 0, k);
        break;
    case BPF_ST:
        emit(e, BPF_ALU | BPF_MOV | BPF_X, REG_CELL, REG_A, 0, 0);
        break;
    case BPF_LD | BPF_MEM:
        emit(e, BPF_ALU | BPF_MOV | BPF_X, REG_A, REG_CELL, 0, 0);
        break;
    case BPF_MISC | BPF_TAX:
        emit(e, BPF_ALU | BPF_MOV | BPF_X, REG_X, REG_A, 0, 0);
        break;
    case BPF_ALU | BPF_ADD | BPF_X:
        emit(e, (uint8_t)insn->code, REG_A, REG_X, 0, 0);
        break;
    default: /* ALU with a constant, and jumps: the same in both languages but for two targets */
        emit(e, (uint8_t)insn->code, REG_A, 0, 0, k);
        break;
    }
}

/* Classic jumps name both branches, eBPF jumps one: each becomes a conditional and a plain jump. */
static void translate(struct ebpf *e, const struct classic *c)
{
    unsigned start[CLASSIC_MAX + 2]; /* where each classic instruction begins */

    for (unsigned i = 0; i < c->count; i++) {
        start[i] = e->count;
        translate_one(e, &c->code[i]);
        if (BPF_CLASS(c->code[i].code) == BPF_JMP)
            emit(e, BPF_JMP | BPF_JA, 0, 0, 0, 0);
    }
    /* The exits: "no" skips over "yes", two instructions long, which the caller puts first. */
    start[c->count] = e->count + 2;
    start[c->count + 1] = e->count;
    for (unsigned i = 0; i < c->count; i++) {
        const struct sock_filter *insn = &c->code[i];
        unsigned at = start[i];

        if (BPF_CLASS(insn->code) != BPF_JMP)
            continue;
        e->code[at].off = (int16_t)(start[i + 1 + insn->jt] - at - 1);
        e->code[at + 1].off = (int16_t)(start[i + 1 + insn->jf] - at - 2);
    }
}

static void assemble(struct ebpf *e, unsigned lanes)
{
    struct classic c;

    fragment_test(&c);
    e->count = 0;
    emit(e, BPF_ALU64 | BPF_MOV | BPF_X, REG_CONTEXT, BPF_REG_1, 0, 0);
    translate(e, &c);
    /* A fragment. */
    emit(e, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, TC_ACT_SHOT);
    emit(e, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    /* Anything else: mark = seen | (hash % lanes) << 16 | gso_size. */
    emit(e, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_7, REG_CONTEXT, offsetof(struct __sk_buff, gso_size),
         0);
    emit(e, BPF_ALU | BPF_AND | BPF_K, BPF_REG_7, 0, 0, TC_MARK_GSO_MASK);
    emit(e, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, REG_CONTEXT, 0, 0);
    emit(e, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_hash_recalc);
    emit(e, BPF_ALU | BPF_MOD | BPF_K, BPF_REG_0, 0, 0, (int32_t)lanes);
    emit(e, BPF_ALU | BPF_LSH | BPF_K, BPF_REG_0, 0, 0, TC_MARK_LANE_SHIFT);
    emit(e, BPF_ALU | BPF_OR | BPF_X, BPF_REG_0, BPF_REG_7, 0, 0);
    emit(e, BPF_ALU | BPF_OR | BPF_K, BPF_REG_0, 0, 0, (int32_t)TC_MARK_SEEN);
    emit(e, BPF_STX | BPF_MEM | BPF_W, REG_CONTEXT, BPF_REG_0, offsetof(struct __sk_buff, mark), 0);
    emit(e, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, TC_ACT_OK);
    emit(e, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static int load(const struct ebpf *e)
{
    static const char license[] = "Apache-2.0"; /* the helper in use is not bound to the GPL */
    union bpf_attr attributes;
    long fd;

    memset(&attributes, 0, sizeof(attributes));
    attributes.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    attributes.insns = (uint64_t)(uintptr_t)e->code;
    attributes.insn_cnt = e->count;
    attributes.license = (uint64_t)(uintptr_t)license;
    strcpy(attributes.prog_name, "causeway");
    /* The verifier gives up with EAGAIN when a signal is pending, and the clean-up of an io_uring
     * counts as one (linux kernel/bpf/verifier.c, do_check()). */
    for (int attempt = 0; attempt < LOAD_ATTEMPTS; attempt++) {
        fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd < 0 ? -errno : (int)fd; /* the kernel sets close-on-exec */
}

/* Before Linux 5.11 programs count against the limit of locked memory, 64 KB by default. */
static int load_unlimited(const struct ebpf *e)
{
    static const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit former;
    int fd = load(e);

    if (fd == -EPERM && getrlimit(RLIMIT_MEMLOCK, &former) == 0 &&
        setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0) {
        fd = load(e);
        (void)setrlimit(RLIMIT_MEMLOCK, &former);
    }
    return fd;
}

int tc_mark_load(unsigned lanes)
{
    struct ebpf program;

    if (lanes < 1 || lanes > 8)
        return -EINVAL;
    assemble(&program, lanes);
    return load_unlimited(&program);
}
