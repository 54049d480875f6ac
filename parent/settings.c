/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parent/enclave_device.h"
#include "runtime/base/log.h"
#include "runtime/host/netdev.h"
#include "runtime/host/sysctl.h"

#define RUN_DIRECTORY "/run/causeway"
#define FORWARDING6   "net/ipv6/conf/all/forwarding"

static bool journal_is_open;

/* An enclave's device: the prefix and a number. Others may begin with the same letters. */
static bool is_ours(const char *device)
{
    static const char *const prefixes[] = {ENCLAVE_DEVICE_PREFIX, ENCLAVE_PEER_DEVICE_PREFIX};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t length = strlen(prefixes[i]);
        if (strncmp(device, prefixes[i], length) == 0 && device[length] != '\0' &&
            device[length + strspn(device + length, "0123456789")] == '\0')
            return true;
    }
    return false;
}

/* One journal for each network namespace: that is what the sysctls belong to. */
int settings_open_journal(void)
{
    struct stat namespace;
    char path[64];

    if (stat("/proc/self/ns/net", &namespace) < 0)
        return -errno;
    if (mkdir(RUN_DIRECTORY, 0755) < 0 && errno != EEXIST)
        return -errno;
    snprintf(path, sizeof(path), RUN_DIRECTORY "/parent-%ju.sysctl", (uintmax_t) namespace.st_ino);
    return sysctl_journal_open(path);
}

struct walk {
    bool dry; /* nothing is changed */
    char *report;
    size_t size;
    bool failed;
    struct failure *failure;
};

/* "net.ipv4.conf.eth0.forwarding", as sysctl(8) and everybody calls it. */
static const char *dotted(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s", path);
    for (char *c = out; *c != '\0'; c++)
        if (*c == '/')
            *c = '.';
    return out;
}

static void report_failure(struct walk *walk, const char *path, int error)
{
    char name[128], now[SYSCTL_VALUE_BYTES] = "?";

    if (walk->failed)
        return;
    walk->failed = true;
    (void)sysctl_read(path, now);
    failure_set(walk->failure,
                "%s = %s, enclaves need 1, and it cannot be set here: %s; set it from outside, or "
                "give the daemon a writable /proc/sys",
                dotted(path, name, sizeof(name)), now, strerror(-error));
}

/* Could it be written? Opening changes nothing. */
static int try_setting(const char *path)
{
    char now[SYSCTL_VALUE_BYTES], full[160];
    int result = sysctl_read(path, now);

    if (result < 0 || strcmp(now, "1") == 0)
        return result;
    snprintf(full, sizeof(full), "/proc/sys/%s", path);
    FILE *file = fopen(full, "re+");
    if (file == NULL)
        return -errno;
    fclose(file);
    return 0;
}

static void hold(struct walk *walk, const char *path)
{
    char name[128];
    int result = walk->dry ? try_setting(path) : sysctl_hold(path, "1");

    if (result == -ENOENT) /* the interface went meanwhile */
        return;
    if (result < 0)
        report_failure(walk, path, result);
    else if (result == 2 && !walk->failed)
        snprintf(walk->report, walk->size,
                 "somebody switched forwarding off (%s = 0), which enclaves need: it is on again",
                 dotted(path, name, sizeof(name)));
}

static bool hold_device(const struct ip_prefix *prefix, const char *device, void *context)
{
    char path[128];

    (void)prefix;
    if (device[0] == '\0' || is_ours(device))
        return true;
    snprintf(path, sizeof(path), "net/ipv4/conf/%s/forwarding", device);
    hold(context, path);
    return true;
}

static void hold_ipv4(struct walk *walk)
{
    struct netdev netdev = {0};
    int result = netdev_open(&netdev);

    if (result == 0)
        result = netdev_each_prefix(&netdev, 4, hold_device, walk);
    netdev_close(&netdev);
    if (result < 0 && !walk->failed) {
        walk->failed = true;
        failure_set(walk->failure, "cannot list the routes: %s", strerror(-result));
    }
}

static void hold_ipv6(struct walk *walk)
{
    int result = walk->dry ? 0 : sysctl_keep_router_advertisements(is_ours);

    if (result < 0)
        log_warning("cannot set accept_ra=2: IPv6 default routes from router advertisements may "
                    "expire: %s",
                    strerror(-result));
    hold(walk, FORWARDING6);
}

static bool walk_settings(const struct parent_config *config, struct walk *walk)
{
    if (config->pool4.addr.version != 0)
        hold_ipv4(walk);
    if (config->pool6.addr.version != 0 && sysctl_ipv6_off() == NULL)
        hold_ipv6(walk);
    return !walk->failed;
}

bool settings_check(const struct parent_config *config, struct failure *failure)
{
    struct walk walk = {.dry = true, .failure = failure};

    return walk_settings(config, &walk);
}

bool settings_hold(const struct parent_config *config, char *report, size_t size,
                   struct failure *failure)
{
    struct walk walk = {.report = report, .size = size, .failure = failure};
    int result = journal_is_open ? 0 : settings_open_journal();

    report[0] = '\0';
    if (result < 0)
        return failure_set(failure, "cannot keep a journal of sysctls in %s: %s", RUN_DIRECTORY,
                           strerror(-result));
    journal_is_open = true;
    return walk_settings(config, &walk);
}

/* ---- the end ---- */

/* Does a kind of device that routes for others show that somebody else needs forwarding? */
static bool is_neighbour(const struct interface_info *interface, void *context)
{
    static const char *const kinds[] = {"bridge", "tun", "wireguard", "vxlan", "macvlan", "ipvlan"};
    char *name = context;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && interface->up; i++)
        if (strcmp(interface->kind, kinds[i]) == 0)
            memcpy(name, interface->name, sizeof(interface->name));
    return name[0] == '\0';
}

struct leaving {
    bool forwards6;           /* IPv6 forwarding stays on */
    char neighbour[IFNAMSIZ]; /* who needs it; "" nobody */
};

static bool keep(const char *path, void *context)
{
    struct leaving *leaving = context;
    const char *name = strrchr(path, '/') + 1;
    char now[SYSCTL_VALUE_BYTES];

    if (strcmp(path, FORWARDING6) == 0) {
        leaving->forwards6 = leaving->neighbour[0] != '\0';
        if (leaving->forwards6)
            log_info("net.ipv6.conf.all.forwarding stays 1: %s may need it", leaving->neighbour);
        return leaving->forwards6;
    }
    /* Somebody has switched all interfaces on, ours among them. */
    if (strncmp(path, "net/ipv4/", 9) == 0 && strcmp(name, "forwarding") == 0)
        return sysctl_read("net/ipv4/ip_forward", now) == 0 && strcmp(now, "1") == 0;
    return leaving->forwards6 && strcmp(name, "accept_ra") == 0;
}

int settings_restore(void)
{
    struct leaving leaving = {0};
    struct netdev netdev = {0};
    int result = settings_open_journal();

    if (result == 0 && netdev_open(&netdev) == 0)
        netdev_each_interface(&netdev, "", is_neighbour, leaving.neighbour);
    netdev_close(&netdev);
    journal_is_open = false;
    return result < 0 ? result : sysctl_restore_all(keep, &leaving);
}
