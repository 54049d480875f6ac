/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. The journal has one line per change, "PATH\tORIGINAL\tOURS\n", appended in
 * one write before the setting is touched. Of several lines with one path the first tells the
 * original and the last what we set, unless a fourth field "!" says that the original is another
 * now: somebody changed the setting while we held it. A line without its newline was cut off by the
 * death of its writer, whose change was then not made: it is ignored, and ended before the next
 * line is added.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/host/sysctl.h"

#define ENTRIES_MAX 512
#define PATH_BYTES  128
#define VALUE_BYTES SYSCTL_VALUE_BYTES
#define LINE_BYTES  (PATH_BYTES + 2 * VALUE_BYTES + 5)

struct entry {
    char path[PATH_BYTES];
    char original[VALUE_BYTES], ours[VALUE_BYTES];
};

static struct {
    int fd; /* 0: not open */
    char path[256];
    struct entry entries[ENTRIES_MAX];
    size_t count;
} journal;

/* Settings of several numbers are separated by tabs in /proc; here by single spaces. */
static void tidy(char *text)
{
    char *out = text;

    for (char *in = text; *in != '\0'; in++) {
        if (!isspace((unsigned char)*in))
            *out++ = *in;
        else if (out > text && out[-1] != ' ')
            *out++ = ' ';
    }
    if (out > text && out[-1] == ' ')
        out--;
    *out = '\0';
}

