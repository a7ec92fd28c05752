/* SPDX-License-Identifier: MIT
 * Acquire, release, extend, and what a handle tells. */
#include <string.h>

#include "api/canceller.h"
#include "api/client.h"
#include "api/options.h"
#include "engine/acquire.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "lane/drive.h"
#include "wire/key.h"

enum { DEFAULT_TTL_MS = 30000, DEFAULT_CLAIM_MS = 2000 };
static const int64_t ttl_most_ms = LEASE_MOST_MS;

/* ---- What the caller asked for ---- */

static redlock_status check(redlock_options *o)
{
    if (o->ttl_ms == 0) o->ttl_ms = DEFAULT_TTL_MS;
    if (o->ttl_ms < 1 || o->ttl_ms > ttl_most_ms) return REDLOCK_ERR_TTL;
    if (o->wait_ms < REDLOCK_WAIT_FOREVER || o->max_hold_ms < 0 || o->claim_ms < 0) return REDLOCK_ERR_ARGUMENT;
    if (o->wait_ms > ttl_most_ms || o->max_hold_ms > ttl_most_ms) return REDLOCK_ERR_ARGUMENT;
    if (o->max_hold_ms > 0 && o->max_hold_ms < o->ttl_ms) o->ttl_ms = o->max_hold_ms;
    if (o->claim_ms == 0) o->claim_ms = DEFAULT_CLAIM_MS;
    if (o->claim_ms > o->ttl_ms) o->claim_ms = o->ttl_ms;
    return REDLOCK_OK;
}

/* ---- The handle ---- */

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

static redlock_lock *new_lock(redlock_client *client, const void *name, size_t name_length, const redlock_options *o)
{
    char hold_id[HOLD_ID_SIZE], holder[HOLDER_SIZE];
    uint64_t number = atomic_fetch_add_explicit(&client->holds, 1, memory_order_relaxed) + 1;
    identity_hold_id(hold_id, &client->who, number);
    size_t holder_length = holder_write(holder, 'x', hold_id, client->who.who);
    size_t key_length = key_write(NULL, 0, client->key_prefix, name, name_length);
    redlock_lock *lock = allocate(client, key_length, name_length, holder_length);
    if (lock == NULL) return NULL;
    key_write(lock->bytes, key_length, client->key_prefix, name, name_length);
    memcpy((char *)lock_name(lock), name, name_length);
    memcpy((char *)lock_holder(lock), holder, holder_length);
    lock->keeper = &client->keeper;
    lock->hold_id_length = (uint32_t)strlen(hold_id);
    lock->claim_ms = o->claim_ms;
    lock->hold.ttl_ms = o->ttl_ms;
    lock->hold.jitter = (uint32_t)number;
    lock->on_lost = o->on_lost;
    lock->on_lost_arg = o->on_lost_arg;
    atomic_fetch_add(&client->references, 1);
    return lock;
}

static question question_of(const redlock_lock *lock, enum script_id id, int64_t first_ms)
{
    return (question){.script = id,
                      .key = lock_key(lock),
                      .key_length = lock->key_length,
                      .holder = lock_holder(lock),
                      .holder_length = lock->holder_length,
                      .first_ms = first_ms};
}

/* ---- Acquire ---- */

static acquire_terms terms_of(const redlock_client *client, const redlock_lock *lock, const redlock_options *o,
                              int64_t now_us)
{
    acquire_terms terms = {.hold_id = lock_hold_id(lock),
                           .hold_id_length = lock->hold_id_length,
                           .ttl_ms = o->ttl_ms,
                           .claim_ms = o->claim_ms,
                           .deadline_us = now_us + client->timeout_us,
                           .timeout_us = client->timeout_us,
                           .may_wait = o->wait_ms != 0,
                           .seed = client->config.jitter_seed ^ lock->hold.jitter};
    if (o->wait_ms > 0) terms.deadline_us = now_us + o->wait_ms * US_PER_MS;
    if (o->wait_ms < 0) terms.deadline_us = NEVER;
    return terms;
}

