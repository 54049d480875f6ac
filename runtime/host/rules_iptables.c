/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The iptables form of a rule set.
 *
 * Theory of operation. iptables-restore --noflush empties every chain that its input declares and
 * leaves the others alone, so our chains are replaced by declaring them. The hooks follow in the
 * same input: `-D` for each jump to our chain that the built-in chain has now, whatever its match
 * and wherever it stands, then `-I CHAIN 1`. Each table is one transaction of the kernel; with
 * iptables-nft the whole input is one. A listing that is out of date (somebody deleted the same
 * jump meanwhile) makes the restore fail as a whole, and it is tried again with a new listing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/host/rules_private.h"

#define WORD_BYTES 32
#define TRIES      3

struct family {
    int version;
    const char *program, *restore; /* of RULES_IPTABLES */
    const char *legacy_program, *legacy_restore;
    const char *legacy_tables; /* the tables that the kernel's ip_tables has in this namespace */
    const char *legacy_module;
    const char *kernel_has; /* exists if the kernel has this family */
};

static const struct family families[2] = {
    {4, "iptables", "iptables-restore", "iptables-legacy", "iptables-legacy-restore",
     "/proc/net/ip_tables_names", "ip_tables", "/proc/net/route"},
    {6, "ip6tables", "ip6tables-restore", "ip6tables-legacy", "ip6tables-legacy-restore",
     "/proc/net/ip6_tables_names", "ip6_tables", "/proc/net/if_inet6"},
};

static const char *program_of(const struct family *family, enum rules_backend backend)
{
    return backend == RULES_IPTABLES_LEGACY ? family->legacy_program : family->program;
}

static const char *restore_of(const struct family *family, enum rules_backend backend)
{
    return backend == RULES_IPTABLES_LEGACY ? family->legacy_restore : family->restore;
}

static const char *template_of(const struct rules_set *set, const struct family *family)
{
    return family->version == 4 ? set->ipv4 : set->ipv6;
}

static bool speaks_legacy(const struct family *family, enum rules_backend backend)
{
    const char *const version[] = {program_of(family, backend), "-V", NULL};
    struct run_result result;
    bool legacy = rules_run(version, NULL, &result) && !strstr(result.output.bytes, "nf_tables");

    run_result_free(&result);
    return legacy;
}

bool iptables_is_legacy(enum rules_backend backend)
{
    return backend == RULES_IPTABLES_LEGACY || speaks_legacy(&families[0], backend);
}

/* Lists a table in the notation of iptables-restore, without its counters. */
static bool list_table(const struct family *family, enum rules_backend backend, const char *table,
                       struct run_result *result)
{
    const char *const list[] = {program_of(family, backend), "-w", "-t", table, "-S", NULL};

    return rules_run(list, NULL, result);
}

/*
 * Could this family's ip_tables be used? Asking the program would make the kernel set up the table
 * in question, hooks and all, so the question is put to /proc and, for a module that is not loaded,
 * to modprobe's dry run.
 */
static bool legacy_kernel_usable(const struct family *family)
{
    const char *const modprobe[] = {"modprobe", "-n", "-q", family->legacy_module, NULL};
    struct run_result result;
    bool success;

    if (access(family->legacy_tables, F_OK) == 0)
        return true;
    success = rules_run(modprobe, NULL, &result);
    run_result_free(&result);
    return success;
}

static bool family_usable(const struct family *family, enum rules_backend backend)
{
    struct run_result result;
    bool success;

    if (!run_found(program_of(family, backend)) || !run_found(restore_of(family, backend)) ||
        access(family->kernel_has, F_OK) != 0)
        return false;
    if (backend == RULES_IPTABLES_LEGACY || speaks_legacy(family, backend))
        return geteuid() == 0 && legacy_kernel_usable(family);
    /* Listing with iptables-nft creates nothing. */
    success = list_table(family, backend, "mangle", &result);
    run_result_free(&result);
    return success;
}

bool iptables_family_usable(enum rules_backend backend, int version)
{
    return family_usable(&families[version == 6], backend);
}

bool iptables_usable(enum rules_backend backend)
{
    return family_usable(&families[0], backend) || family_usable(&families[1], backend);
}

/* One line of hooks: "TABLE CHAIN MATCH... -j TARGET", behind "last" if it is to stand at the end.
 */
struct hook {
    bool last;
    char table[WORD_BYTES], chain[WORD_BYTES], target[WORD_BYTES];
    const char *spec; /* all behind CHAIN, without a newline */
    size_t spec_length;
};

/* Reads the next hook from *cursor and moves it on; false at the end. Works on rendered text and on
 * the template itself, whose directives and comments are passed over. */
