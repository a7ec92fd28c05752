/* SPDX-License-Identifier: MIT
 * A mutex that knows who has it, in builds with assertions: so that "with the mutex" is checked
 * where it is said. */
#ifndef REDLOCK_HOST_MUTEX_H
#define REDLOCK_HOST_MUTEX_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "host/cancellation.h"
#include "host/thread.h"

typedef struct mutex {
    pthread_mutex_t inner;
    _Atomic uint64_t owner; /* the thread's number; 0: nobody, or a build without assertions */
} mutex;

static inline void mutex_init(mutex *self)
{
    pthread_mutex_init(&self->inner, NULL);
    atomic_init(&self->owner, 0);
}

static inline void mutex_destroy(mutex *self) { pthread_mutex_destroy(&self->inner); }

#ifdef NDEBUG
static inline void mutex_note_owner_(mutex *self, uint64_t thread) { (void)self, (void)thread; }
#define MUTEX_ME_ 0
#else
static inline void mutex_note_owner_(mutex *self, uint64_t thread)
{
    atomic_store_explicit(&self->owner, thread, memory_order_relaxed);
}
#define MUTEX_ME_ thread_number()

/* Only for assertions. */
static inline bool mutex_is_mine(const mutex *self)
{
    return atomic_load_explicit(&self->owner, memory_order_relaxed) == thread_number();
}
#endif

static inline void mutex_lock(mutex *self)
{
    assert(!mutex_is_mine(self));
    pthread_mutex_lock(&self->inner);
    mutex_note_owner_(self, MUTEX_ME_);
}

static inline void mutex_unlock(mutex *self)
{
    assert(mutex_is_mine(self));
    mutex_note_owner_(self, 0);
    pthread_mutex_unlock(&self->inner);
}

/* Gives the mutex back while it waits for the condition. */
static inline void mutex_wait(mutex *self, pthread_cond_t *until)
{
    assert(mutex_is_mine(self));
    mutex_note_owner_(self, 0);
    int before = cancellation_defer();
    pthread_cond_wait(until, &self->inner);
    cancellation_restore(before);
    mutex_note_owner_(self, MUTEX_ME_);
}

#endif
