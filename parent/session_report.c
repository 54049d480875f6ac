/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "parent/addresses.h"
#include "parent/session.h"
#include "runtime/lane/report.h"

static bool has_come(const struct sessions *sessions, const struct enclave_entry *entry)
{
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (sessions->enclaves[i].used && strcmp(sessions->enclaves[i].name, entry->name) == 0)
            return true;
    return false;
}

/* A configured enclave that has not connected yet: everything but its lanes is known. */
static void report_expected(const struct sessions *sessions, const struct enclave_entry *entry,
                            struct json *json)
{
    struct ip_addr address4 = parent_config_address(sessions->context.config, 4, entry->index);
    struct ip_addr address6 = parent_config_address(sessions->context.config, 6, entry->index);
    char peer[LINK_TEXT_BYTES];

    json_begin(json, NULL);
    json_text(json, "name", entry->name);
    json_text(json, "peer", link_format(&entry->link, peer));
    if (entry->index != 0) {
        report_address(json, "address4", &address4);
        report_address(json, "address6", &address6);
    }
    json_list(json, "lanes");
    json_list_end(json);
    json_end(json);
}

void sessions_report(struct sessions *sessions, struct json *json)
{
    const struct parent_config *config = sessions->context.config;

    json_number(json, "uplink_mtu", sessions->context.mtu);
    json_begin(json, "handshakes");
#define X(counter, ...) json_number(json, #counter, sessions->counter);
    HANDSHAKE_COUNTERS(X)
#undef X
    json_end(json);
    json_list(json, "enclaves");
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (sessions->enclaves[i].used)
            enclave_report(&sessions->enclaves[i], json);
    for (unsigned i = 0; i < config->enclave_count; i++)
        if (!has_come(sessions, &config->enclaves[i]))
            report_expected(sessions, &config->enclaves[i], json);
    json_list_end(json);
}

void sessions_print_stats(struct sessions *sessions, FILE *out)
{
    fprintf(out, "stats parent");
#define X(counter, ...) fprintf(out, " " #counter "=%" PRIu64, sessions->counter);
    HANDSHAKE_COUNTERS(X)
#undef X
    fputc('\n', out);
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (sessions->enclaves[i].used)
            enclave_print_stats(&sessions->enclaves[i], out);
}
