/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/slots.h"

#include "runtime/lane/pages.h"

#define MEMORY_BYTES ((size_t)SLOT_COUNT * SLOT_BYTES)

int slots_map(struct slots *slots)
{
    return pages_map(&slots->memory, MEMORY_BYTES);
}

void slots_unmap(struct slots *slots)
{
    pages_unmap(slots->memory, MEMORY_BYTES);
}

void slots_start(struct slots *slots)
{
    slots->published = 0;
    slots->free_count = SLOT_COUNT;
    for (unsigned i = 0; i < SLOT_COUNT; i++)
        slots->free[i] = (uint16_t)(SLOT_COUNT - 1 - i);
}
