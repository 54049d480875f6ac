/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message/name.h"

#include "dns/message/message.h"

#include <string.h>

#define POINTER_BITS 0xc0 /* RFC 1035 4.1.4 */

/* A name has no more labels than this, so more pointers in a row are there to cost us time. */
#define POINTERS_MAX 127

size_t dns_name_read(const uint8_t *message, size_t length, size_t offset, struct dns_name *out)
{
    size_t at = offset, run = offset, end = 0, used = 0;
    unsigned pointers = 0;

    for (;;) {
        if (at >= length)
            return 0;
        size_t label = message[at];
        if (label == 0)
            break;
        if (label >= POINTER_BITS) {
            if (length - at < 2 || ++pointers > POINTERS_MAX)
                return 0;
            size_t target = (label & ~(size_t)POINTER_BITS) << 8 | message[at + 1];
            if (target < DNS_HEADER_BYTES || target >= run)
                return 0;
            if (end == 0)
                end = at + 2;
            at = run = target;
            continue;
        }
        if (label > DNS_LABEL_BYTES || label >= length - at || used + 1 + label >= DNS_NAME_BYTES)
            return 0;
        if (out)
            memcpy(out->wire + used, message + at, 1 + label);
        used += 1 + label;
        at += 1 + label;
    }
    if (out) {
        out->wire[used] = 0;
        out->length = (uint8_t)(used + 1);
    }
    return end != 0 ? end : at + 1;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One character, plain or escaped; *text moves behind it. -1: not a character. */
static int text_character(const char **text)
{
    const char *p = *text;

    if (p[0] != '\\') {
        *text = p + 1;
        return (unsigned char)p[0];
    }
    if (is_digit(p[1]) && is_digit(p[2]) && is_digit(p[3])) {
        int value = (p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0');
        *text = p + 4;
        return value <= 255 ? value : -1;
    }
    if (p[1] == '\0' || is_digit(p[1]))
        return -1;
    *text = p + 2;
    return (unsigned char)p[1];
}

bool dns_name_from_text(const char *text, struct dns_name *out)
{
    size_t used = 0, label = 0; /* label: where its length stands */

    if (strcmp(text, ".") == 0)
        text = "";
    else if (text[0] == '\0')
        return false;
    while (text[0] != '\0') {
        label = used++;
        while (text[0] != '\0' && text[0] != '.') {
            int c = text_character(&text);
            if (c < 0 || used >= DNS_NAME_BYTES - 1 || used - label > DNS_LABEL_BYTES)
                return false;
            out->wire[used++] = (uint8_t)c;
        }
        if (used - label == 1)
            return false; /* an empty label */
        out->wire[label] = (uint8_t)(used - label - 1);
        if (text[0] == '.')
            text++;
    }
    out->wire[used++] = 0;
    out->length = (uint8_t)used;
    return true;
}

static bool is_plain(uint8_t c)
{
    return c > ' ' && c < 0x7f && !strchr("\\.\"();@$", c);
}

static char *put_character(char *out, uint8_t c)
{
    if (!is_plain(c)) {
        *out++ = '\\';
        *out++ = (char)('0' + c / 100);
        *out++ = (char)('0' + c / 10 % 10);
        c = (uint8_t)('0' + c % 10);
    }
    *out++ = (char)c;
    return out;
}

const char *dns_name_to_text(const struct dns_name *name, char *out)
{
    const uint8_t *label = name->wire;
    char *p = out;

    for (; *label != 0; label += 1 + *label) {
        if (p != out)
            *p++ = '.';
        for (unsigned i = 1; i <= *label; i++)
            p = put_character(p, label[i]);
    }
    if (p == out)
        *p++ = '.';
    *p = '\0';
    return out;
}

/* A length byte is at most 63, below 'A': a wire form may be lowered without looking for labels. */
static inline uint8_t lower(uint8_t c)
{
    return (uint8_t)(c + ((uint8_t)(c - 'A') < 26 ? 'a' - 'A' : 0));
}

static bool equal_bytes(const uint8_t *a, const uint8_t *b, size_t length)
{
    unsigned difference = 0;

    for (size_t i = 0; i < length; i++)
        difference |= (unsigned)(lower(a[i]) ^ lower(b[i]));
    return difference == 0;
}

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
    return a->length == b->length && equal_bytes(a->wire, b->wire, a->length);
}

bool dns_name_same_bytes(const struct dns_name *a, const struct dns_name *b)
{
    return a->length == b->length && memcmp(a->wire, b->wire, a->length) == 0;
}

bool dns_name_within(const struct dns_name *name, const struct dns_name *zone)
{
    size_t at = 0;

    while ((size_t)name->length - at > zone->length)
        at += 1 + (size_t)name->wire[at];
    return (size_t)name->length - at == zone->length &&
           equal_bytes(name->wire + at, zone->wire, zone->length);
}

void dns_name_lower(const struct dns_name *name, struct dns_name *out)
{
    out->length = name->length;
    for (size_t i = 0; i < name->length; i++)
        out->wire[i] = lower(name->wire[i]);
}
