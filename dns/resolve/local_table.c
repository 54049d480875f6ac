/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most questions are not for us: the lengths of the names that a table holds are a bitmap, which
 * sends nearly all of them away before anything is hashed.
 */
#include "dns/resolve/local_table.h"

#include "packet/siphash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

struct local_name {
    uint32_t next; /* in the bucket */
    uint32_t wire; /* lower case, offset in bytes[] */
    uint32_t first, last;
    uint8_t length, records;
};

struct local_record {
    uint32_t next;
    uint16_t type;
    union {
        uint8_t address[16];
        uint32_t name; /* PTR: what it points to */
    };
};

/* Index 0 of names and records means none. */
struct local_table {
    struct local_name *names;
    struct local_record *records;
    uint8_t *bytes;
    size_t name_count, name_room, record_count, record_room, byte_count, byte_room;
    unsigned hosts; /* names that are not there for a PTR */
    uint64_t lengths[4];
    uint32_t buckets[BUCKETS];
};

struct local_table *local_table_create(void)
{
    struct local_table *table = calloc(1, sizeof(*table));

    if (table)
        table->name_count = table->record_count = 1;
    return table;
}

void local_table_free(struct local_table *table)
{
    if (!table)
        return;
    free(table->names);
    free(table->records);
    free(table->bytes);
    free(table);
}

/* The array with room for `count` elements: where it was, or moved. NULL: no memory; it is still
 * there as it was. */
static void *with_room(void *array, size_t *room, size_t count, size_t element)
{
    if (count <= *room)
        return array;
    size_t more = count < 64 ? 64 : 2 * count;
    void *moved = realloc(array, more * element);
    if (moved)
        *room = more;
    return moved;
}

static unsigned bucket_of(const struct dns_name *lowered)
{
    /* Who can write the hosts file need not guess a key to make us slow. */
    static const uint8_t key[SIPHASH_KEY_BYTES];
    return siphash13(key, lowered->wire, lowered->length) % BUCKETS;
}

uint32_t local_table_find(const struct local_table *table, const struct dns_name *lowered)
{
    if (!(table->lengths[lowered->length / 64] >> (lowered->length % 64) & 1))
        return 0;
    uint32_t index = table->buckets[bucket_of(lowered)];
    while (index != 0) {
        const struct local_name *name = &table->names[index];
        if (name->length == lowered->length &&
            memcmp(table->bytes + name->wire, lowered->wire, name->length) == 0)
            break;
        index = name->next;
    }
    return index;
}

/* Finds or makes. 0: no memory. */
static uint32_t get_name(struct local_table *table, const struct dns_name *lowered)
{
    uint32_t index = local_table_find(table, lowered);
    unsigned bucket = bucket_of(lowered);

    if (index != 0)
        return index;
    struct local_name *names =
        with_room(table->names, &table->name_room, table->name_count + 1, sizeof(*names));
    if (!names)
        return 0;
    table->names = names;
    uint8_t *bytes =
        with_room(table->bytes, &table->byte_room, table->byte_count + lowered->length, 1);
    if (!bytes)
        return 0;
    table->bytes = bytes;
    index = (uint32_t)table->name_count++;
    table->names[index] = (struct local_name){
        .next = table->buckets[bucket],
        .wire = (uint32_t)table->byte_count,
        .length = lowered->length,
    };
    memcpy(table->bytes + table->byte_count, lowered->wire, lowered->length);
    table->byte_count += lowered->length;
    table->lengths[lowered->length / 64] |= 1ULL << (lowered->length % 64);
    table->buckets[bucket] = index;
    return index;
}

static bool has_record(const struct local_table *table, const struct local_name *name,
                       const struct local_record *record)
{
    for (uint32_t i = name->first; i != 0; i = table->records[i].next)
        if (table->records[i].type == record->type &&
            memcmp(table->records[i].address, record->address, sizeof(record->address)) == 0)
            return true;
    return false;
}

/* Behind the name's other records, once. */
static enum local_add add_record(struct local_table *table, uint32_t index,
                                 const struct local_record *record)
{
    struct local_name *name = &table->names[index];

    if (has_record(table, name, record))
        return LOCAL_ADDED;
    if (name->records == LOCAL_RECORDS_MAX)
        return LOCAL_TOO_MANY;
    struct local_record *records =
        with_room(table->records, &table->record_room, table->record_count + 1, sizeof(*records));
    if (!records)
        return LOCAL_NO_MEMORY;
    table->records = records;
    uint32_t added = (uint32_t)table->record_count++;
    table->records[added] = *record;
    *(name->last != 0 ? &table->records[name->last].next : &name->first) = added;
    name->last = added;
    name->records++;
    return LOCAL_ADDED;
}

void local_reverse_name(const struct ip_addr *address, struct dns_name *out)
{
    char text[32 * 2 + sizeof("ip6.arpa")];
    const uint8_t *b = address->bytes;

    if (address->version == 4) {
        snprintf(text, sizeof(text), "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
    } else {
        for (unsigned i = 0; i < 16; i++)
            snprintf(text + (size_t)i * 4, 5, "%x.%x.", b[15 - i] & 15u, b[15 - i] >> 4u);
        memcpy(text + 64, "ip6.arpa", sizeof("ip6.arpa"));
    }
    dns_name_from_text(text, out);
}

/* The first name that an address is given is what its reverse name points to. */
static enum local_add add_reverse(struct local_table *table, const struct ip_addr *address,
                                  uint32_t host)
{
    struct local_record record = {.type = DNS_TYPE_PTR};
    struct dns_name reverse;

    local_reverse_name(address, &reverse);
    uint32_t index = get_name(table, &reverse);
    if (index == 0)
        return LOCAL_NO_MEMORY;
    record.name = host;
    return table->names[index].first != 0 ? LOCAL_ADDED : add_record(table, index, &record);
}

enum local_add local_table_add(struct local_table *table, const struct dns_name *name,
                               const struct ip_addr *address, bool with_reverse)
{
    struct local_record record = {.type = address->version == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA};
    struct dns_name lowered;

    dns_name_lower(name, &lowered);
    uint32_t index = local_table_find(table, &lowered);
    if (table->record_count > 2 * LOCAL_ADDRESSES_MAX) /* each may bring a PTR */
        return LOCAL_TOO_MANY;
    if (index == 0) {
        if (table->hosts == DNS_LOCAL_ENTRIES)
            return LOCAL_TOO_MANY;
        index = get_name(table, &lowered);
        if (index == 0)
            return LOCAL_NO_MEMORY;
        table->hosts++;
    }
    memcpy(record.address, address->bytes, sizeof(record.address));
    enum local_add result = add_record(table, index, &record);
    if (result == LOCAL_ADDED && with_reverse)
        result = add_reverse(table, address, index);
    return result;
}

size_t local_table_records(const struct local_table *table, uint32_t index, uint16_t type,
                           struct dns_local_record out[LOCAL_RECORDS_MAX])
{
    size_t count = 0;

    for (uint32_t i = table->names[index].first; i != 0; i = table->records[i].next) {
        const struct local_record *record = &table->records[i];
        if (record->type != type && type != DNS_TYPE_ANY)
            continue;
        out[count] = (struct dns_local_record){record->type, 4, record->address};
        if (record->type == DNS_TYPE_AAAA)
            out[count].rdata_length = 16;
        if (record->type == DNS_TYPE_PTR) {
            out[count].rdata_length = table->names[record->name].length;
            out[count].rdata = table->bytes + table->names[record->name].wire;
        }
        count++;
    }
    return count;
}
