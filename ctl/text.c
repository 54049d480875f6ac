/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/text.h"

#include <inttypes.h>
#include <stdio.h>

#include "ctl/answer.h"

const char *text_rate(uint64_t bytes_per_second, char *out, size_t size)
{
    static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s"};
    double rate = (double)bytes_per_second * 8;
    unsigned unit = 0;

    for (; rate >= 1000 && unit < 3; unit++)
        rate /= 1000;
    snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", rate, units[unit]);
    return out;
}

void text_print_counts(const char *label, uint64_t queue, struct json_object *reasons)
{
    const char *before = ": ";

    if (queue + answer_sum(reasons) == 0)
        return;
    printf("%s", label);
    if (queue > 0) {
        printf("%squeue %" PRIu64, before, queue);
        before = ", ";
    }
    if (json_object_is_type(reasons, json_type_object)) {
        json_object_object_foreach(reasons, reason, count)
        {
            if (json_object_get_uint64(count) == 0)
                continue;
            printf("%s%s %" PRIu64, before, reason, json_object_get_uint64(count));
            before = ", ";
        }
    }
    printf("\n");
}

/* A number in five columns: 987, 12.3k, 4.5G */
static const char *short_number(uint64_t number, char *out, size_t size)
{
    static const char units[] = " kMGT";
    double value = (double)number;
    unsigned unit = 0;

    for (; value >= 1000 && unit < 4; unit++)
        value /= 1000;
    if (unit == 0)
        snprintf(out, size, "%" PRIu64, number);
    else
        snprintf(out, size, value < 100 ? "%.1f%c" : "%.0f%c", value, units[unit]);
    return out;
}

void text_print_cell(uint64_t number)
{
    char text[32];

    printf(" %8s", short_number(number, text, sizeof(text)));
}
