/* SPDX-License-Identifier: MIT
 * Acquire, blocking; and what asynchronous acquisition shares with it. */
#include <string.h>

#include "api/canceller.h"
#include "api/acquisition.h"
#include "api/options.h"
#include "engine/acquire.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "host/thread.h"
#include "lane/drive.h"
#include "wire/key.h"

enum { DEFAULT_TTL_MS = 30000, DEFAULT_CLAIM_MS = 2000, NEAR_US = 1000 };

/* ---- What the caller asked for ---- */

redlock_status acquisition_check(redlock_options *o)
{
    if ((unsigned)o->mode > REDLOCK_SHARED || (unsigned)o->policy > REDLOCK_PREFER_WRITERS)
        return REDLOCK_ERR_ARGUMENT;
    if (o->permits > 0 && o->mode != REDLOCK_SHARED) return REDLOCK_ERR_ARGUMENT;
    if (o->owner != NULL &&
        (!o->reentrant || o->owner[0] == '\0' || strlen(o->owner) > MODE_OWNER_MAX))
        return REDLOCK_ERR_ARGUMENT;
    if (o->ttl_ms == 0) o->ttl_ms = DEFAULT_TTL_MS;
    if (o->ttl_ms < 1 || o->ttl_ms > LEASE_MOST_MS) return REDLOCK_ERR_TTL;
    if (o->wait_ms < REDLOCK_WAIT_FOREVER || o->max_hold_ms < 0 || o->claim_ms < 0)
        return REDLOCK_ERR_ARGUMENT;
    if (o->wait_ms > LEASE_MOST_MS || o->max_hold_ms > LEASE_MOST_MS) return REDLOCK_ERR_ARGUMENT;
    if (o->max_hold_ms > 0 && o->max_hold_ms < o->ttl_ms) o->ttl_ms = o->max_hold_ms;
    if (o->claim_ms == 0) o->claim_ms = DEFAULT_CLAIM_MS;
    if (o->claim_ms > o->ttl_ms) o->claim_ms = o->ttl_ms;
    return REDLOCK_OK;
}

/* ---- Acquire ---- */

acquire_terms acquisition_terms(const redlock_client *client, const redlock_lock *lock,
                                const redlock_options *o, const limits *within)
{
    return (acquire_terms){.hold_id = lock_hold_id(lock),
                           .hold_id_length = lock->hold_id_length,
                           .ttl_ms = o->ttl_ms,
                           .claim_ms = o->claim_ms,
                           .wait_until_us = within->wait_until_us,
                           .deadline_us = within->deadline_us,
                           .timeout_us = client->timeout_us,
                           .may_wait = o->wait_ms != 0,
                           .kind = lock_kind(lock),
                           .seed = client->config.jitter_seed ^ lock->hold.jitter};
}

question acquisition_question(redlock_client *client, redlock_lock *lock, const redlock_options *o,
                              const lane *on, char inbox[INBOX_SIZE])
{
    question asked = handle_question(lock, SCRIPT_ACQUIRE, o->ttl_ms);
    asked.grace_ms = client->grace_ms;
    if (o->wait_ms == 0) return asked;
    lock->inbox_number = on->number;
    asked.inbox = inbox;
    asked.inbox_length = inbox_write(inbox, o->claim_ms, on->channel);
    return asked;
}

static question undoes(const redlock_client *client, const question *asked)
{
    question undo = *asked;
    undo.script = SCRIPT_CANCEL;
    undo.first_ms = client->linger_ms;
    undo.burial_ms = LATE_MOST_US / US_PER_MS;
    return undo;
}

/* True when what it is given up with was undone behind its question. */
static bool run(redlock_client *client, redlock_lock *lock, lane *on, acquire *op,
                const redlock_options *o, const limits *within)
{
    char inbox[INBOX_SIZE];
    int64_t now_us = clock_now_us();
    acquire_terms terms = acquisition_terms(client, lock, o, within);
    question asked = acquisition_question(client, lock, o, on, inbox);
    exchange asks = {.round_trip = &client->stats.round_trip};
    exchange_begin(&asks, &op->asks, &on->command, &asked);
    lane_stops stops = {.fd = {client->closing.fd, canceller_fd(o->canceller)}};
    on->command.may_spin = !on->was_contended;
    acquire_begin(op, &terms, on->inbox_is_subscribed, now_us);
    if (canceller_is_set(o->canceller)) acquire_stop(op, REDLOCK_CANCELLED, now_us);
    question undo = undoes(client, &asked);
    bool undo_is_behind = drive_acquire(on, op, &asks, &undo, &client->nonces, &stops);
    counter_add(&client->stats.undone, undo_is_behind);
    on->was_contended = op->was_handed_over || op->is_queued;
    return undo_is_behind;
}

void acquisition_count(redlock_client *client, const acquire *op, int64_t waited_us)
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

