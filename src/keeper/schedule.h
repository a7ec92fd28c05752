/* SPDX-License-Identifier: MIT
 * Instants in order: a binary heap of timers that are embedded in what they wake. Pure. */
#ifndef REDLOCK_KEEPER_SCHEDULE_H
#define REDLOCK_KEEPER_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/memory.h"

typedef struct timer {
    int64_t at_us;
    size_t place; /* in the heap, counted from 1; 0: not scheduled */
} timer;

typedef struct schedule {
    timer **heap; /* heap[1] is the first to come; the parent of n is n / 2 */
    size_t count;
    size_t size;
} schedule;

/* Room for `count` timers in all, so that schedule_set cannot fail. False when out of memory. */
bool schedule_reserve(schedule *self, const memory *from, size_t count);
void schedule_free(schedule *self, const memory *from);

/* Schedules, or moves what is scheduled. */
void schedule_set(schedule *self, timer *which, int64_t at_us);
/* Nothing happens to one that is not scheduled. */
void schedule_remove(schedule *self, timer *which);
/* NULL when nothing is scheduled. */
timer *schedule_first(const schedule *self);

#endif