static int open_setting(const char *path, int flags)
{
    char full[PATH_BYTES + 16];
    int fd;

    if (path[0] == '/' || strstr(path, "..") != NULL || strpbrk(path, "\t\n") != NULL ||
        strlen(path) >= PATH_BYTES)
        return -EINVAL;
    snprintf(full, sizeof(full), "/proc/sys/%s", path);
    fd = open(full, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int read_setting(const char *path, char value[VALUE_BYTES])
{
    int fd = open_setting(path, O_RDONLY);
    ssize_t bytes;

    if (fd < 0)
        return fd;
    bytes = read(fd, value, VALUE_BYTES);
    if (bytes < 0)
        bytes = -errno;
    close(fd);
    if (bytes < 0)
        return (int)bytes;
    if (bytes == VALUE_BYTES)
        return -EINVAL;
    value[bytes] = '\0';
    tidy(value);
    return 0;
}

unsigned long sysctl_number(const char *path, unsigned long fallback)
{
    char value[VALUE_BYTES], *end;

    if (read_setting(path, value) < 0)
        return fallback;
    unsigned long number = strtoul(value, &end, 10);
    return end == value || *end != '\0' ? fallback : number;
}

static int write_setting(const char *path, const char *value)
{
    int fd = open_setting(path, O_WRONLY);
    int result = 0;

    if (fd < 0)
        return fd;
    if (write(fd, value, strlen(value)) < 0)
        result = -errno;
    close(fd);
    return result;
}

static struct entry *find_entry(const char *path)
{
    for (size_t i = 0; i < journal.count; i++) {
        if (strcmp(journal.entries[i].path, path) == 0)
            return &journal.entries[i];
    }
    return NULL;
}

/* Takes a change into the table: a new entry, or a new value of ours; anew: a new original, too. */
static int remember(const char *path, const char *original, const char *ours, bool anew)
{
    struct entry *entry = find_entry(path);

    anew |= entry == NULL;
    if (entry == NULL) {
        if (journal.count == ENTRIES_MAX)
            return -ENOSPC;
        entry = &journal.entries[journal.count++];
        snprintf(entry->path, sizeof(entry->path), "%s", path);
    }
    if (anew)
        snprintf(entry->original, sizeof(entry->original), "%s", original);
    snprintf(entry->ours, sizeof(entry->ours), "%s", ours);
    return 0;
}

/* One line without its newline. One that we cannot have written is passed over. */
static int read_line(char *line)
{
    char *rest = line;
    char *path = strsep(&rest, "\t"), *original = strsep(&rest, "\t"), *ours = strsep(&rest, "\t");

    if (ours == NULL || (rest != NULL && strcmp(rest, "!") != 0) || path[0] == '\0' ||
        strlen(path) >= PATH_BYTES || strlen(original) >= VALUE_BYTES ||
        strlen(ours) >= VALUE_BYTES)
        return 0;
    return remember(path, original, ours, rest != NULL);
}

static int read_journal(FILE *file)
{
    char line[LINE_BYTES];
    bool whole = true;
    int result = 0;

    while (result == 0 && fgets(line, sizeof(line), file) != NULL) {
        char *newline = strchr(line, '\n');
        bool starts_line = whole;

        whole = newline != NULL;
        if (!whole)
            continue;
        *newline = '\0';
        if (starts_line)
            result = read_line(line);
    }
    if (result == 0 && !whole && write(journal.fd, "\n", 1) < 0)
        result = -errno;
    return result;
}

static void close_journal(void)
{
    if (journal.fd > 0)
        close(journal.fd);
    memset(&journal, 0, sizeof(journal));
}

int sysctl_journal_open(const char *path)
{
    FILE *file;
    int result;

    close_journal();
    if (strlen(path) >= sizeof(journal.path))
        return -ENAMETOOLONG;
    journal.fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (journal.fd < 0) {
        journal.fd = 0;
        return -errno;
    }
    strcpy(journal.path, path);
    file = fopen(path, "re");
    result = file == NULL ? -errno : read_journal(file);
    if (file != NULL)
        fclose(file);
    if (result < 0)
        close_journal();
    return result;
}

static int write_line(const char *path, const char *original, const char *ours, bool anew)
{
    char line[LINE_BYTES];
    int length =
        snprintf(line, sizeof(line), "%s\t%s\t%s%s\n", path, original, ours, anew ? "\t!" : "");
    ssize_t written = write(journal.fd, line, (size_t)length);

    if (written < 0)
        return -errno;
    return written == length ? 0 : -EIO;
}

int sysctl_read(const char *path, char value[SYSCTL_VALUE_BYTES])
{
    return read_setting(path, value);
}

static int set(const char *path, const char *value, bool hold)
{
    char now[VALUE_BYTES], ours[VALUE_BYTES];
    int result;

    if (journal.fd <= 0)
        return -EBADF;
    if (strlen(value) >= sizeof(ours))
        return -EINVAL;
    strcpy(ours, value);
    tidy(ours);
    result = read_setting(path, now);
    if (result < 0)
        return result;
    bool known = find_entry(path) != NULL, taken = hold && known;
    if (strcmp(now, ours) == 0) /* remembered, so that a change is known as one */
        return hold && !known ? remember(path, ours, ours, true) : 0;
    result = remember(path, now, ours, taken);
    if (result == 0)
        result = write_line(path, now, ours, taken);
    if (result == 0)
        result = write_setting(path, ours);
    return result < 0 ? result : 1 + taken;
}

bool sysctl_was(const char *path, const char *value)
{
    const struct entry *entry = find_entry(path);
    char now[VALUE_BYTES];

    if (entry != NULL)
        return strcmp(entry->original, value) == 0;
    return read_setting(path, now) == 0 && strcmp(now, value) == 0;
}

int sysctl_set(const char *path, const char *value)
{
    int result = set(path, value, false);

    return result < 0 ? result : 0;
}

int sysctl_hold(const char *path, const char *value)
{
    return set(path, value, true);
}

static int keep_router_advertisements(const char *ifname)
{
    char path[PATH_BYTES], now[VALUE_BYTES];

    if (snprintf(path, sizeof(path), "net/ipv6/conf/%s/accept_ra", ifname) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int result = read_setting(path, now);
    if (result == -ENOENT) /* it went meanwhile */
        return 0;
    return result < 0 || strcmp(now, "1") != 0 ? result : sysctl_set(path, "2");
}

int sysctl_keep_router_advertisements(bool (*except)(const char *ifname))
{
    DIR *directory = opendir("/proc/sys/net/ipv6/conf");
    int result = 0;

    if (directory == NULL)
        return errno == ENOENT ? 0 : -errno;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        /* "all" is no interface's and means nothing here (net/ipv6/ndisc.c). */
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "all") == 0 || except(entry->d_name))
            continue;
        int one = keep_router_advertisements(entry->d_name);
        if (result == 0)
            result = one;
    }
    closedir(directory);
    return result;
}

const char *sysctl_ipv6_off(void)
{
    char now[VALUE_BYTES];
    int result = read_setting("net/ipv6/conf/all/disable_ipv6", now);

    if (result == -ENOENT)
        return "this kernel has no IPv6";
    return result == 0 && strcmp(now, "1") == 0
               ? "IPv6 is switched off (net.ipv6.conf.all.disable_ipv6 = 1)"
               : NULL;
}

/* An absent setting went with its device. */
static int restore(const struct entry *entry)
{
    char now[VALUE_BYTES];
    int result = read_setting(entry->path, now);

    if (result == 0 && strcmp(now, entry->ours) == 0)
        result = write_setting(entry->path, entry->original);
    return result == -ENOENT ? 0 : result;
}

int sysctl_restore_all(bool (*keep)(const char *path, void *context), void *context)
{
    int result = 0;

    if (journal.fd <= 0)
        return -EBADF;
    for (size_t i = journal.count; i-- > 0;) {
        const struct entry *entry = &journal.entries[i];
        int one = keep != NULL && keep(entry->path, context) ? 0 : restore(entry);
        if (result == 0)
            result = one;
    }
    if (result == 0 && unlink(journal.path) < 0)
        result = -errno;
    if (result == 0)
        close_journal();
    return result;
}
