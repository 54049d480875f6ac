/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renders, applies and removes the shipped rule sets with values from the command line, so that
 * tests can look at them without a daemon:
 *
 *   rules_cli ACTION SET BACKEND [VALUE...]
 *
 * ACTION: usable, print, apply, remove. SET: enclave, parent. A value is one of
 *   name=text      a value                +list     declares a list
 *   @list          begins a group         .name=text  a value in that group
 *   publish=tcp,LISTEN,8000-8010,TO,9000  a published range; LISTEN "-": any local address
 * apply prints the backend it used. Exit status 1 with a message if it failed, 3 for "not usable".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rule_templates.h"
#include "runtime/base/log.h"
#include "runtime/host/rules.h"

static const struct rules_set sets[] = {
    {"enclave", rule_enclave_nft, "inet causeway", rule_enclave_ipv4_rules, rule_enclave_ipv6_rules,
     rule_enclave_hooks},
    {"parent", rule_parent_nft, "inet causeway", rule_parent_ipv4_rules, rule_parent_ipv6_rules,
     rule_parent_hooks},
};

static void add_published(struct rules_values *values, const char *text)
{
    struct rules_publish publish = {0};
    char protocol[8], listen[64], to[64];
    unsigned first, last, to_first;

    if (sscanf(text, "%7[^,],%63[^,],%u-%u,%63[^,],%u", protocol, listen, &first, &last, to,
               &to_first) != 6 ||
        !addr_parse(to, &publish.to) ||
        (strcmp(listen, "-") != 0 && !addr_parse(listen, &publish.listen)))
        die("publish=%s?", text);
    publish.protocol = protocol;
    publish.first = (uint16_t)first;
    publish.last = (uint16_t)last;
    publish.to_first = (uint16_t)to_first;
    rules_publish(values, &publish);
}

static void add_value(struct rules_values *values, char *argument)
{
    char *text = strchr(argument, '=');

    if (argument[0] == '+') {
        rules_list(values, argument + 1);
    } else if (argument[0] == '@') {
        rules_group(values, argument + 1);
    } else if (text == NULL) {
        die("%s?", argument);
    } else {
        *text++ = '\0';
        if (strcmp(argument, "publish") == 0)
            add_published(values, text);
        else if (argument[0] == '.')
            rules_group_set(values, argument + 1, "%s", text);
        else
            rules_set(values, argument, "%s", text);
    }
}

static int act(const char *action, const struct rules_set *set, enum rules_backend backend,
               const struct rules_values *values)
{
    enum rules_backend used;
    struct failure failure = {""};
    bool done;

    if (strcmp(action, "usable") == 0)
        return rules_backend_usable(backend) ? 0 : 3;
    if (strcmp(action, "print") == 0)
        return rules_print(set, backend, values) < 0;
    if (strcmp(action, "apply") == 0) {
        done = rules_apply(set, backend, values, &used, &failure);
        if (done)
            printf("%s\n", rules_backend_name(used));
    } else if (strcmp(action, "remove") == 0) {
        done = rules_remove(set, backend, &failure);
    } else {
        die("%s?", action);
    }
    if (!done)
        fprintf(stderr, "%s\n", failure.text);
    return !done;
}

int main(int argc, char **argv)
{
    const struct rules_set *set = &sets[argc > 2 && strcmp(argv[2], "parent") == 0];
    struct rules_values *values = rules_values_new();
    enum rules_backend backend;
    int status;

    log_init("rules_cli", LOG_LEVEL_INFO);
    if (argc < 4 || strcmp(argv[2], set->name) != 0 || !rules_backend_parse(argv[3], &backend))
        die("usage: rules_cli ACTION SET BACKEND [VALUE...]");
    for (int i = 4; i < argc; i++)
        add_value(values, argv[i]);
    status = act(argv[1], set, backend, values);
    rules_values_free(values);
    return status;
}