static void run(redlock_client *client, redlock_lock *lock, lane *on, acquire *op, const redlock_options *o)
{
    char waiter[WAITER_SIZE];
    int64_t now_us = clock_now_us();
    acquire_terms terms = terms_of(client, lock, o, now_us);
    question asked = question_of(lock, SCRIPT_ACQUIRE, o->ttl_ms);
    asked.grace_ms = client->grace_ms;
    if (terms.may_wait) {
        lock->inbox_number = on->number;
        asked.waiter = waiter;
        asked.waiter_length = waiter_write(waiter, o->claim_ms, on->channel, lock_holder(lock));
    }
    exchange asks = {.round_trip = &client->stats.round_trip};
    exchange_begin(&asks, &op->asks, &on->command, &asked);
    lane_stops stops = {.fd = {client->closing_fd, canceller_fd(o->canceller)}};
    on->command.may_spin = !on->was_contended;
    acquire_begin(op, &terms, on->inbox_is_subscribed, now_us);
    if (canceller_is_set(o->canceller)) acquire_stop(op, REDLOCK_CANCELLED, now_us);
    drive_acquire(on, op, &asks, &client->nonces, &stops);
    on->was_contended = op->was_handed_over || op->is_queued;
}

static void count(redlock_client *client, const acquire *op, int64_t waited_us)
{
    redlock_stats *stats = &client->stats;
    counter_add(&stats->rechecks, op->rechecks);
    switch (op->status) {
    case REDLOCK_OK:
        counter_add(&stats->acquired, 1);
        counter_add(&stats->handed_over, op->was_handed_over);
        histogram_add(&stats->wait, waited_us);
        break;
    case REDLOCK_BUSY: counter_add(&stats->busy, 1); break;
    case REDLOCK_TIMED_OUT: counter_add(&stats->timed_out, 1); break;
    case REDLOCK_CANCELLED: counter_add(&stats->cancelled, 1); break;
    default: counter_add(&stats->failed, 1);
    }
}

static void adopt(redlock_client *client, redlock_lock *lock, const acquire *op, const redlock_options *o,
                  int64_t now_us)
{
    lock->fence = op->fence;
    lock->was_handed_over = op->was_handed_over;
    lock->acquired_us = now_us;
    hold_begin(&lock->hold, o->ttl_ms, op->lease_ms, op->valid_until_us, o->auto_renew, o->max_hold_ms, now_us,
               lock->hold.jitter);
    keeper_adopt(&client->keeper, lock);
}

/* What the acquisition came to: a held lock, or one that is undone, or nothing. */
static redlock_status settle(redlock_client *client, redlock_lock *lock, const acquire *op, const redlock_options *o,
                             int64_t now_us)
{
    if (op->status == REDLOCK_OK) {
        adopt(client, lock, op, o, now_us);
        return REDLOCK_OK;
    }
    detail_write(o->detail, op->status < 0 ? op->text : "");
    if (op->is_owed) keeper_undo(&client->keeper, lock, now_us);
    else keeper_free(&client->keeper, lock);
    return op->status;
}

static redlock_status acquire_lock(redlock_client *client, redlock_lock *lock, const redlock_options *o)
{
    lane *on;
    int64_t began_us = clock_now_us();
    redlock_status status = pool_borrow(&client->lanes, &on, began_us);
    if (status != REDLOCK_OK) {
        keeper_free(&client->keeper, lock);
        return status;
    }
    acquire op;
    run(client, lock, on, &op, o);
    int64_t now_us = clock_now_us();
    count(client, &op, now_us - began_us);
    status = settle(client, lock, &op, o, now_us);
    /* Only now: redlock_close waits for the lanes, and then undoes what is held. */
    pool_return(&client->lanes, on, now_us);
    return status;
}

redlock_status redlock_acquire_bytes(redlock_client *client, const void *name, size_t name_length,
                                     const redlock_options *options, redlock_lock **lock)
{
    redlock_options o;
    if (lock == NULL) return REDLOCK_ERR_ARGUMENT;
    *lock = NULL;
    if (client == NULL || !options_copy(&o, sizeof o, options)) return REDLOCK_ERR_ARGUMENT;
    detail_write(o.detail, "");
    redlock_status status = client_enter(client);
    if (status == REDLOCK_OK) status = check(&o);
    if (status != REDLOCK_OK) return status;
    if (name == NULL || name_length == 0 || name_length > KEY_NAME_MAX) return REDLOCK_ERR_NAME;
    bool needs_thread = o.auto_renew || o.on_lost != NULL || o.wait_ms != 0;
    status = keeper_reserve(&client->keeper, needs_thread);
    if (status != REDLOCK_OK) return status;
    redlock_lock *made = new_lock(client, name, name_length, &o);
    if (made == NULL) {
        keeper_unreserve(&client->keeper);
        return REDLOCK_ERR_MEMORY;
    }
    status = acquire_lock(client, made, &o);
    if (status == REDLOCK_OK) *lock = made;
    return status;
}

redlock_status redlock_acquire(redlock_client *client, const char *name, const redlock_options *options,
                               redlock_lock **lock)
{
    return redlock_acquire_bytes(client, name, name == NULL ? 0 : strlen(name), options, lock);
}

