/* SPDX-License-Identifier: MIT
 * Bytes on their way out. Rules: bytes are added to the last chunk alone; one that is smaller than
 * OUTBOX_CHUNK is the only one; and so is one without bytes. */
#include "net/outbox.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { SIZE_FIRST = 512, SIZE_MOST = OUTBOX_CHUNK - (int)sizeof(outbox_chunk) };

static size_t room(const outbox_chunk *self) { return self->size - self->end; }

static void move_to_front(outbox_chunk *self)
{
    assert(self->start <= self->end);
    memmove(self->bytes, self->bytes + self->start, self->end - self->start);
    self->end -= self->start;
    self->start = 0;
}

static size_t size_for(size_t needed)
{
    size_t size = SIZE_FIRST;
    while (size < needed && size < SIZE_MOST) size *= 2;
    if (size > SIZE_MOST) size = SIZE_MOST;
    return size < needed ? needed : size;
}

static void give_back(const outbox *self, const memory *from, outbox_chunk *chunk)
{
    if (self->is_secret) memory_wipe(chunk->bytes, chunk->size);
    memory_free(from, chunk);
}

/* Makes the only chunk larger, up to the usual size. */
static bool grow_chunk(outbox *self, const memory *from, size_t needed)
{
    assert(self->first == self->last);
    size_t size = size_for(needed), head = sizeof(outbox_chunk);
    outbox_chunk *grown = memory_new(from, head + size);
    if (grown == NULL) return false;
    memcpy(grown, self->first, head + self->first->end);
    grown->size = size;
    give_back(self, from, self->first);
    self->first = self->last = grown;
    return true;
}

static void drop_first(outbox *self, const memory *from)
{
    assert(self->first != NULL);
    outbox_chunk *first = self->first;
    self->first = first->next;
    if (self->first == NULL) self->last = NULL;
    give_back(self, from, first);
}

static bool append(outbox *self, const memory *from, size_t size)
{
    outbox_chunk *chunk = memory_new(from, sizeof *chunk + size);
    if (chunk == NULL) return false;
    chunk->size = size;
    if (self->last == NULL) self->first = chunk;
    else self->last->next = chunk;
    self->last = chunk;
    return true;
}

static bool reserve(outbox *self, const memory *from, size_t length)
{
    if (length > SIZE_MAX / 4) return false;
    if (self->last == NULL) return append(self, from, size_for(length));
    if (room(self->last) >= length) return true;
    bool is_only = self->first == self->last;
    if (is_only && self->last->start > 0) move_to_front(self->last);
    if (room(self->last) >= length) return true;
    size_t needed = self->last->end + length;
    if (is_only && needed <= SIZE_MOST) return grow_chunk(self, from, needed);
    if (outbox_is_empty(self)) drop_first(self, from);
    return append(self, from, length > SIZE_MOST ? length : SIZE_MOST);
}

bool outbox_add(outbox *self, const memory *from, const char *bytes, size_t length)
{
    if (!reserve(self, from, length)) return false;
    memcpy(self->last->bytes + self->last->end, bytes, length);
    self->last->end += length;
    return true;
}

const char *outbox_head(const outbox *self, size_t *length)
{
    assert(!outbox_is_empty(self));
    *length = self->first->end - self->first->start;
    return self->first->bytes + self->first->start;
}

void outbox_consume(outbox *self, const memory *from, size_t count)
{
    assert(count <= self->first->end - self->first->start);
    outbox_chunk *first = self->first;
    first->start += count;
    if (first->start < first->end) return;
    first->start = first->end = 0;
    if (first != self->last || first->size > SIZE_MOST) drop_first(self, from);
}

void outbox_clear(outbox *self, const memory *from)
{
    size_t length;
    while (!outbox_is_empty(self)) {
        (void)outbox_head(self, &length);
        outbox_consume(self, from, length);
    }
}

void outbox_free(outbox *self, const memory *from)
{
    while (self->first != NULL) drop_first(self, from);
}
