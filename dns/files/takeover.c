/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/files/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_FOLDER "/run/causeway"

struct names {
    const char *path;
    char ours[PATH_MAX], original[PATH_MAX], temporary[PATH_MAX];
};

/* A file's content, NUL-terminated; text NULL: there is no such file. */
struct content {
    char *text;
    size_t length;
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

static bool say(struct failure *failure, const char *path, int code)
{
    return failure_set(failure, "%s: %s", path, strerror(code < 0 ? -code : code));
}

static bool folder_is_writable(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return access(".", W_OK) == 0;
    snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return access(folder, W_OK) == 0;
}

static int make_names(const char *path, struct names *names)
{
    char base[PATH_MAX];
    int length;

    names->path = path;
    if (folder_is_writable(path)) {
        length = snprintf(base, sizeof(base), "%s", path);
    } else {
        if (mkdir(STATE_FOLDER, 0755) < 0 && errno != EEXIST)
            return -errno;
        length = snprintf(base, sizeof(base), STATE_FOLDER "/%s", path);
        for (char *c = base + sizeof(STATE_FOLDER); *c != '\0'; c++)
            if (*c == '/')
                *c = '-';
    }
    if (length < 0 || (size_t)length + sizeof(".causeway-dns-original") > sizeof(base))
        return -ENAMETOOLONG;
    snprintf(names->ours, sizeof(names->ours), "%.4000s.causeway-dns", base);
    snprintf(names->original, sizeof(names->original), "%.4000s.causeway-dns-original", base);
    snprintf(names->temporary, sizeof(names->temporary), "%.4000s.causeway-dns-new", base);
    return 0;
}

static void content_free(struct content *content)
{
    free(content->text);
    content->text = NULL;
}

static int read_all(int fd, struct content *content)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    content->mode = status.st_mode & 07777;
    content->uid = status.st_uid;
    content->gid = status.st_gid;
    content->text = malloc(TAKEOVER_FILE_BYTES + 1);
    if (content->text == NULL)
        return -ENOMEM;
    for (ssize_t got = 1; got != 0; content->length += (size_t)got) {
        got = read(fd, content->text + content->length, TAKEOVER_FILE_BYTES + 1 - content->length);
        if (got < 0)
            return -errno;
        if (content->length + (size_t)got > TAKEOVER_FILE_BYTES)
            return -EFBIG;
    }
    content->text[content->length] = '\0';
    return 0;
}

/* 0, also when there is no such file; or negative errno. Follows symbolic links. */
static int content_read(const char *path, struct content *content)
{
    *content = (struct content){.mode = 0644};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int result = read_all(fd, content);
    close(fd);
    if (result < 0)
        content_free(content);
    return result;
}

static bool equal(const struct content *a, const struct content *b)
{
    return a->text != NULL && b->text != NULL && a->length == b->length &&
           memcmp(a->text, b->text, a->length) == 0;
}

/* Is a shorter than b and where b begins? */
static bool begins(const struct content *a, const struct content *b)
{
    return a->text != NULL && b->text != NULL && a->length < b->length &&
           memcmp(a->text, b->text, a->length) == 0;
}

static int write_all(int fd, const struct content *content)
{
    size_t done = 0;

    while (done < content->length) {
        ssize_t wrote = write(fd, content->text + done, content->length - done);
        if (wrote < 0 && errno != EINTR)
            return -errno;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

static int write_new(const char *path, const struct content *content)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int result = write_all(fd, content);
    if (result == 0 && fchmod(fd, content->mode) < 0)
        result = -errno;
    /* Without CAP_CHOWN, as under a strict service manager, it belongs to us: that does no harm. */
    if (result == 0 && fchown(fd, content->uid, content->gid) < 0 && errno != EPERM)
        result = -errno;
    close(fd);
    if (result < 0)
        unlink(path);
    return result;
}

static int write_in_place(const char *path, const struct content *content)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int result = write_all(fd, content);
    close(fd);
    return result;
}

/* A mount point, or a folder that nothing can be made in. */
static bool cannot_rename(int error)
{
    return error == EBUSY || error == EXDEV || error == EROFS || error == EACCES;
}

/* Replaces the file in one step where that is possible. */
static int put(const struct names *names, const struct content *content)
{
    int result = write_new(names->temporary, content);

    if (result < 0)
        return result;
    if (rename(names->temporary, names->path) == 0)
        return 0;
    int error = errno;
    unlink(names->temporary);
    return cannot_rename(error) ? write_in_place(names->path, content) : -error;
}

