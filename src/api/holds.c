/* SPDX-License-Identifier: MIT
 * The table of held locks: chained buckets that double while memory lasts. */
#include "api/holds.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "host/thread.h"

/* FNV-1a (Fowler, Noll, Vo), 64 bits, of which the better half is kept. */
static uint32_t hash(const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < length; i++) h = (h ^ at[i]) * UINT64_C(1099511628211);
    return (uint32_t)(h ^ h >> 32);
}

void holds_init(holds *self, const memory *from)
{
    *self = (holds){.memory = from, .buckets = HOLDS_FIRST_BUCKETS};
    self->bucket = self->first;
    mutex_init(&self->mutex);
}

void holds_destroy(holds *self)
{
    if (self->bucket != self->first) memory_free(self->memory, self->bucket);
    mutex_destroy(&self->mutex);
}

static redlock_lock **bucket_for(holds *self, uint32_t h)
{
    return &self->bucket[h & (self->buckets - 1)];
}

static void put_in_bucket(holds *self, redlock_lock *lock)
{
    assert(mutex_is_mine(&self->mutex));
    redlock_lock **bucket = bucket_for(self, lock->name_hash);
    lock->same_bucket = *bucket;
    *bucket = lock;
}

/* Without memory for a larger table the chains grow longer, and that is all. */
static void double_buckets(holds *self)
{
    assert(mutex_is_mine(&self->mutex));
    redlock_lock **old = self->bucket;
    size_t old_buckets = self->buckets;
    redlock_lock **larger = memory_new(self->memory, 2 * old_buckets * sizeof *larger);
    if (larger == NULL) return;
    self->bucket = larger;
    self->buckets = 2 * old_buckets;
    for (size_t i = 0; i < old_buckets; i++) {
        for (redlock_lock *lock = old[i], *next; lock != NULL; lock = next) {
            next = lock->same_bucket;
            put_in_bucket(self, lock);
        }
    }
    if (old != self->first) memory_free(self->memory, old);
}

void holds_add(holds *self, redlock_lock *lock)
{
    lock->name_hash = hash(lock_name(lock), lock->name_length);
    lock->depth = 1;
    mutex_lock(&self->mutex);
    if (++self->count > 2 * self->buckets) double_buckets(self);
    put_in_bucket(self, lock);
    mutex_unlock(&self->mutex);
}

static void take_from_bucket(holds *self, redlock_lock *lock)
{
    assert(mutex_is_mine(&self->mutex));
    assert(self->count > 0);
    redlock_lock **at = bucket_for(self, lock->name_hash);
    while (*at != lock) at = &(*at)->same_bucket;
    *at = lock->same_bucket;
    self->count--;
}

bool holds_leave(holds *self, redlock_lock *lock)
{
    mutex_lock(&self->mutex);
    assert(lock->depth > 0);
    bool is_last = --lock->depth == 0;
    if (is_last) take_from_bucket(self, lock);
    mutex_unlock(&self->mutex);
    return is_last;
}

static bool is_named(const redlock_lock *lock, uint32_t h, const void *name, size_t name_length)
{
    return lock->name_hash == h && lock->name_length == name_length &&
           memcmp(lock_name(lock), name, name_length) == 0;
}

/* A hold that is being adopted is in the table before the keeper was told of its fence and kind:
 * until then nobody enters it. */
static bool belongs_to(const redlock_lock *lock, const claimant *who)
{
    if (!lock->is_reentrant || lock_fence(lock) == 0) return false;
    if (who->owner_length == 0) return lock->owner_length == 0 && lock->thread == who->thread;
    return lock->owner_length == who->owner_length &&
           memcmp(lock_owner(lock), who->owner, who->owner_length) == 0;
}

redlock_lock *holds_enter(holds *self, const void *name, size_t name_length, const claimant *who)
{
    uint32_t h = hash(name, name_length);
    mutex_lock(&self->mutex);
    redlock_lock *lock = *bucket_for(self, h);
    while (lock != NULL && !(is_named(lock, h, name, name_length) && belongs_to(lock, who)))
        lock = lock->same_bucket;
    if (lock != NULL) lock->depth++;
    mutex_unlock(&self->mutex);
    return lock;
}

static bool is_valid_hold_of(const redlock_lock *lock, uint64_t thread, int64_t now_us)
{
    return lock->thread == thread && now_us < atomic_load(&lock->hold.valid_until_us);
}

bool holds_excludes(holds *self, const void *name, size_t name_length, uint64_t thread,
                    const mode *as, int64_t now_us)
{
    uint32_t h = hash(name, name_length);
    uint32_t shared = 0;
    bool does = false;
    mutex_lock(&self->mutex);
    for (redlock_lock *lock = *bucket_for(self, h); lock != NULL && !does;
         lock = lock->same_bucket) {
        if (!is_named(lock, h, name, name_length) || !is_valid_hold_of(lock, thread, now_us))
            continue;
        does = lock_kind(lock) == KIND_EXCLUSIVE || as->kind == KIND_EXCLUSIVE;
        shared++;
    }
    mutex_unlock(&self->mutex);
    return does || (as->permits > 0 && shared >= as->permits);
}

void holds_adopt(holds *self, redlock_lock *lock)
{
    mutex_lock(&self->mutex);
    lock->thread = thread_number();
    mutex_unlock(&self->mutex);
}