static void adopt(redlock_client *client, redlock_lock *lock, const acquire *op,
                  const redlock_options *o, int64_t now_us)
{
    lock->was_handed_over = op->was_handed_over;
    lock->acquired_us = now_us;
    hold_begin(&lock->hold, o->ttl_ms, op->held.lease_ms, op->valid_until_us, o->auto_renew,
               o->max_hold_ms, now_us, lock->hold.jitter);
    holds_add(&client->holds, lock);
    keeper_adopt(&client->keeper, lock, op->held.fence, op->held.kind);
}

redlock_status acquisition_settle(redlock_client *client, redlock_lock *lock, const acquire *op,
                                  const redlock_options *o, bool undo_is_behind, int64_t now_us)
{
    lock->unanswered_us = acquire_unanswered_us(op);
    if (op->status == REDLOCK_OK) {
        adopt(client, lock, op, o, now_us);
        return REDLOCK_OK;
    }
    detail_write(o->detail, op->status < 0 ? op->text : "");
    lock->undo_counts = lock->unanswered_us > 0 && !undo_is_behind;
    keeper_give_up(&client->keeper, lock, op->is_owed, now_us);
    return op->status;
}

/* A wait that is over leaves the queue before the call returns, if the server has been answering so
 * fast that nobody notices, or if there is no keeper that sees to it otherwise. */
static bool is_to_leave(const redlock_client *client, const lane *on, const acquire *op)
{
    if (!op->is_owed || op->status < 0) return false;
    if (client->host == REDLOCK_HOST_MANUAL) return true;
    bool is_over = op->status == REDLOCK_TIMED_OUT || op->status == REDLOCK_CANCELLED;
    bool is_near = on->command.state == CONN_OPEN && on->command.first == NULL &&
                   on->command.answer_us < NEAR_US;
    return is_over && is_near && op->is_queued;
}

static bool undo_is_asked(act *self, question *about)
{
    *about = *self->undo;
    return true;
}

static bool undo_is_judged(act *self, const answer *from)
{
    (void)from;
    self->status = REDLOCK_OK;
    return false;
}

static const act_kind act_undo = {
    .begin = undo_is_asked, .judge = undo_is_judged, .outlasts_close = true};

/* True when nothing is owed any more: a question that was cut, and arrives behind this one, is
 * refused. */
static bool leave(redlock_client *client, redlock_lock *lock, lane *on, const acquire *op,
                  const redlock_options *o, const limits *within)
{
    char inbox[INBOX_SIZE];
    question about = acquisition_question(client, lock, o, on, inbox);
    about = undoes(client, &about);
    int64_t now_us = clock_now_us();
    lock->unanswered_us = acquire_unanswered_us(op);
    about.burial_ms = lock_burial_ms(lock, now_us);
    act self = act_about(&act_undo, lock);
    self.undo = &about;
    limits part = limits_to_part(within, client, now_us);
    if (client->host != REDLOCK_HOST_MANUAL) part.deadline_us = now_us + PART_WITHIN_US;
    return act_wait_on(&self, on, &part) == REDLOCK_OK;
}

/* A lease that is a claim is made what the ttl would have given, where no keeper does it later: the
 * claim is all that a program has which calls redlock_process later, or never. Tried for half of
 * the claim: without an answer the lock goes on with what is left. Not beyond what a whole lease
 * would have been, so that a maximum hold is not moved. */
static void make_whole(redlock_lock *lock, const limits *within)
{
    int64_t now_us = clock_now_us();
    int64_t until_us = atomic_load(&lock->hold.valid_until_us);
    act self = act_about(&act_extend, lock);
    self.ttl_ms = (lock->acquired_us - now_us) / US_PER_MS + lock->hold.ttl_ms;
    limits half = *within;
    half.deadline_us = earliest(half.deadline_us, now_us + (until_us - now_us) / 2);
    if (self.ttl_ms > 0) (void)act_wait(&self, &half);
}

/* REDLOCK_LOST when it was taken away meanwhile: then it is given back, and no on_lost tells of
 * what nobody had. */
static redlock_status stretch(redlock_client *client, redlock_lock *lock, const redlock_options *o,
                              const limits *within)
{
    limits part = limits_to_part(within, client, clock_now_us());
    make_whole(lock, &part);
    if (keeper_watch(&client->keeper, lock, o->on_lost)) return REDLOCK_OK;
    handle_leave(client, lock);
    return REDLOCK_LOST;
}

