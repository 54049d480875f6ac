/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/borders.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRACEPOINT "consume_skb"

struct border_log {
    uint64_t count;
    uint32_t lengths[BORDERS_LOG];
};

/* Instructions of the program; registers as in linux/bpf.h: 1-5 arguments, 0 result, 6-9 kept. */
#define INSN(c, d, s, o, i)                                                                        \
    {                                                                                              \
        .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)                        \
    }
#define CALL(function)          INSN(BPF_JMP | BPF_CALL, 0, 0, 0, function)
#define MOVE(d, s)              INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define CALC(op, d, i)          INSN(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define LOAD(size, d, s, o)     INSN(BPF_LDX | (size) | BPF_MEM, d, s, o, 0)
#define STORE(size, d, o, s)    INSN(BPF_STX | (size) | BPF_MEM, d, s, o, 0)
#define JUMP(op, d, i, forward) INSN(BPF_JMP | (op) | BPF_K, d, 0, forward, i)
#define PUT(d, i)               INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define TO_END                  INT16_MAX /* replaced by the distance to the last two */

/* What the program reads of the kernel's structures; bytes from their beginning. */
struct offsets {
    int length, socket; /* struct sk_buff */
    int family;         /* struct sock_common, which a struct sock begins with */
};

/* r3 = address in the register + offset; reads `size` bytes there to stack[to]. */
#define READ(reg, offset, size, to)                                                                \
    MOVE(3, reg), CALC(BPF_ADD, 3, offset), MOVE(1, 10), CALC(BPF_ADD, 1, to), PUT(2, size),       \
        CALL(BPF_FUNC_probe_read_kernel)

static int load_program(int map, const struct offsets *offsets)
{
    struct bpf_insn code[] = {
        LOAD(BPF_DW, 6, 1, 0), /* r6 = the skb */
        CALL(BPF_FUNC_get_current_pid_tgid),
        CALC(BPF_RSH, 0, 32),
        JUMP(BPF_JNE, 0, getpid(), TO_END),
        READ(6, offsets->socket, sizeof(uint64_t), -8),
        LOAD(BPF_DW, 7, 10, -8), /* r7 = skb->sk: interrupts free others on top of this process */
        JUMP(BPF_JEQ, 7, 0, TO_END),
        READ(7, offsets->family, sizeof(uint16_t), -8),
        LOAD(BPF_H, 7, 10, -8),
        JUMP(BPF_JNE, 7, AF_UNIX, TO_END),
        READ(6, offsets->length, sizeof(uint32_t), -8),
        INSN(BPF_ST | BPF_W | BPF_MEM, 10, 0, -4, 0), /* key 0 */
        MOVE(2, 10),
        CALC(BPF_ADD, 2, -4),
        INSN(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map),
        INSN(0, 0, 0, 0, 0),
        CALL(BPF_FUNC_map_lookup_elem),
        JUMP(BPF_JEQ, 0, 0, TO_END),
        LOAD(BPF_W, 4, 10, -8), /* log->lengths[log->count++ % BORDERS_LOG] = skb->len */
        LOAD(BPF_DW, 1, 0, 0),
        MOVE(2, 1),
        CALC(BPF_AND, 2, BORDERS_LOG - 1),
        CALC(BPF_LSH, 2, 2),
        MOVE(3, 0),
        INSN(BPF_ALU64 | BPF_ADD | BPF_X, 3, 2, 0, 0),
        STORE(BPF_W, 3, offsetof(struct border_log, lengths), 4),
        CALC(BPF_ADD, 1, 1),
        STORE(BPF_DW, 0, 0, 1),
        PUT(0, 0),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    const int count = sizeof(code) / sizeof(code[0]);

    for (int i = 0; i < count; i++)
        if (BPF_CLASS(code[i].code) == BPF_JMP && code[i].off == TO_END)
            code[i].off = (int16_t)(count - 2 - i - 1);
    return bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "borders", "GPL", code, (size_t)count, NULL);
}

/* Byte offset of a member, also of one in an unnamed union or struct; -ENOENT. */
static int find_member(const struct btf *btf, const struct btf_type *type, const char *name)
{
    for (unsigned i = 0; type != NULL && i < btf_vlen(type); i++) {
        const struct btf_member *member = &btf_members(type)[i];
        const char *its = btf__name_by_offset(btf, member->name_off);
        const struct btf_type *inner = btf__type_by_id(btf, member->type);
        int offset = (int)btf_member_bit_offset(type, i) / 8;
        if (strcmp(its, name) == 0)
            return offset;
        if (its[0] == '\0' && btf_is_composite(inner)) {
            int inside = find_member(btf, inner, name);
            if (inside >= 0)
                return offset + inside;
        }
    }
    return -ENOENT;
}