static bool next_hook(const char **cursor, struct hook *hook)
{
    while (**cursor != '\0') {
        const char *line = *cursor;
        size_t length = strcspn(line, "\n");
        int spec = 0;

        hook->last = strncmp(line, "last ", 5) == 0;
        *cursor += length + (line[length] == '\n');
        const char *end = line + length;
        line += hook->last ? 5 : 0;
        if (length == 0 || line[0] == '#' || line[0] == '%' ||
            sscanf(line, "%31s %31s %n", hook->table, hook->chain, &spec) != 2)
            continue;
        hook->spec = line + spec;
        hook->spec_length = (size_t)(end - hook->spec);
        for (const char *word = hook->spec; word < end; word++) {
            if (strncmp(word, "-j ", 3) == 0 && sscanf(word, "-j %31s", hook->target) == 1)
                return true;
        }
    }
    return false;
}

/* Is this line of a listing a rule of the hook's chain that jumps to the hook's target? A jump to a
 * chain has no options, so it ends the line. */
static bool is_jump(const char *line, size_t length, const struct hook *hook)
{
    char start[WORD_BYTES + 8], jump[WORD_BYTES + 8];
    size_t target = strlen(hook->target) + 4;

    snprintf(start, sizeof(start), "-A %s ", hook->chain);
    snprintf(jump, sizeof(jump), " %s", hook->target);
    return length > strlen(start) + target - 2 && strncmp(line, start, strlen(start)) == 0 &&
           strncmp(line + length - strlen(jump), jump, strlen(jump)) == 0 &&
           (strncmp(line + length - target, " -j", 3) == 0 ||
            strncmp(line + length - target, " -g", 3) == 0);
}

static void delete_jumps(struct text *script, const char *listing, const struct hook *hook)
{
    while (*listing != '\0') {
        size_t length = strcspn(listing, "\n");

        if (is_jump(listing, length, hook))
            text_printf(script, "-D%.*s\n", (int)(length - 2), listing + 2);
        listing += length + (listing[length] == '\n');
    }
}

static void append_hook(struct text *script, const struct hook *hook)
{
    text_printf(script, hook->last ? "-A %s %.*s\n" : "-I %s 1 %.*s\n", hook->chain,
                (int)hook->spec_length, hook->spec);
}

/* The part of the input that moves the hooks to the first place, or to the last. False: a table
 * cannot be listed.
 */
static bool append_hooks(struct text *script, const struct family *family,
                         enum rules_backend backend, const char *hooks, struct failure *failure)
{
    struct hook hook;

    while (next_hook(&hooks, &hook)) {
        struct run_result listing;
        bool success = list_table(family, backend, hook.table, &listing);

        if (success) {
            text_printf(script, "*%s\n", hook.table);
            delete_jumps(script, listing.output.bytes, &hook);
            append_hook(script, &hook);
            text_printf(script, "COMMIT\n");
        } else {
            run_complaint(&listing, program_of(family, backend), failure);
        }
        run_result_free(&listing);
        if (!success)
            return false;
    }
    return true;
}

static bool run_restore(const struct family *family, enum rules_backend backend, const char *script,
                        struct failure *failure)
{
    const char *const restore[] = {restore_of(family, backend), "-w", "--noflush", NULL};
    struct run_result result;
    bool success = rules_run(restore, script, &result);

    if (!success)
        run_complaint(&result, restore[0], failure);
    run_result_free(&result);
    return success;
}

static bool apply_family(const struct rules_set *set, const struct family *family,
                         enum rules_backend backend, const struct rules_values *values,
                         struct failure *failure)
{
    char *chains = rules_render(template_of(set, family), values, failure);
    char *hooks = rules_render(set->hooks, values, failure);
    bool success = false;

    for (int i = 0; i < TRIES && !success && chains != NULL && hooks != NULL; i++) {
        struct text script = {0};

        text_append(&script, chains, strlen(chains));
        success = append_hooks(&script, family, backend, hooks, failure) &&
                  run_restore(family, backend, script.bytes, failure);
        text_free(&script);
    }
    free(chains);
    free(hooks);
    return success;
}

bool iptables_apply(const struct rules_set *set, enum rules_backend backend,
                    const struct rules_values *values, struct failure *failure)
{
    bool usable[2];

    for (int i = 0; i < 2; i++)
        usable[i] = template_of(set, &families[i]) != NULL && family_usable(&families[i], backend);
    if (!usable[0] && !usable[1])
        return failure_set(failure, "%s: not installed, or the kernel or a privilege is missing",
                           program_of(&families[0], backend));
    for (int i = 0; i < 2; i++) {
        const struct family *family = &families[i];

        if (usable[i]) {
            if (!apply_family(set, family, backend, values, failure))
                return false;
        } else if (template_of(set, family) != NULL && access(family->kernel_has, F_OK) == 0) {
            log_warning("%s rules: %s does not work here, IPv%d goes without", set->name,
                        program_of(family, backend), family->version);
        }
    }
    return true;
}

