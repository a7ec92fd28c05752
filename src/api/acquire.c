/* SPDX-License-Identifier: MIT
 * Acquire, on the thread that waits for it. */
#include <string.h>

#include "api/canceller.h"
#include "api/acquisition.h"
#include "api/carry.h"
#include "api/options.h"
#include "engine/acquire.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "host/thread.h"
#include "lane/drive.h"
#include "wire/key.h"

enum { NEAR_US = 1000 };

/* ---- On a lane ---- */

/* True when what it is given up with was undone behind its question. */
static bool wait_on_lane(redlock_client *client, redlock_lock *lock, lane *on, acquire *op,
                         const redlock_options *o, const limits *within)
{
    char inbox_field[INBOX_SIZE];
    int64_t now_us = clock_now_us();
    acquire_terms terms = acquisition_terms(client, lock, o, within);
    question asked = acquisition_question(client, lock, o, on, inbox_field);
    exchange asks = {.round_trip = &client->stats.round_trip};
    exchange_begin(&asks, &op->asks, &asked);
    lane_stops stops = {.fd = {client->closing.fd, canceller_fd(o->canceller)}};
    on->may_spin = !on->was_contended;
    (void)exchange_enter(&asks, on);
    drive_begin(op, &asks, &terms, now_us);
    if (canceller_is_set(o->canceller)) acquire_stop(op, REDLOCK_CANCELLED, now_us);
    question undo = acquisition_undo(client, &asked);
    bool undo_is_behind = drive_acquire(op, &asks, &undo, &client->nonces, &stops);
    counter_add(&client->stats.undone, undo_is_behind);
    on->was_contended = op->was_handed_over || op->is_queued;
    return undo_is_behind;
}

/* A wait that is over leaves the queue before the call returns, if the server has been answering so
 * fast that nobody notices, or if there is no keeper that sees to it otherwise. */
static bool is_to_leave(const redlock_client *client, const lane *on, const acquire *op)
{
    if (!op->is_owed || op->status < 0) return false;
    if (client->host == REDLOCK_HOST_MANUAL) return true;
    bool is_over = op->status == REDLOCK_TIMED_OUT || op->status == REDLOCK_CANCELLED;
    const conn *asked = &on->at->command;
    bool is_near = asked->state == CONN_OPEN && asked->first == NULL && asked->answer_us < NEAR_US;
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
                  const redlock_options *o, limits *within)
{
    char inbox_field[INBOX_SIZE];
    question about = acquisition_question(client, lock, o, on, inbox_field);
    about = acquisition_undo(client, &about);
    int64_t now_us = clock_now_us();
    lock->unanswered_us = acquire_unanswered_us(op);
    about.burial_ms = lock_burial_ms(lock, now_us);
    act self = act_about(&act_undo, lock);
    self.undo = &about;
    limits part = limits_to_end(within, client, now_us);
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

/* Not REDLOCK_OK when it was taken away meanwhile: then it is given back, and no on_lost tells of
 * what nobody had. */
static redlock_status stretch(redlock_client *client, redlock_lock *lock, const redlock_options *o,
                              limits *within)
{
    limits part = limits_to_part(within, client, clock_now_us());
    make_whole(lock, &part);
    redlock_status status = handle_introduce(lock, o);
    if (status == REDLOCK_OK) handle_introduced(client, lock);
    else handle_leave(client, lock);
    return status;
}

/* There was no room for its connection, and nothing was asked that could still be carried out. */
static bool is_to_be_carried(const lane *on, const acquire *op)
{
    bool found_no_room = conn_found_no_room(&on->at->command) ||
                         conn_found_no_room(&on->at->inbox.conn);
    return op->status == REDLOCK_ERR_UNAVAILABLE && !op->is_owed && lane_may_be_relieved(on) &&
           found_no_room;
}

static redlock_status acquire_on(lane *on, redlock_client *client, redlock_lock *lock,
                                 const redlock_options *o, limits *within, int64_t began_us)
{
    redlock_status status;
    acquire op;
    bool undo_is_behind = wait_on_lane(client, lock, on, &op, o, within);
    int64_t now_us = clock_now_us();
    if (is_to_be_carried(on, &op)) {
        pool_return_crowded(&client->lanes, on, now_us);
        return carry_acquisition(client, lock, o, within);
    }
    if (is_to_leave(client, on, &op) && leave(client, lock, on, &op, o, within)) op.is_owed = false;
    acquisition_count(client, &op, now_us - began_us);
    bool is_a_claim = op.status == REDLOCK_OK && op.was_handed_over &&
                      client->host == REDLOCK_HOST_MANUAL;
    if (is_a_claim) handle_hush(lock); /* until it is more */
    status = acquisition_settle(client, lock, &op, o, undo_is_behind, now_us);
    /* Only now: redlock_close waits for the lanes, and then undoes what is held. */
    pool_return(&client->lanes, on, now_us);
    return is_a_claim ? stretch(client, lock, o, within) : status;
}

static redlock_status acquire_lock(redlock_client *client, redlock_lock *lock,
                                   const redlock_options *o, limits *within, int64_t began_us)
{
    lane *on;
    redlock_status status = pool_borrow(&client->lanes, &on, began_us);
    if (status == REDLOCK_OK) return acquire_on(on, client, lock, o, within, began_us);
    if (status == REDLOCK_ERR_UNAVAILABLE) return carry_acquisition(client, lock, o, within);
    keeper_give_up(&client->keeper, lock, false, began_us);
    return status;
}

/* ---- The call ---- */

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

static redlock_status wait_for_new(redlock_client *client, const void *name, size_t name_length,
                                   const wanted *what, const redlock_options *o, limits *within,
                                   int64_t began_us, redlock_lock **out)
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
                                redlock_options *o, limits *within, redlock_lock **lock)
{
    int64_t wanted_ttl_ms = o->ttl_ms, began_us = clock_now_us();
    redlock_status status = acquisition_check(o);
    if (status != REDLOCK_OK) return status;
    if (name == NULL || name_length == 0 || name_length > KEY_NAME_MAX) return REDLOCK_ERR_NAME;
    limits own = limits_of(client, o, began_us);
    if (within == NULL) within = &own;
    wanted what = acquisition_wanted(o);
    redlock_lock *held = o->reentrant ? acquisition_enter_again(client, name, name_length, &what)
                                      : NULL;
    if (held != NULL) {
        act enters = act_reentry(held, &what, wanted_ttl_ms);
        enters.detail = o->detail;
        status = act_wait(&enters, within);
        if (status == REDLOCK_OK) *lock = held;
        return status;
    }
    if (waits_for_itself(client, name, name_length, &what, o)) return REDLOCK_DEADLOCK;
    /* What was handed over, and taken away before anybody was told, is waited for anew. */
    do status = wait_for_new(client, name, name_length, &what, o, within, began_us, lock);
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
