/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels that are known to break what causeway needs: which versions, what happens, who says so.
 * The table is in kernel_faults.c. A version that a distribution has mended by itself is named all
 * the same: better a word too many than damaged data without one.
 */
#ifndef CAUSEWAY_RUNTIME_HOST_KERNEL_FAULTS_H
#define CAUSEWAY_RUNTIME_HOST_KERNEL_FAULTS_H

#include <stdbool.h>

/* What of the kernel a daemon uses: bits. */
enum kernel_use { KERNEL_VSOCK = 1, KERNEL_NFQUEUE = 2, KERNEL_UDP_GSO = 4 };

struct kernel_version {
    unsigned number[3];
};

struct kernel_fault {
    const char *name;
    unsigned use;        /* whom it concerns: one of enum kernel_use */
    const char *effect;  /* what happens */
    const char *measure; /* what causeway does about it, or what its owner can do */
    const char *source;
    struct {
        struct kernel_version first, last; /* inclusive */
    } ranges[3];                           /* the unused ones are all zero */
};

/*
 * The version behind uname's release and version: "6.1.0-40-cloud-amd64" and "#1 SMP ... Debian
 * 6.1.153-1 (...)" are 6.1.153, since Debian's release names only the ABI. False: not a version.
 */
bool kernel_version_parse(const char *release, const char *version, struct kernel_version *out);

/* The fault behind `after` (NULL: the first) that concerns one of the uses; NULL: no more. */
const struct kernel_fault *kernel_fault_next(const struct kernel_version *kernel, unsigned uses,
                                             const struct kernel_fault *after);

/* ---- of the running kernel ---- */

const struct kernel_fault *kernel_fault_next_here(unsigned uses, const struct kernel_fault *after);

/* A warning for each. */
void kernel_faults_log(unsigned uses);

/* For --check: a warning on standard output for each. */
void kernel_faults_check(unsigned uses);

#endif
