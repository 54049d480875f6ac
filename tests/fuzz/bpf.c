/* SPDX-License-Identifier: Apache-2.0 */
/* BPF programs. Input: one byte that says how many instructions, these, a packet. A program that is
 * accepted ends, and reads nothing but the packet. */
#include <string.h>

#include "packet/bpf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sock_filter program[256];
    unsigned count = size > 0 ? data[0] : 0;
    size_t used = 1 + count * sizeof(program[0]);

    if (size < used)
        return 0;
    memcpy(program, data + 1, count * sizeof(program[0]));
    if (!bpf_check(program, count))
        return 0;
    uint8_t *packet = malloc(size - used + 1);
    memcpy(packet, data + used, size - used);
    uint32_t first = bpf_run(program, packet, (uint32_t)(size - used));
    CHECK(bpf_run(program, packet, (uint32_t)(size - used)) == first);
    free(packet);
    return 0;
}
