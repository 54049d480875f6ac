/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/resolvers.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "packet/policy.h"
#include "runtime/base/log.h"

void resolvers_filter(struct wire_config *offered, const struct prefix_table *connected)
{
    uint8_t kept = 0;

    for (uint8_t i = 0; i < offered->dns_count; i++)
        if (policy_is_ordinary(&offered->dns[i]) &&
            !prefix_table_contains(connected, &offered->dns[i]))
            offered->dns[kept++] = offered->dns[i];
    offered->dns_count = kept;
}

void resolvers_publish(struct helper *helper, const struct wire_config *config)
{
    char list[WIRE_MAX_DNS * (ADDR_TEXT_BYTES + 1) + 1] = "", address[ADDR_TEXT_BYTES];
    struct failure failure;
    size_t used = 0;

    for (unsigned i = 0; i < config->dns_count; i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s\n",
                                 addr_format(&config->dns[i], address));
    if (!helper_request(helper, RESOLVERS_HELPER_KIND, list, NULL, &failure))
        log_warning("the parent's resolvers are not written down: %s", failure.text);
}

/* Every line is read as an address and written anew: nothing else gets into the file. */
static bool write_list(FILE *file, char *text)
{
    char *rest = NULL, address_text[ADDR_TEXT_BYTES];
    struct ip_addr address;
    unsigned count = 0;

    fputs("# What the parent offers; written by causeway-enclave, read by causeway-dns.\n", file);
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (count++ == WIRE_MAX_DNS || !addr_parse(line, &address) || !policy_is_ordinary(&address))
            return false;
        fprintf(file, "nameserver %s\n", addr_format(&address, address_text));
    }
    return true;
}

/* The directory may be missing: /run is empty after a start. One level is enough for that. */
static void make_directory(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash == NULL || slash == path ||
        snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path) >=
            (int)sizeof(directory))
        return;
    mkdir(directory, 0755);
}

bool resolvers_serve(const char *path, char *text, struct failure *failure)
{
    char fresh[PATH_MAX];
    FILE *file = NULL;
    bool good = false;

    make_directory(path);
    if (snprintf(fresh, sizeof(fresh), "%s.new", path) < (int)sizeof(fresh)) {
        unlink(fresh);
        file = fopen(fresh, "wxe"); /* never through a link that somebody left there */
    }
    if (file != NULL) {
        good = write_list(file, text) && fchmod(fileno(file), 0644) == 0;
        errno = good ? 0 : EINVAL;
        good = fclose(file) == 0 && good && rename(fresh, path) == 0;
        if (!good)
            unlink(fresh);
    }
    if (!good)
        failure_set(failure, "cannot write %s: %s", path, strerror(errno));
    return good;
}

void resolvers_remove(const char *path)
{
    unlink(path);
}
