/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_free(struct json *json)
{
    free(json->bytes);
    *json = (struct json){0};
}

static bool reserve(struct json *json, size_t more)
{
    size_t wanted = json->length + more;

    if (json->failed || wanted > JSON_MAX_BYTES) {
        json->failed = true;
        return false;
    }
    if (wanted <= json->capacity)
        return true;
    size_t capacity = json->capacity > 0 ? json->capacity : 4096;
    while (capacity < wanted)
        capacity *= 2;
    char *bytes = realloc(json->bytes, capacity);
    if (bytes == NULL) {
        json->failed = true;
        return false;
    }
    json->bytes = bytes;
    json->capacity = capacity;
    return true;
}

void json_raw(struct json *json, const char *bytes, size_t length)
{
    if (!reserve(json, length))
        return;
    memcpy(json->bytes + json->length, bytes, length);
    json->length += length;
}

static void put_string(struct json *json, const char *text)
{
    char escaped[8] = "";

    json_raw(json, "\"", 1);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            snprintf(escaped, sizeof(escaped), "\\%c", c);
        else if (c < ' ' || c > '~')
            snprintf(escaped, sizeof(escaped), "\\u%04x", c);
        else
            snprintf(escaped, sizeof(escaped), "%c", c);
        json_raw(json, escaped, strlen(escaped));
    }
    json_raw(json, "\"", 1);
}

static void begin_value(struct json *json, const char *key)
{
    if (json->comma)
        json_raw(json, ",", 1);
    json->comma = true;
    if (key != NULL) {
        put_string(json, key);
        json_raw(json, ":", 1);
    }
}

static void open_group(struct json *json, const char *key, const char *bracket)
{
    begin_value(json, key);
    json_raw(json, bracket, 1);
    json->comma = false;
}

static void close_group(struct json *json, const char *bracket)
{
    json_raw(json, bracket, 1);
    json->comma = true;
}

void json_begin(struct json *json, const char *key)
{
    open_group(json, key, "{");
}

void json_end(struct json *json)
{
    close_group(json, "}");
}

void json_list(struct json *json, const char *key)
{
    open_group(json, key, "[");
}

void json_list_end(struct json *json)
{
    close_group(json, "]");
}

void json_text(struct json *json, const char *key, const char *text)
{
    begin_value(json, key);
    put_string(json, text);
}

void json_number(struct json *json, const char *key, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, number);
    begin_value(json, key);
    json_raw(json, text, strlen(text));
}

void json_flag(struct json *json, const char *key, bool flag)
{
    begin_value(json, key);
    json_raw(json, flag ? "true" : "false", flag ? 4 : 5);
}
