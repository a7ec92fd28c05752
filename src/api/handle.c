/* SPDX-License-Identifier: MIT
 * Lock handles: one block of memory with the key, the name and the holder's member behind it. */
#include "api/handle.h"

#include <assert.h>
#include <string.h>

#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "host/thread.h"
#include "wire/key.h"

/* The texts that a handle has behind it. */
typedef struct lock_texts {
    char owner[OWNER_FIELD_SIZE], hold_id[HOLD_ID_SIZE], holder[HOLDER_SIZE], mode[MODE_SIZE];
    size_t owner_length, holder_length, mode_length, key_length;
} lock_texts;

static void write_texts(lock_texts *out, const redlock_client *client, uint64_t number,
                        const wanted *what)
{
    out->mode_length = mode_write(out->mode, &what->as);
    out->owner_length = owner_write(out->owner, what->owner, what->owner_length);
    identity_hold_id(out->hold_id, &client->who, number);
    out->holder_length = holder_write(out->holder, out->owner, out->hold_id, client->who.who);
}

static redlock_lock *new_lock(redlock_client *client, const lock_texts *from, size_t name_length)
{
    size_t bytes = from->key_length + name_length + from->holder_length + from->mode_length + 4;
    redlock_lock *lock = memory_new(&client->memory, sizeof *lock + bytes);
    if (lock == NULL) return NULL;
    lock->key_length = (uint32_t)from->key_length;
    lock->name_length = (uint32_t)name_length;
    lock->holder_length = (uint32_t)from->holder_length;
    lock->mode_length = (uint16_t)from->mode_length;
    lock->owner_length = (uint16_t)(from->owner_length - 1);
    lock->hold_id_length = (uint16_t)strlen(from->hold_id);
    return lock;
}

static void put_texts(redlock_lock *lock, const char *key_prefix, const void *name,
                      const lock_texts *from)
{
    char *key = lock->bytes;
    char *own_name = key + lock->key_length + 1;
    char *own_holder = own_name + lock->name_length + 1;
    key_write(key, lock->key_length, key_prefix, name, lock->name_length);
    memcpy(own_name, name, lock->name_length);
    memcpy(own_holder, from->holder, lock->holder_length);
    memcpy(own_holder + lock->holder_length + 1, from->mode, lock->mode_length);
}

redlock_lock *handle_new(redlock_client *client, const void *name, size_t name_length,
                         const wanted *what, const redlock_options *options)
{
    assert(name_length > 0);
    assert(options->ttl_ms > 0);
    lock_texts made;
    uint64_t number = atomic_fetch_add_explicit(&client->hold_count, 1, memory_order_relaxed) + 1;
    write_texts(&made, client, number, what);
    made.key_length = key_write(NULL, 0, client->key_prefix, name, name_length);
    redlock_lock *lock = new_lock(client, &made, name_length);
    if (lock == NULL) return NULL;
    put_texts(lock, client->key_prefix, name, &made);
    atomic_store(&lock->standing, standing_word(0, what->as.kind));
    lock->slot = (int16_t)route_slot(&client->route, lock_key(lock), lock->key_length);
    lock->among = &client->keeper.locks;
    lock->is_reentrant = options->reentrant;
    lock->thread = thread_number();
    lock->claim_ms = (uint32_t)options->claim_ms;
    lock->hold.ttl_ms = options->ttl_ms;
    lock->hold.jitter = (uint32_t)number;
    lock->number = number;
    lock->on_lost = options->on_lost;
    lock->on_lost_arg = options->on_lost_arg;
    lock->on_risk = options->on_risk;
    lock->on_risk_arg = options->on_risk_arg;
    atomic_fetch_add(&client->references, 1);
    return lock;
}

void handle_hush(redlock_lock *lock)
{
    assert(lock_state(lock) == TENURE_SOUGHT);
    lock->on_lost = NULL;
    lock->on_risk = NULL;
}

redlock_status handle_introduce(redlock_lock *lock, const redlock_options *options)
{
    lock_use(lock);
    redlock_status status =
        keeper_introduce(&client_of(lock)->keeper, lock, options->on_lost, options->on_risk);
    if (status != REDLOCK_OK) lock_unuse(lock);
    return status;
}

/* In a child of fork, which the completion made, there is nothing to do. */
void handle_introduced(redlock_client *client, redlock_lock *lock)
{
    if (fork_guard_is_child(&client->fork)) return;
    keeper_introduced(&client->keeper, lock);
    lock_unuse(lock);
}

question handle_question(const redlock_lock *lock, enum script_id id, int64_t first_ms)
{
    assert(lock->key_length > 0);
    return (question){.script = id,
                      .key = lock_key(lock),
                      .key_length = lock->key_length,
                      .holder = lock_holder(lock),
                      .holder_length = lock->holder_length,
                      .mode = lock_mode(lock),
                      .mode_length = lock->mode_length,
                      .first_ms = first_ms};
}

bool handle_is_valid(const redlock_lock *lock, int64_t now_us)
{
    return now_us < atomic_load_explicit(&lock->hold.valid_until_us, memory_order_relaxed);
}

redlock_status handle_status(const redlock_lock *lock)
{
    if (lock_is_closed(lock)) return REDLOCK_ERR_CLOSED;
    return handle_is_valid(lock, clock_now_us()) ? REDLOCK_OK : REDLOCK_LOST;
}

/* ---- Letting go ---- */

redlock_status handle_let_go(redlock_client *client, redlock_lock *lock, bool waits, int64_t now_us)
{
    histogram_add(&client->stats.hold, now_us - lock->acquired_us);
    counter_add(&client->stats.release_failed,
                !handle_is_valid(lock, now_us) && !lock_is_closed(lock));
    return keeper_let_go(&client->keeper, lock, waits,
                         now_us); /* which may take the client with it */
}

void handle_leave(redlock_client *client, redlock_lock *lock)
{
    int64_t now_us = clock_now_us();
    if (!holds_leave(&client->holds, lock)) return;
    if (keeper_let_go(&client->keeper, lock, true, now_us) == REDLOCK_OK)
        keeper_unanswered(&client->keeper, lock, now_us);
}

/* ---- What it tells ---- */

/* A child of fork has the handle, and holds nothing. */
static bool is_ours(const redlock_lock *lock)
{
    return lock != NULL && !fork_guard_is_child(&client_of(lock)->fork);
}

bool redlock_is_held(const redlock_lock *lock)
{
    return is_ours(lock) && handle_is_valid(lock, clock_now_us());
}

redlock_loss redlock_why_lost(const redlock_lock *lock)
{
    return is_ours(lock) ? lock_why_lost(lock, clock_now_us()) : REDLOCK_LOSS_NONE;
}

int64_t redlock_remaining_ms(const redlock_lock *lock)
{
    int64_t now_us = clock_now_us();
    if (!is_ours(lock) || !handle_is_valid(lock, now_us)) return 0;
    return (atomic_load_explicit(&lock->hold.valid_until_us, memory_order_relaxed) - now_us) /
           US_PER_MS;
}

uint64_t redlock_fence(const redlock_lock *lock) { return is_ours(lock) ? lock_fence(lock) : 0; }

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
