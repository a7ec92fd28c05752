/* SPDX-License-Identifier: MIT
 * Lock handles: one block of memory with the key, the name and the holder's member behind it. */
#include "api/handle.h"

#include <string.h>

#include "engine/lease.h"
#include "host/clock.h"
#include "host/thread.h"
#include "wire/key.h"

static redlock_lock *allocate(redlock_client *client, size_t key_length, size_t name_length, size_t holder_length)
{
    size_t bytes = key_length + name_length + holder_length + 3;
    redlock_lock *lock = memory_new(&client->memory, sizeof *lock + bytes);
    if (lock == NULL) return NULL;
    lock->key_length = (uint32_t)key_length;
    lock->name_length = (uint32_t)name_length;
    lock->holder_length = (uint32_t)holder_length;
    return lock;
}

static void write_bytes(redlock_lock *lock, const char *key_prefix, const void *name, const char *holder)
{
    char *key = lock->bytes;
    char *own_name = key + lock->key_length + 1;
    char *own_holder = own_name + lock->name_length + 1;
    key_write(key, lock->key_length, key_prefix, name, lock->name_length);
    memcpy(own_name, name, lock->name_length);
    memcpy(own_holder, holder, lock->holder_length);
}

/* How many bytes the owner takes in a mode field: it ends the field. */
static size_t owner_bytes(const char *field, size_t length)
{
    const char *at = memchr(field, '@', length);
    return at == NULL ? 0 : length - (size_t)(at - field) - 1;
}

redlock_lock *handle_new(redlock_client *client, const void *name, size_t name_length, const mode *as,
                         const redlock_options *options)
{
    char field[MODE_SIZE], hold_id[HOLD_ID_SIZE], holder[HOLDER_SIZE];
    uint64_t number = atomic_fetch_add_explicit(&client->hold_count, 1, memory_order_relaxed) + 1;
    size_t mode_length = mode_write(field, as);
    identity_hold_id(hold_id, &client->who, number);
    size_t holder_length = holder_write(holder, field, hold_id, client->who.who);
    size_t key_length = key_write(NULL, 0, client->key_prefix, name, name_length);
    redlock_lock *lock = allocate(client, key_length, name_length, holder_length);
    if (lock == NULL) return NULL;
    write_bytes(lock, client->key_prefix, name, holder);
    atomic_store(&lock->kind, as->kind);
    lock->mode_length = (uint16_t)mode_length;
    lock->owner_length = (uint16_t)owner_bytes(field, mode_length);
    lock->hold_id_length = (uint16_t)strlen(hold_id);
    lock->keeper = &client->keeper;
    lock->is_reentrant = options->reentrant;
    lock->thread = thread_number();
    lock->claim_ms = options->claim_ms;
    lock->hold.ttl_ms = options->ttl_ms;
    lock->hold.jitter = (uint32_t)number;
    lock->number = number;
    lock->on_lost = options->on_lost;
    lock->on_lost_arg = options->on_lost_arg;
    atomic_fetch_add(&client->references, 1);
    return lock;
}

question handle_question(const redlock_lock *lock, enum script_id id, int64_t first_ms)
{
    return (question){.script = id,
                      .key = lock_key(lock),
                      .key_length = lock->key_length,
                      .holder = lock_holder(lock),
                      .holder_length = lock->holder_length,
                      .first_ms = first_ms};
}

bool handle_is_valid(const redlock_lock *lock, int64_t now_us)
{
    bool is_lost = atomic_load_explicit(&lock->is_lost, memory_order_relaxed);
    return !is_lost && now_us < atomic_load_explicit(&lock->hold.valid_until_us, memory_order_relaxed);
}

/* ---- What it tells ---- */

bool redlock_is_held(const redlock_lock *lock) { return lock != NULL && handle_is_valid(lock, clock_now_us()); }

int64_t redlock_remaining_ms(const redlock_lock *lock)
{
    int64_t now_us = clock_now_us();
    if (lock == NULL || !handle_is_valid(lock, now_us)) return 0;
    return (atomic_load_explicit(&lock->hold.valid_until_us, memory_order_relaxed) - now_us) / US_PER_MS;
}

uint64_t redlock_fence(const redlock_lock *lock)
{
    return lock == NULL ? 0 : atomic_load_explicit(&lock->fence, memory_order_relaxed);
}

redlock_mode redlock_lock_mode(const redlock_lock *lock)
{
    return lock != NULL && lock_kind(lock) == KIND_SHARED ? REDLOCK_SHARED : REDLOCK_EXCLUSIVE;
}

const char *redlock_name(const redlock_lock *lock, size_t *length)
{
    if (lock == NULL) return NULL;
    if (length != NULL) *length = lock->name_length;
    return lock_name(lock);
}
