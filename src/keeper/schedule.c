/* SPDX-License-Identifier: MIT
 * A binary heap (Williams 1964) with places kept in its elements. Pure. */
#include "keeper/schedule.h"

#include <assert.h>

bool schedule_reserve(schedule *self, const memory *from, size_t count)
{
    if (count < self->size) return true;
    size_t size = self->size == 0 ? 16 : self->size * 2;
    while (size <= count) size *= 2;
    timer **grown =
        memory_regrow(from, self->heap, self->size * sizeof *grown, size * sizeof *grown);
    if (grown == NULL) return false;
    self->heap = grown;
    self->size = size;
    return true;
}

void schedule_free(schedule *self, const memory *from)
{
    memory_free(from, self->heap);
    *self = (schedule){0};
}

static void put(schedule *self, timer *which, size_t place)
{
    assert(place > 0 && place <= self->count);
    self->heap[place] = which;
    which->place = place;
}

static void rise(schedule *self, timer *which)
{
    size_t place = which->place;
    for (; place > 1 && self->heap[place / 2]->at_us > which->at_us; place /= 2)
        put(self, self->heap[place / 2], place);
    put(self, which, place);
}

static size_t earlier_child(const schedule *self, size_t place)
{
    size_t child = place * 2;
    if (child < self->count && self->heap[child + 1]->at_us < self->heap[child]->at_us) child++;
    return child;
}

static void sink(schedule *self, timer *which)
{
    size_t place = which->place;
    while (place * 2 <= self->count) {
        size_t child = earlier_child(self, place);
        if (self->heap[child]->at_us >= which->at_us) break;
        put(self, self->heap[child], place);
        place = child;
    }
    put(self, which, place);
}

void schedule_set(schedule *self, timer *which, int64_t at_us)
{
    assert(self->heap != NULL);
    assert(which->place <= self->count);
    which->at_us = at_us;
    if (which->place == 0) put(self, which, ++self->count);
    rise(self, which);
    sink(self, which);
}

void schedule_remove(schedule *self, timer *which)
{
    assert(which->place <= self->count);
    if (which->place == 0) return;
    timer *last = self->heap[self->count--];
    size_t place = which->place;
    which->place = 0;
    if (last == which) return;
    put(self, last, place);
    rise(self, last);
    sink(self, last);
}

timer *schedule_first(const schedule *self) { return self->count > 0 ? self->heap[1] : NULL; }