/* Does the listing show this chain of ours? */
static bool has_chain(const char *listing, const char *chain)
{
    char line[WORD_BYTES + 8];

    snprintf(line, sizeof(line), "-N %s\n", chain);
    return strstr(listing, line) != NULL;
}

/* Appends "OPTION CHAIN" for each chain that the template declares in table and the listing shows.
 */
static void for_our_chains(struct text *script, const char *option, const char *template_text,
                           const char *table, const char *listing)
{
    char current[WORD_BYTES] = "", chain[WORD_BYTES];

    while (*template_text != '\0') {
        (void)sscanf(template_text, "*%31[^ \n]", current);
        if (strcmp(current, table) == 0 && sscanf(template_text, ":%31[^ \n]", chain) == 1 &&
            has_chain(listing, chain))
            text_printf(script, "%s %s\n", option, chain);
        template_text += strcspn(template_text, "\n");
        template_text += *template_text == '\n';
    }
}

/* Is the table set up in the kernel's ip_tables? Listing one that is not would set it up. */
static bool legacy_table_exists(const struct family *family, const char *table)
{
    char line[WORD_BYTES];
    FILE *file = fopen(family->legacy_tables, "re");
    bool found = false;

    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found = strcmp(line, table) == 0;
    }
    if (file != NULL)
        fclose(file);
    return found;
}

/* What removes the set's part of one table; empty if there is none of it. */
static void removal_script(struct text *script, const struct rules_set *set,
                           const struct family *family, const char *table, const char *listing)
{
    const char *cursor = set->hooks;
    struct hook hook;
    struct text body = {0};

    while (next_hook(&cursor, &hook)) {
        if (strcmp(hook.table, table) == 0)
            delete_jumps(&body, listing, &hook);
    }
    for_our_chains(&body, "-F", template_of(set, family), table, listing);
    for_our_chains(&body, "-X", template_of(set, family), table, listing);
    if (body.length > 0)
        text_printf(script, "*%s\n%sCOMMIT\n", table, body.bytes);
    text_free(&body);
}

static bool remove_family(const struct rules_set *set, const struct family *family,
                          enum rules_backend backend, struct failure *failure)
{
    bool legacy = speaks_legacy(family, backend);
    const char *cursor = set->hooks;
    char done[WORD_BYTES] = "";
    struct hook hook;
    bool removed = true;

    while (next_hook(&cursor, &hook)) {
        struct run_result listing;
        struct text script = {0};

        if (strcmp(hook.table, done) == 0 || (legacy && !legacy_table_exists(family, hook.table)))
            continue;
        strcpy(done, hook.table);
        if (list_table(family, backend, hook.table, &listing))
            removal_script(&script, set, family, hook.table, listing.output.bytes);
        else
            log_debug("%s -t %s: %s", program_of(family, backend), hook.table,
                      listing.errors.bytes);
        run_result_free(&listing);
        if (script.length > 0 && !run_restore(family, backend, script.bytes, failure))
            removed = false;
        text_free(&script);
    }
    return removed;
}

bool iptables_remove(const struct rules_set *set, enum rules_backend backend,
                     struct failure *failure)
{
    bool removed = true;

    for (int i = 0; i < 2; i++) {
        if (template_of(set, &families[i]) != NULL &&
            run_found(program_of(&families[i], backend)) &&
            !remove_family(set, &families[i], backend, failure))
            removed = false;
    }
    return removed;
}

static void print_hooks(const char *hooks)
{
    struct text script = {0};
    struct hook hook;

    while (next_hook(&hooks, &hook)) {
        text_printf(&script, "*%s\n", hook.table);
        append_hook(&script, &hook);
        text_printf(&script, "COMMIT\n");
    }
    printf("%s", script.bytes != NULL ? script.bytes : "");
    text_free(&script);
}

int iptables_print(const struct rules_set *set, enum rules_backend backend,
                   const struct rules_values *values)
{
    for (int i = 0; i < 2; i++) {
        struct failure failure = {""};
        char *chains, *hooks;

        if (template_of(set, &families[i]) == NULL)
            continue;
        chains = rules_render(template_of(set, &families[i]), values, &failure);
        hooks = rules_render(set->hooks, values, &failure);
        if (chains != NULL && hooks != NULL) {
            printf("%s -w --noflush <<'EOF'\n%s", restore_of(&families[i], backend), chains);
            print_hooks(hooks);
            printf("EOF\n");
        }
        free(chains);
        free(hooks);
        if (failure.text[0] != '\0') {
            fprintf(stderr, "%s\n", failure.text);
            return -1;
        }
    }
    return 0;
}