static int find_in_struct(const struct btf *btf, const char *structure, const char *name)
{
    int id = btf__find_by_name_kind(btf, structure, BTF_KIND_STRUCT);

    return id < 0 ? id : find_member(btf, btf__type_by_id(btf, (uint32_t)id), name);
}

/* By the kernel's own description of itself. 0 or negative errno. */
static int find_offsets(struct offsets *offsets)
{
    struct btf *btf = btf__load_vmlinux_btf();

    if (btf == NULL)
        return -errno;
    offsets->length = find_in_struct(btf, "sk_buff", "len");
    offsets->socket = find_in_struct(btf, "sk_buff", "sk");
    offsets->family = find_in_struct(btf, "sock_common", "skc_family");
    btf__free(btf);
    return offsets->length < 0 || offsets->socket < 0 || offsets->family < 0 ? -ENOENT : 0;
}

static int load(struct borders *borders)
{
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    struct offsets offsets = {0};
    int error = find_offsets(&offsets);

    if (error < 0)
        return error;
    setrlimit(RLIMIT_MEMLOCK, &unlimited); /* kernels before 5.11 count BPF memory there */
    borders->map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "borders", sizeof(uint32_t),
                                  sizeof(struct border_log), 1, &options);
    if (borders->map < 0)
        return borders->map;
    void *log = mmap(NULL, sizeof(*borders->log), PROT_READ, MAP_SHARED, borders->map, 0);
    if (log == MAP_FAILED)
        return -errno;
    borders->log = log;
    borders->program = load_program(borders->map, &offsets);
    if (borders->program < 0)
        return borders->program;
    borders->attachment = bpf_raw_tracepoint_open(TRACEPOINT, borders->program);
    return borders->attachment < 0 ? borders->attachment : 0;
}

/* Two writes, a large and a small one, must be told apart; the first tells the largest buffer. */
static bool try_out(struct borders *borders)
{
    static uint8_t bytes[128 * 1024];
    uint32_t lengths[16], sum = 0;
    int pair[2], tube[2];
    bool good = false;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return false;
    if (pipe(tube) == 0) {
        fcntl(tube[1], F_SETPIPE_SZ, 1 << 20);
        if (send(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT) == sizeof(bytes) &&
            send(pair[0], bytes, 100, MSG_DONTWAIT) == 100 &&
            splice(pair[1], NULL, tube[1], NULL, 1 << 20, SPLICE_F_NONBLOCK) ==
                sizeof(bytes) + 100) {
            unsigned count = borders_take(borders, lengths, 16);
            for (unsigned i = 0; i < count; i++)
                sum += lengths[i];
            good = count >= 2 && sum == sizeof(bytes) + 100 && lengths[count - 1] == 100;
            borders->piece_max = count > 2 ? lengths[0] : UINT32_MAX;
        }
        close(tube[0]);
        close(tube[1]);
    }
    close(pair[0]);
    close(pair[1]);
    return good;
}

int borders_open(struct borders *borders, char *error, size_t error_size)
{
    *borders = (struct borders){.map = -1, .program = -1, .attachment = -1};
    libbpf_set_print(NULL);
    int result = load(borders);
    if (result < 0) {
        snprintf(error, error_size,
                 "no BPF program on the tracepoint %s (the kernel's BTF and root are needed): %s",
                 TRACEPOINT, strerror(-result));
        borders_close(borders);
        return -1;
    }
    if (!try_out(borders)) {
        snprintf(error, error_size, "writes on a Unix stream cannot be told apart on this kernel");
        borders_close(borders);
        return -1;
    }
    return 0;
}

void borders_close(struct borders *borders)
{
    if (borders->log != NULL)
        munmap(borders->log, sizeof(*borders->log));
    if (borders->attachment >= 0)
        close(borders->attachment);
    if (borders->program >= 0)
        close(borders->program);
    if (borders->map >= 0)
        close(borders->map);
}

void borders_skip(struct borders *borders)
{
    borders->seen = __atomic_load_n(&borders->log->count, __ATOMIC_ACQUIRE);
}

unsigned borders_take(struct borders *borders, uint32_t *lengths, unsigned max)
{
    uint64_t count = __atomic_load_n(&borders->log->count, __ATOMIC_ACQUIRE);
    unsigned taken = 0;

    while (borders->seen < count && taken < max)
        lengths[taken++] = borders->log->lengths[borders->seen++ % BORDERS_LOG];
    return taken;
}