/* ---- Release and extend ---- */

static bool is_valid(const redlock_lock *lock, int64_t now_us)
{
    bool is_lost = atomic_load_explicit(&lock->is_lost, memory_order_relaxed);
    return !is_lost && now_us < atomic_load_explicit(&lock->hold.valid_until_us, memory_order_relaxed);
}

/* A release that finds nothing was taken from us, unless an earlier attempt of it may have been the one. */
static redlock_status judge_release(const redlock_lock *lock, const request *asked)
{
    if (asked->status != REDLOCK_OK) return asked->status;
    if (asked->code != RELEASE_ABSENT) return REDLOCK_OK;
    return asked->is_ambiguous && is_valid(lock, clock_now_us()) ? REDLOCK_OK : REDLOCK_LOST;
}

/* The lease is over: nobody waits for this release, so it is made in the background. */
static redlock_status let_go_of_lost(redlock_client *client, redlock_lock *lock, int64_t now_us)
{
    counter_add(&client->stats.release_failed, 1);
    if (lock->is_gone) keeper_free(&client->keeper, lock);
    else keeper_undo(&client->keeper, lock, now_us);
    return REDLOCK_LOST;
}

static redlock_status release_held(redlock_client *client, redlock_lock *lock)
{
    exchange asks = {0};
    request asked;
    question about = question_of(lock, SCRIPT_RELEASE, client->linger_ms);
    redlock_status status = client_ask_and_wait(client, &asks, &asked, &about, !lock->was_handed_over);
    if (status == REDLOCK_OK) status = judge_release(lock, &asked);
    counter_add(status == REDLOCK_OK ? &client->stats.released : &client->stats.release_failed, 1);
    if (status < 0 && status != REDLOCK_ERR_CLOSED) keeper_undo(&client->keeper, lock, clock_now_us());
    else keeper_free(&client->keeper, lock);
    return status;
}

redlock_status redlock_release(redlock_lock *lock)
{
    if (lock == NULL) return REDLOCK_OK;
    redlock_client *client = client_of(lock);
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    int64_t now_us = clock_now_us();
    histogram_add(&client->stats.hold, now_us - lock->acquired_us);
    keeper_forget(&client->keeper, lock);
    if (atomic_load(&lock->is_closed)) {
        keeper_free(&client->keeper, lock);
        return REDLOCK_ERR_CLOSED;
    }
    return is_valid(lock, now_us) ? release_held(client, lock) : let_go_of_lost(client, lock, now_us);
}

redlock_status redlock_extend(redlock_lock *lock, int64_t ttl_ms)
{
    if (lock == NULL) return REDLOCK_ERR_ARGUMENT;
    if (ttl_ms < 1 || ttl_ms > ttl_most_ms) return REDLOCK_ERR_TTL;
    redlock_client *client = client_of(lock);
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    if (atomic_load(&lock->is_closed)) return REDLOCK_ERR_CLOSED;
    if (!is_valid(lock, clock_now_us())) return REDLOCK_LOST;
    exchange asks = {0};
    request asked;
    question about = question_of(lock, SCRIPT_RENEW, ttl_ms);
    status = client_ask_and_wait(client, &asks, &asked, &about, true);
    if (status == REDLOCK_OK) status = asked.status;
    if (status != REDLOCK_OK) return status;
    if (asked.code == RENEW_ABSENT) {
        keeper_lost(&client->keeper, lock);
        return REDLOCK_LOST;
    }
    if (asked.code != RENEW_DONE || asked.value[0] <= 0 || asked.value[0] > ttl_most_ms) return REDLOCK_ERR_PROTOCOL;
    keeper_extended(&client->keeper, lock, asked.sent_us, asked.value[0]);
    return REDLOCK_OK;
}

/* ---- What a handle tells ---- */

bool redlock_is_held(const redlock_lock *lock)
{
    return lock != NULL && is_valid(lock, clock_now_us());
}

int64_t redlock_remaining_ms(const redlock_lock *lock)
{
    int64_t now_us = clock_now_us();
    if (lock == NULL || !is_valid(lock, now_us)) return 0;
    return (atomic_load_explicit(&lock->hold.valid_until_us, memory_order_relaxed) - now_us) / US_PER_MS;
}

uint64_t redlock_fence(const redlock_lock *lock)
{
    return lock == NULL ? 0 : lock->fence;
}

const char *redlock_name(const redlock_lock *lock, size_t *length)
{
    if (lock == NULL) return NULL;
    if (length != NULL) *length = lock->name_length;
    return lock_name(lock);
}
