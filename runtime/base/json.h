/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259) written into memory: what a daemon answers on its control socket.
 *
 * Values are appended in order; a key is NULL inside an array. Text may hold any bytes: what is not
 * plain ASCII is escaped byte by byte, so the result is always valid. A document that grows beyond
 * JSON_MAX_BYTES, or meets the end of memory, is marked as failed and stays as it is.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_JSON_H
#define CAUSEWAY_RUNTIME_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_BYTES (4u << 20)

struct json {
    char *bytes; /* malloc()ed, not NUL-terminated */
    size_t length, capacity;
    bool comma; /* the next value is not the first of its object or array */
    bool failed;
};

void json_free(struct json *json); /* idempotent; safe on a zeroed struct */

void json_begin(struct json *json, const char *key);
void json_end(struct json *json);
void json_list(struct json *json, const char *key);
void json_list_end(struct json *json);

void json_text(struct json *json, const char *key, const char *text);
void json_number(struct json *json, const char *key, uint64_t number);
void json_flag(struct json *json, const char *key, bool flag);

/* Appends bytes as they are (the newline behind a document). */
void json_raw(struct json *json, const char *bytes, size_t length);

#endif
