/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as a person reads them; what status and top share. */
#ifndef CAUSEWAY_CTL_TEXT_H
#define CAUSEWAY_CTL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

/* Bytes a second as "4.2 Gbit/s", into out; returns out. */
const char *text_rate(uint64_t bytes_per_second, char *out, size_t size);
/* Prints a line "LABEL: queue 1, reason 3" of what is not zero; nothing if all is. */
void text_print_counts(const char *label, uint64_t queue, struct json_object *reasons);
/* Prints a number in a column of nine: " 987", "12.3k", "4.5G". */
void text_print_cell(uint64_t number);

#endif
