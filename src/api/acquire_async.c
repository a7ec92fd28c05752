/* SPDX-License-Identifier: MIT
 * Asynchronous acquisition: what the blocking one does, handed to the keeper, with a completion at
 * the end. */
#include "api/async.h"

#include <string.h>

#include "api/options.h"
#include "api/words.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "wire/key.h"

/* ---- The end ---- */

static redlock_status hand_out(acquiring *self)
{
    redlock_status status = handle_introduce(self->lock, &self->options);
    if (status != REDLOCK_OK) handle_leave(self->base.client, self->lock);
    return status;
}

static void tell_acquired(completion *base)
{
    acquiring *self = (acquiring *)base;
    redlock_status status = base->op.status;
    if (status == REDLOCK_OK) status = hand_out(self);
    bool has_words = status < 0 && base->op.status == status && !base->op.is_at_once;
    if (status != REDLOCK_OK) words_keep(has_words ? base->op.acquisition.text : "");
    self->acquired(self->arg, status, status == REDLOCK_OK ? self->lock : NULL);
    if (status == REDLOCK_OK) handle_introduced(base->client, self->lock);
}

static void finished(operation *op, int64_t now_us)
{
    acquiring *self = (acquiring *)op;
    redlock_client *client = self->base.client;
    acquire *engine = &op->acquisition;
    if (op->is_at_once) { /* it never began */
        keeper_give_up(&client->keeper, self->lock, false, now_us);
    } else {
        acquisition_count(client, engine, now_us - self->began_us);
        op->status = acquisition_settle(client, self->lock, engine, &self->options, false, now_us);
    }
    completion_conclude(&self->base);
}

/* ---- The beginning ---- */

static void prepare(acquiring *self, const limits *within)
{
    redlock_client *client = self->base.client;
    operation *op = &self->base.op;
    lane *on = &client->keeper.lane;
    handle_hush(self->lock); /* until it is handed out */
    question asked = acquisition_question(client, self->lock, &self->options, on, self->inbox);
    op->entry.number = self->lock->number; /* so that the message of a grant leads here */
    op->acquires = true;
    op->inbox_length = asked.inbox_length;
    op->terms = acquisition_terms(client, self->lock, &self->options, within);
    op->terms.queues_first = true;
    exchange_begin(&op->asks, NULL, &asked);
}

redlock_status acquiring_hand_in(acquiring *self, redlock_lock *lock, const limits *within,
                                 redlock_operation *id)
{
    keeper *keeps = &self->base.client->keeper;
    self->lock = lock;
    prepare(self, within);
    self->options.owner = NULL; /* it is in the holder from here on, and need not live so long */
    if (id != NULL) *id = self->base.op.entry.number;
    redlock_status status = completion_submit(&self->base); /* then it may be complete, and gone */
    if (status == REDLOCK_OK) return REDLOCK_OK;
    keeper_give_up(keeps, lock, false, clock_now_us());
    completion_free(&self->base);
    return status;
}

redlock_status acquiring_start(acquiring *self, const void *name, size_t name_length,
                               const limits *within, redlock_operation *id)
{
    redlock_client *client = self->base.client;
    wanted what = acquisition_wanted(&self->options);
    redlock_lock *lock = NULL;
    redlock_status status = keeper_reserve(&client->keeper, true);
    if (status == REDLOCK_OK) {
        lock = handle_new(client, name, name_length, &what, &self->options);
        if (lock == NULL) keeper_unreserve(&client->keeper);
    }
    if (lock != NULL) return acquiring_hand_in(self, lock, within, id);
    completion_free(&self->base);
    return status == REDLOCK_OK ? REDLOCK_ERR_MEMORY : status;
}

acquiring *acquiring_new(redlock_client *client, const redlock_options *o,
                         redlock_acquired_fn *acquired, void *arg)
{
    size_t room = o->wait_ms != 0 ? INBOX_SIZE : 0;
    acquiring *self = completion_new(client, sizeof *self + room, finished, tell_acquired);
    if (self == NULL) return NULL;
    self->options = *o;
    self->acquired = acquired;
    self->arg = arg;
    self->began_us = clock_now_us();
    return self;
}

redlock_status acquiring_check(const redlock_client *client, const redlock_options *o)
{
    if (o->canceller != NULL || o->detail != NULL) return REDLOCK_ERR_ARGUMENT;
    return fork_guard_is_child(&client->fork) ? REDLOCK_ERR_FORKED : REDLOCK_OK;
}

static redlock_status submit_new(redlock_client *client, const void *name, size_t name_length,
                                 const redlock_options *o, redlock_acquired_fn *acquired, void *arg,
                                 redlock_operation *id)
{
    acquiring *self = acquiring_new(client, o, acquired, arg);
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    limits within = limits_of(client, o, self->began_us);
    return acquiring_start(self, name, name_length, &within, id);
}

static redlock_status acquire_async(redlock_client *client, const void *name, size_t name_length,
                                    const redlock_options *options, redlock_acquired_fn *acquired,
                                    void *arg, redlock_operation *id)
{
    redlock_options o = {0};
    if (!options_copy(&o, sizeof o, options)) return REDLOCK_ERR_ARGUMENT;
    redlock_status status = acquiring_check(client, &o);
    if (status != REDLOCK_OK) return status;
    if (name == NULL || name_length == 0 || name_length > KEY_NAME_MAX) return REDLOCK_ERR_NAME;
    int64_t wanted_ttl_ms = o.ttl_ms;
    status = acquisition_check(&o);
    if (status != REDLOCK_OK) return status;
    wanted what = acquisition_wanted(&o);
    redlock_lock *held = o.reentrant ? acquisition_enter_again(client, name, name_length, &what)
                                     : NULL;
    if (held == NULL) return submit_new(client, name, name_length, &o, acquired, arg, id);
    return reenter_async(held, &what, wanted_ttl_ms, acquired, arg);
}

redlock_status redlock_acquire_async(redlock_client *client, const void *name, size_t name_length,
                                     const redlock_options *options, redlock_acquired_fn *acquired,
                                     void *arg, redlock_operation *id)
{
    if (id != NULL) *id = 0;
    if (client == NULL || acquired == NULL) return REDLOCK_ERR_ARGUMENT;
    gate_enter(&client->calls);
    redlock_status status = acquire_async(client, name, name_length, options, acquired, arg, id);
    gate_leave(&client->calls);
    return status;
}
