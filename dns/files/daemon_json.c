/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's daemon.json with "dns" set. The text is walked as JSON (RFC 8259), not made anew: order,
 * white space and numbers of everything else stay as they are.
 */
#include <string.h>

#include "dns/files/takeover.h"
#include "packet/addr.h"

#define DEPTH_MAX 64
#define SPACE     " \t\r\n"

/* Each function returns the place behind what it walked over, or NULL: that is not JSON. */
static const char *skip_value(const char *at, unsigned depth);

static const char *skip_space(const char *at)
{
    return at == NULL ? NULL : at + strspn(at, SPACE);
}

static const char *skip_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    while (*at != '"') {
        if ((unsigned char)*at < 0x20 || (*at == '\\' && *++at == '\0'))
            return NULL;
        at++;
    }
    return at + 1;
}

/* '"key" : value'; *value is where the value begins. */
static const char *skip_member(const char *at, const char **value, unsigned depth)
{
    at = skip_space(skip_string(at));
    if (at == NULL || *at != ':')
        return NULL;
    *value = skip_space(at + 1);
    return skip_value(*value, depth);
}

static const char *skip_list(const char *at, char end, unsigned depth)
{
    const char *value;

    at = skip_space(at + 1);
    if (*at == end)
        return at + 1;
    for (;;) {
        at = skip_space(end == '}' ? skip_member(at, &value, depth) : skip_value(at, depth));
        if (at == NULL || (*at != ',' && *at != end))
            return NULL;
        if (*at == end)
            return at + 1;
        at = skip_space(at + 1);
    }
}

static const char *skip_value(const char *at, unsigned depth)
{
    if (depth == DEPTH_MAX)
        return NULL;
    if (*at == '{')
        return skip_list(at, '}', depth + 1);
    if (*at == '[')
        return skip_list(at, ']', depth + 1);
    if (*at == '"')
        return skip_string(at);
    size_t length = strspn(at, "+-.0123456789abcdefghijklmnopqrstuvwxyzE"); /* number or word */
    return length > 0 ? at + length : NULL;
}

/* Is the string at key "dns", its letters written as they are or as \u0064? */
static bool is_dns(const char *key)
{
    const char *at = key + 1;

    for (const char *letter = "dns"; *letter != '\0'; letter++) {
        char escaped[7];
        snprintf(escaped, sizeof(escaped), "\\u00%02x", (unsigned char)*letter);
        if (*at == *letter)
            at++;
        else if (strncasecmp(at, escaped, 6) == 0 && at[1] == 'u')
            at += 6;
        else
            return false;
    }
    return *at == '"';
}

/* The value of "dns" among the members of an object that was walked once already, or NULL. Of two,
 * the last: it is the one that Docker takes. */
static const char *find_dns(const char *object)
{
    const char *at = skip_space(object + 1), *found = NULL;

    while (at != NULL && *at == '"') {
        const char *key = at, *value = NULL;
        at = skip_space(skip_member(at, &value, 1));
        if (is_dns(key))
            found = value;
        if (at != NULL && *at == ',')
            at = skip_space(at + 1);
    }
    return found;
}

bool daemon_json_edit(const char *original, const void *context, FILE *out, struct failure *failure)
{
    char address[ADDR_TEXT_BYTES];
    const char *object = original == NULL ? NULL : skip_space(original);

    addr_format(context, address);
    if (object == NULL || *object == '\0') {
        fprintf(out, "{\n  \"dns\": [\"%s\"]\n}\n", address);
        return true;
    }
    const char *end = *object == '{' ? skip_space(skip_value(object, 0)) : NULL;
    if (end == NULL || *end != '\0')
        return failure_set(failure, "is not a JSON object");
    const char *value = find_dns(object);
    if (value != NULL) {
        fprintf(out, "%.*s[\"%s\"]%s", (int)(value - original), original, address,
                skip_value(value, 1));
        return true;
    }
    bool is_empty = *skip_space(object + 1) == '}';
    fprintf(out, "%.*s{\n  \"dns\": [\"%s\"]%s%s", (int)(object - original), original, address,
            is_empty ? "\n" : ",", object + 1);
    return true;
}
