/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every fuzz target shares. A target is a file with LLVMFuzzerTestOneInput(): libFuzzer calls
 * it (-Dfuzzing=true with clang), or replay.c does for each file of the corpus (an ordinary test).
 * A broken invariant aborts.
 */
#ifndef CAUSEWAY_TESTS_FUZZ_FUZZ_H
#define CAUSEWAY_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
