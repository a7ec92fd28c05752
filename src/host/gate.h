/* SPDX-License-Identifier: MIT
 * Counts who is inside, and lets one wait until all have left.
 *
 *     gate_enter ... gate_leave     any number of threads, nested as they like
 *     gate_close                    once: waits for the last to leave
 *
 * It keeps nobody out: who may still enter is for others to say. */
#ifndef REDLOCK_HOST_GATE_H
#define REDLOCK_HOST_GATE_H

#include "host/mutex.h"

typedef struct gate {
    _Atomic unsigned inside; /* the highest bit: it is being closed */
    mutex mutex;
    pthread_cond_t emptied;
    bool is_empty; /* the last has left, after the close began */
} gate;

void gate_init(gate *self);
void gate_destroy(gate *self);

/* Neither takes the mutex, but for the last to leave one that is being closed. */
void gate_enter(gate *self);
void gate_leave(gate *self);

void gate_close(gate *self);

#endif