/* Keeps what is there now under the original's name. */
static int keep_original(const struct names *names, const struct content *current)
{
    char target[PATH_MAX];

    if (unlink(names->original) < 0 && errno != ENOENT)
        return -errno;
    if (link(names->path, names->original) == 0)
        return 0;
    if (errno == ENOENT && current->text == NULL)
        return 0;
    ssize_t length = readlink(names->path, target, sizeof(target) - 1);
    if (length > 0) {
        target[length] = '\0';
        return symlink(target, names->original) < 0 ? -errno : 0;
    }
    return current->text == NULL ? 0 : write_new(names->original, current);
}

static bool edit_text(takeover_edit *edit, const void *context, const struct content *original,
                      struct content *out, struct failure *failure)
{
    FILE *stream = open_memstream(&out->text, &out->length);

    if (stream == NULL)
        return failure_set(failure, "no memory");
    out->mode = original->mode;
    out->uid = original->uid;
    out->gid = original->gid;
    bool edited = edit(original->text, context, stream, failure);
    return fclose(stream) == 0 && edited;
}

/* Is what stands there ours, or what is left of it or of the original after a crash? */
static bool is_ours(const struct content *current, const struct content *ours,
                    const struct content *original)
{
    return ours->text != NULL &&
           (equal(current, ours) || begins(current, ours) || begins(current, original));
}

static bool begin(const struct names *names, const struct content contents[3], takeover_edit *edit,
                  const void *context, struct failure *failure)
{
    const struct content *current = &contents[0], *ours = &contents[1], *original = &contents[2];
    bool again = is_ours(current, ours, original);
    struct content text = {0};
    struct failure reason = {""};

    if (!edit_text(edit, context, again ? original : current, &text, &reason)) {
        content_free(&text);
        return failure_set(failure, "%s %s", names->path, reason.text);
    }
    int result = again ? 0 : keep_original(names, current);
    if (result == 0)
        result = write_new(names->ours, &text);
    if (result == 0)
        result = put(names, &text);
    content_free(&text);
    if (result < 0 && !again) {
        unlink(names->ours);
        unlink(names->original);
    }
    return result == 0 || say(failure, names->path, result);
}

static int read_three(const struct names *names, struct content contents[3])
{
    const char *const paths[] = {names->path, names->ours, names->original};
    int result = 0;

    memset(contents, 0, 3 * sizeof(*contents));
    for (int i = 0; i < 3 && result == 0; i++)
        result = content_read(paths[i], &contents[i]);
    return result;
}

static void free_three(struct content contents[3])
{
    for (int i = 0; i < 3; i++)
        content_free(&contents[i]);
}

bool takeover_begin(const char *path, takeover_edit *edit, const void *context,
                    struct failure *failure)
{
    struct names names;
    struct content contents[3] = {0};
    int result = make_names(path, &names);

    if (result == 0)
        result = read_three(&names, contents);
    bool begun =
        result < 0 ? say(failure, path, result) : begin(&names, contents, edit, context, failure);
    free_three(contents);
    return begun;
}

/* The original's own file goes back where it can; else its bytes. */
static int put_back(const struct names *names, const struct content *original)
{
    struct stat status;

    if (lstat(names->original, &status) < 0)
        return unlink(names->path) < 0 && errno != ENOENT ? -errno : 0;
    if (rename(names->original, names->path) == 0)
        return 0;
    if (!cannot_rename(errno))
        return -errno;
    int result = original->text == NULL ? -ENOENT : write_in_place(names->path, original);
    if (result == 0)
        unlink(names->original);
    return result;
}

enum takeover_end takeover_finish(const char *path, struct failure *failure)
{
    struct names names;
    struct content contents[3] = {0};
    enum takeover_end end = TAKEOVER_NOTHING;
    int result = make_names(path, &names);

    if (result == 0)
        result = read_three(&names, contents);
    if (result == 0 && contents[1].text != NULL) {
        end = equal(&contents[0], &contents[1]) ? TAKEOVER_RESTORED : TAKEOVER_CHANGED;
        if (end == TAKEOVER_RESTORED)
            result = put_back(&names, &contents[2]);
        else
            failure_set(
                failure,
                "%s was changed by another program and is left as it is; what it was before "
                "is in %.500s",
                path, names.original);
        if (result == 0)
            unlink(names.ours);
    }
    free_three(contents);
    if (result < 0) {
        say(failure, path, result);
        return TAKEOVER_FAILED;
    }
    return end;
}
