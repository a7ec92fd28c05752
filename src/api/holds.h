/* SPDX-License-Identifier: MIT
 * The locks that this client holds, by name: what makes re-entry free, and tells a thread that it
 * would wait for itself. Private to the api.
 *
 * A reentrant hold is entered again by its owner without asking the server: `depth` counts the
 * entries, and the last one to leave releases. The count is safe because it never leaves the
 * process: what other processes of the same owner hold are members of their own on the server. */
#ifndef REDLOCK_API_HOLDS_H
#define REDLOCK_API_HOLDS_H

#include "keeper/keeper.h"
#include "host/mutex.h"
#include "wire/mode.h"

enum { HOLDS_FIRST_BUCKETS = 64 };

typedef struct holds {
    mutex mutex; /* guards the table and every lock's depth, thread and chain */
    const memory *memory;
    redlock_lock **bucket; /* chained by lock->same_bucket */
    size_t buckets;        /* a power of two */
    size_t count;
    redlock_lock *first[HOLDS_FIRST_BUCKETS];
} holds;

/* Who asks: an explicit owner as it stands in a mode field, or a thread. */
typedef struct claimant {
    uint64_t thread;
    const char *owner; /* encoded; length 0: the thread itself */
    size_t owner_length;
} claimant;

void holds_init(holds *self, const memory *from);
void holds_destroy(holds *self);

void holds_add(holds *self, redlock_lock *lock);

/* One entry leaves. True when it was the last: the lock is out of the table, and is to be
 * released. */
bool holds_leave(holds *self, redlock_lock *lock);

/* Enters a reentrant hold of this name and claimant again; NULL when there is none. */
redlock_lock *holds_enter(holds *self, const void *name, size_t name_length, const claimant *who);

/* Does the thread hold this name itself, validly at now_us, in a way that bars what it asks for as
 * `as`: in another mode, or with as many shared holds as there are permits? */
bool holds_excludes(holds *self, const void *name, size_t name_length, uint64_t thread,
                    const mode *as, int64_t now_us);

/* The calling thread becomes the one that a thread's hold belongs to. */
void holds_adopt(holds *self, redlock_lock *lock);

#endif
