/* SPDX-License-Identifier: MIT
 * Memory of one thread that counts its blocks, and has as many of them as a test allows. */
#ifndef REDLOCK_TESTS_COUNTED_MEMORY_H
#define REDLOCK_TESTS_COUNTED_MEMORY_H

#include <stdlib.h>

#include "host/memory.h"

typedef struct counted_blocks {
    int allowed; /* until out of memory; -1: for ever */
    int live;
} counted_blocks;

static void *take_block(void *arg, size_t size)
{
    counted_blocks *self = arg;
    if (self->allowed == 0) return NULL;
    if (self->allowed > 0) self->allowed--;
    self->live++;
    return malloc(size);
}

static void give_block(void *arg, void *block)
{
    counted_blocks *self = arg;
    self->live--;
    free(block);
}

static inline memory counted_memory(counted_blocks *blocks)
{
    return (memory){.allocate = take_block, .release = give_block, .arg = blocks};
}

#endif
