/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/bpf.h"

#include <string.h>

#include "packet/parse.h"

/* ---- check ---- */

static bool known_load(const struct sock_filter *step)
{
    switch (step->code) {
    case BPF_LD | BPF_W | BPF_ABS:
    case BPF_LD | BPF_H | BPF_ABS:
    case BPF_LD | BPF_B | BPF_ABS:
    case BPF_LD | BPF_W | BPF_IND:
    case BPF_LD | BPF_H | BPF_IND:
    case BPF_LD | BPF_B | BPF_IND:
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_B | BPF_MSH:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_IMM:
        return true;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
        return step->k < BPF_MEMWORDS;
    default:
        return false;
    }
}

static bool known_arithmetic(const struct sock_filter *step)
{
    if (step->code & ~(BPF_ALU | 0xf0 | BPF_X))
        return false;
    switch (BPF_OP(step->code)) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_MUL:
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
    case BPF_NEG:
        return true;
    case BPF_DIV:
    case BPF_MOD:
        return BPF_SRC(step->code) == BPF_X || step->k != 0;
    case BPF_LSH:
    case BPF_RSH:
        return BPF_SRC(step->code) == BPF_X || step->k < 32;
    default:
        return false;
    }
}

/* left: how many instructions follow. */
static bool known_jump(const struct sock_filter *step, unsigned left)
{
    if (step->code == (BPF_JMP | BPF_JA))
        return step->k < left;
    if (step->code & ~(BPF_JMP | 0xf0 | BPF_X) || step->jt >= left || step->jf >= left)
        return false;
    switch (BPF_OP(step->code)) {
    case BPF_JEQ:
    case BPF_JGT:
    case BPF_JGE:
    case BPF_JSET:
        return true;
    default:
        return false;
    }
}

static bool known(const struct sock_filter *step, unsigned left)
{
    switch (BPF_CLASS(step->code)) {
    case BPF_ALU:
        return known_arithmetic(step);
    case BPF_JMP:
        return known_jump(step, left);
    case BPF_RET:
        return step->code == (BPF_RET | BPF_K) || step->code == (BPF_RET | BPF_A);
    case BPF_MISC:
        return step->code == (BPF_MISC | BPF_TAX) || step->code == (BPF_MISC | BPF_TXA);
    default:
        return known_load(step);
    }
}

bool bpf_check(const struct sock_filter *program, unsigned count)
{
    if (count == 0 || count > BPF_PROGRAM_MAX || BPF_CLASS(program[count - 1].code) != BPF_RET)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!known(&program[i], count - 1 - i))
            return false;
    return true;
}

/* ---- run ---- */

struct machine {
    const uint8_t *packet;
    uint32_t length;
    uint32_t a, x;
    uint32_t memory[BPF_MEMWORDS];
};

/* False: the bytes are not there. */
static bool load(struct machine *machine, uint16_t size, uint64_t at)
{
    const uint8_t *bytes = machine->packet + at;
    unsigned width = size == BPF_W ? 4 : size == BPF_H ? 2 : 1;

    if (at + width > machine->length)
        return false;
    machine->a = width == 4 ? load_be32(bytes) : width == 2 ? load_be16(bytes) : bytes[0];
    return true;
}

static bool run_load(struct machine *machine, const struct sock_filter *step)
{
    bool into_x = BPF_CLASS(step->code) == BPF_LDX;
    uint32_t *target = into_x ? &machine->x : &machine->a;

    switch (BPF_MODE(step->code)) {
    case BPF_ABS:
        return load(machine, BPF_SIZE(step->code), step->k);
    case BPF_IND: /* as libpcap and the kernel have it, an index that wraps is beyond the packet */
        return load(machine, BPF_SIZE(step->code), (uint64_t)step->k + machine->x);
    case BPF_MSH:
        if (step->k >= machine->length)
            return false;
        machine->x = (machine->packet[step->k] & 0xfu) << 2;
        return true;
    case BPF_LEN:
        *target = machine->length;
        return true;
    case BPF_MEM:
        *target = machine->memory[step->k];
        return true;
    default:
        *target = step->k;
        return true;
    }
}

static bool run_arithmetic(struct machine *machine, const struct sock_filter *step)
{
    uint32_t value = BPF_SRC(step->code) == BPF_X ? machine->x : step->k;

    switch (BPF_OP(step->code)) {
    case BPF_ADD:
        machine->a += value;
        break;
    case BPF_SUB:
        machine->a -= value;
        break;
    case BPF_MUL:
        machine->a *= value;
        break;
    case BPF_DIV:
        if (value == 0)
            return false;
        machine->a /= value;
        break;
    case BPF_MOD:
        if (value == 0)
            return false;
        machine->a %= value;
        break;
    case BPF_AND:
        machine->a &= value;
        break;
    case BPF_OR:
        machine->a |= value;
        break;
    case BPF_XOR:
        machine->a ^= value;
        break;
    case BPF_LSH:
        machine->a = value < 32 ? machine->a << value : 0;
        break;
    case BPF_RSH:
        machine->a = value < 32 ? machine->a >> value : 0;
        break;
    default: /* BPF_NEG */
        machine->a = 0u - machine->a;
        break;
    }
    return true;
}

static uint32_t jump(const struct machine *machine, const struct sock_filter *step)
{
    uint32_t value = BPF_SRC(step->code) == BPF_X ? machine->x : step->k;
    bool taken;

    switch (BPF_OP(step->code)) {
    case BPF_JA:
        return step->k;
    case BPF_JEQ:
        taken = machine->a == value;
        break;
    case BPF_JGT:
        taken = machine->a > value;
        break;
    case BPF_JGE:
        taken = machine->a >= value;
        break;
    default: /* BPF_JSET */
        taken = (machine->a & value) != 0;
        break;
    }
    return taken ? step->jt : step->jf;
}

uint32_t bpf_run(const struct sock_filter *program, const uint8_t *packet, uint32_t length)
{
    struct machine machine = {.packet = packet, .length = length};

    for (const struct sock_filter *step = program;; step++) {
        switch (BPF_CLASS(step->code)) {
        case BPF_RET:
            return BPF_RVAL(step->code) == BPF_A ? machine.a : step->k;
        case BPF_JMP:
            step += jump(&machine, step);
            break;
        case BPF_ALU:
            if (!run_arithmetic(&machine, step))
                return 0;
            break;
        case BPF_ST:
            machine.memory[step->k] = machine.a;
            break;
        case BPF_STX:
            machine.memory[step->k] = machine.x;
            break;
        case BPF_MISC:
            if (BPF_MISCOP(step->code) == BPF_TAX)
                machine.x = machine.a;
            else
                machine.a = machine.x;
            break;
        default: /* BPF_LD, BPF_LDX */
            if (!run_load(&machine, step))
                return 0;
            break;
        }
    }
}
