/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doubly linked lists whose nodes are embedded in what they link. A list is a node of its own; a
 * node that is in no list points at itself, so that taking it out twice does no harm.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_LIST_H
#define CAUSEWAY_RUNTIME_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next, *previous;
};

#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list_node *node)
{
    node->next = node->previous = node;
}

static inline bool list_empty(const struct list_node *list)
{
    return list->next == list;
}

/* Puts node, which is in no list, behind `place`: behind the list itself is its front. */
static inline void list_insert(struct list_node *place, struct list_node *node)
{
    node->next = place->next;
    node->previous = place;
    place->next->previous = node;
    place->next = node;
}

static inline void list_append(struct list_node *list, struct list_node *node)
{
    list_insert(list->previous, node);
}

static inline void list_remove(struct list_node *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

#endif
