/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host/kernel_faults.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "runtime/base/check.h"
#include "runtime/base/log.h"

static const struct kernel_fault faults[] = {
    {
        .name = "fragmented vsock writes",
        .use = KERNEL_VSOCK,
        .effect = "some hypervisors damage vsock writes of more than 32 KB",
        .measure = "leave --write-max at its default",
        .source = "Linux 6693731487a8; base/base #1444, Firecracker #5475",
        .ranges = {{{{6, 12, 68}}, {{6, 12, UINT_MAX}}}, {{{6, 17, 0}}, {{UINT_MAX}}}},
    },
    {
        .name = "vsock receive limit",
        .use = KERNEL_VSOCK,
        .effect = "a stream is reset when many small packets wait in it",
        .measure = "use 6.12.101 or later; lanes are dialled again",
        .source = "Linux a4f0b001782b; libkrun #795, gominimal #926",
        .ranges = {{{{6, 12, 92}}, {{6, 12, 100}}}},
    },
    {
        .name = "vsock accept queue",
        .use = KERNEL_VSOCK,
        .effect = "places in a listener's queue are lost, until it takes no more streams",
        .measure = "use 6.1.175, 6.12.90, 7.0.9 or later",
        .source = "range as reported, not traced to a commit",
        .ranges = {{{{6, 1, 0}}, {{6, 1, 174}}},
                   {{{6, 12, 0}}, {{6, 12, 89}}},
                   {{{7, 0, 0}}, {{7, 0, 8}}}},
    },
    {
        .name = "NFQUEUE use after free",
        .use = KERNEL_NFQUEUE,
        .effect = "the kernel may crash under load",
        .measure = "use 6.12.83 or later, or --capture packet",
        .source = "range as reported, not traced to a commit",
        .ranges = {{{{6, 12, 75}}, {{6, 12, 82}}}},
    },
    {
        .name = "UDP segmentation",
        .use = KERNEL_UDP_GSO,
        .effect = "some network cards damage UDP super-packets",
        .measure = "datagrams are not joined; 7.1.5 mends it",
        .source = "tailscale #19777, #19918, #21335",
        .ranges = {{{{7, 0, 0}}, {{7, 1, 4}}}},
    },
};
#define FAULTS_END (faults + sizeof(faults) / sizeof(faults[0]))

static bool parse_numbers(const char *text, struct kernel_version *out)
{
    struct kernel_version version = {{0}};

    if (sscanf(text, "%5u.%5u.%5u", &version.number[0], &version.number[1], &version.number[2]) < 2)
        return false;
    *out = version;
    return true;
}

bool kernel_version_parse(const char *release, const char *version, struct kernel_version *out)
{
    static const char debian[] = " Debian ";
    const char *packaged = strstr(version, debian);

    return (packaged != NULL && parse_numbers(packaged + strlen(debian), out)) ||
           parse_numbers(release, out);
}

static int compare(const struct kernel_version *a, const struct kernel_version *b)
{
    for (int i = 0; i < 3; i++)
        if (a->number[i] != b->number[i])
            return a->number[i] < b->number[i] ? -1 : 1;
    return 0;
}

static bool applies(const struct kernel_fault *fault, const struct kernel_version *kernel)
{
    for (size_t i = 0; i < sizeof(fault->ranges) / sizeof(fault->ranges[0]); i++)
        if (compare(&fault->ranges[i].first, kernel) <= 0 &&
            compare(kernel, &fault->ranges[i].last) <= 0)
            return true;
    return false;
}

const struct kernel_fault *kernel_fault_next(const struct kernel_version *kernel, unsigned uses,
                                             const struct kernel_fault *after)
{
    for (const struct kernel_fault *fault = after == NULL ? faults : after + 1; fault < FAULTS_END;
         fault++)
        if (fault->use & uses && applies(fault, kernel))
            return fault;
    return NULL;
}

const struct kernel_fault *kernel_fault_next_here(unsigned uses, const struct kernel_fault *after)
{
    struct utsname system;
    struct kernel_version kernel;

    if (uname(&system) < 0 || !kernel_version_parse(system.release, system.version, &kernel))
        return NULL;
    return kernel_fault_next(&kernel, uses, after);
}

void kernel_faults_log(unsigned uses)
{
    const struct kernel_fault *fault = NULL;

    while ((fault = kernel_fault_next_here(uses, fault)) != NULL)
        log_warning("this kernel is known for %s: %s; %s (%s)", fault->name, fault->effect,
                    fault->measure, fault->source);
}

void kernel_faults_check(unsigned uses)
{
    const struct kernel_fault *fault = NULL;
    char text[256];

    while ((fault = kernel_fault_next_here(uses, fault)) != NULL) {
        snprintf(text, sizeof(text), "%s; %s (%s)", fault->effect, fault->measure, fault->source);
        check_warning(fault->name, text);
    }
}