static redlock_status acquire_lock(redlock_client *client, redlock_lock *lock,
                                   const redlock_options *o, const limits *within, int64_t began_us)
{
    lane *on;
    redlock_status status = pool_borrow(&client->lanes, &on, began_us);
    if (status != REDLOCK_OK) {
        keeper_give_up(&client->keeper, lock, false, began_us);
        return status;
    }
    acquire op;
    bool undo_is_behind = run(client, lock, on, &op, o, within);
    int64_t now_us = clock_now_us();
    if (is_to_leave(client, on, &op) && leave(client, lock, on, &op, o, within)) op.is_owed = false;
    acquisition_count(client, &op, now_us - began_us);
    bool is_a_claim = op.status == REDLOCK_OK && op.was_handed_over &&
                      client->host == REDLOCK_HOST_MANUAL;
    if (is_a_claim) lock->on_lost = NULL; /* until it is more */
    status = acquisition_settle(client, lock, &op, o, undo_is_behind, now_us);
    /* Only now: redlock_close waits for the lanes, and then undoes what is held. */
    pool_return(&client->lanes, on, now_us);
    return is_a_claim ? stretch(client, lock, o, within) : status;
}

/* ---- Re-entry ---- */

wanted acquisition_wanted(const redlock_options *o)
{
    static const char policy[] = {[REDLOCK_PREFER_READERS] = POLICY_READERS,
                                  [REDLOCK_FAIR] = POLICY_FAIR,
                                  [REDLOCK_PREFER_WRITERS] = POLICY_WRITERS};
    return (wanted){.as = {.kind = o->mode == REDLOCK_SHARED ? KIND_SHARED : KIND_EXCLUSIVE,
                           .policy = policy[o->policy],
                           .permits = o->permits},
                    .owner = o->owner,
                    .owner_length = o->owner == NULL ? 0 : strlen(o->owner)};
}

redlock_lock *acquisition_enter_again(redlock_client *client, const void *name, size_t name_length,
                                      const wanted *what)
{
    char field[OWNER_FIELD_SIZE];
    claimant who = {.thread = thread_number()};
    if (what->owner_length > 0) {
        who.owner_length = owner_write(field, what->owner, what->owner_length) - 1; /* its mark */
        who.owner = field + 1;
    }
    return holds_enter(&client->holds, name, name_length, &who);
}

static bool waits_for_itself(redlock_client *client, const void *name, size_t name_length,
                             const wanted *what, const redlock_options *o)
{
    mode as = what->as;
    /* An explicit owner may have a hold elsewhere, beside which it enters whatever the limit: the
     * server can tell. */
    if (what->owner_length > 0) as.permits = 0;
    return o->wait_ms != 0 &&
           holds_excludes(&client->holds, name, name_length, thread_number(), &as, clock_now_us());
}

static redlock_status acquire_new(redlock_client *client, const void *name, size_t name_length,
                                  const wanted *what, const redlock_options *o,
                                  const limits *within, int64_t began_us, redlock_lock **out)
{
    bool needs_thread = o->auto_renew || o->on_lost != NULL || o->wait_ms != 0;
    redlock_status status = keeper_reserve(&client->keeper, needs_thread);
    if (status != REDLOCK_OK) return status;
    redlock_lock *lock = handle_new(client, name, name_length, what, o);
    if (lock == NULL) {
        keeper_unreserve(&client->keeper);
        return REDLOCK_ERR_MEMORY;
    }
    status = acquire_lock(client, lock, o, within, began_us);
    if (status == REDLOCK_OK) *out = lock;
    return status;
}

redlock_status acquisition_take(redlock_client *client, const void *name, size_t name_length,
                                redlock_options *o, const limits *within, redlock_lock **lock)
{
    int64_t wanted_ttl_ms = o->ttl_ms, began_us = clock_now_us();
    redlock_status status = acquisition_check(o);
    if (status != REDLOCK_OK) return status;
    if (name == NULL || name_length == 0 || name_length > KEY_NAME_MAX) return REDLOCK_ERR_NAME;
    limits own = within != NULL ? *within : limits_of(client, o, began_us);
    wanted what = acquisition_wanted(o);
    redlock_lock *held = o->reentrant ? acquisition_enter_again(client, name, name_length, &what)
                                      : NULL;
    if (held != NULL) {
        act enters = act_reentry(held, &what, wanted_ttl_ms);
        status = act_wait(&enters, &own);
        if (status == REDLOCK_OK) *lock = held;
        return status;
    }
    if (waits_for_itself(client, name, name_length, &what, o)) return REDLOCK_DEADLOCK;
    /* What was handed over, and taken away before anybody was told, is waited for anew. */
    do status = acquire_new(client, name, name_length, &what, o, &own, began_us, lock);
    while (status == REDLOCK_LOST);
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
    gate_enter(&client->calls);
    redlock_status status = client_enter(client);
    if (status == REDLOCK_OK) status = acquisition_take(client, name, name_length, &o, NULL, lock);
    gate_leave(&client->calls);
    return status;
}

redlock_status redlock_acquire(redlock_client *client, const char *name,
                               const redlock_options *options, redlock_lock **lock)
{
    return redlock_acquire_bytes(client, name, name == NULL ? 0 : strlen(name), options, lock);
}
