/* SPDX-License-Identifier: MIT
 * Any reply of a server, read from the input as a tree:
 *
 *     tree   kind (1 byte, modulo 6), then
 *     integer   a number;  string, status, error   length (1 byte), bytes;  array   count (1 byte),
 * trees */
#ifndef REDLOCK_TESTS_FUZZ_REPLY_TREE_H
#define REDLOCK_TESTS_FUZZ_REPLY_TREE_H

#include "fuzz.h"

#include "wire/reply.h"

enum { TREE_DEPTH_MAX = 4, TREE_COUNT_MAX = 12, TREE_KINDS = REPLY_ARRAY + 1 };

static inline reply *tree_items(size_t count)
{
    reply *items = calloc(count, sizeof *items);

    if (items == NULL) exit(1);
    return items;
}

static inline void tree_build(reply *out, source *from, int depth)
{
    *out = (reply){.kind = (enum reply_kind)(take_byte(from) % TREE_KINDS)};
    if (out->kind == REPLY_INTEGER) out->integer = take_number(from);
    if (out->kind == REPLY_STRING || out->kind == REPLY_STATUS || out->kind == REPLY_ERROR)
        out->text = take_text(from, &out->length);
    if (out->kind != REPLY_ARRAY || depth == TREE_DEPTH_MAX) return;
    out->count = take_byte(from) % TREE_COUNT_MAX;
    if (out->count == 0) return;

    reply *items = tree_items(out->count);

    for (size_t i = 0; i < out->count; i++) tree_build(&items[i], from, depth + 1);
    out->items = items;
}

static inline void tree_free(const reply *from)
{
    for (size_t i = 0; i < from->count; i++) tree_free(&from->items[i]);
    free((void *)(uintptr_t)from->items);
    free((void *)(uintptr_t)from->text);
}

#endif
