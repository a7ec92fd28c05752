/* SPDX-License-Identifier: MIT
 * Bytes on their way out: added at the end, sent from the head. Kept in chunks, so that ten
 * thousand commands are neither moved nor copied while they wait, and no single addition costs more
 * than a chunk. */
#ifndef REDLOCK_NET_OUTBOX_H
#define REDLOCK_NET_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "host/memory.h"

enum { OUTBOX_CHUNK = 64 * 1024 }; /* with its head; one that holds a larger addition is larger */

typedef struct outbox_chunk outbox_chunk;
struct outbox_chunk {
    outbox_chunk *next;
    size_t start, end, size; /* of the bytes */
    char bytes[];
};

/* All zero is empty. A small one has one chunk, which grows. */
typedef struct outbox {
    outbox_chunk *first, *last;
    bool is_secret; /* its memory is overwritten before it is given back */
} outbox;

/* Adds all of the bytes, next to each other; or none of them, and answers false (out of memory). */
bool outbox_add(outbox *self, const memory *from, const char *bytes, size_t length);

static inline bool outbox_is_empty(const outbox *self)
{
    return self->first == NULL || self->first->start == self->first->end;
}

/* The oldest bytes, as far as they lie next to each other. Not to be asked of an empty one. */
const char *outbox_head(const outbox *self, size_t *length);

/* So many bytes of the head were sent. */
void outbox_consume(outbox *self, const memory *from, size_t count);

/* Forgets the bytes, and keeps at most a chunk of memory. */
void outbox_clear(outbox *self, const memory *from);

void outbox_free(outbox *self, const memory *from);

#endif
