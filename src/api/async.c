/* SPDX-License-Identifier: MIT
 * Asynchronous acts: what the blocking calls do, handed to the keeper, with a completion at the
 * end. */
#include "api/async.h"

#include <assert.h>
#include <stdio.h>

#include "api/words.h"
#include "engine/lease.h"
#include "host/clock.h"

/* ---- The end ---- */

/* Its words are those that the completion finds, if it failed. */
static redlock_status status_told(const acting *self)
{
    if (self->what.status != REDLOCK_OK) words_keep(self->what.words);
    return self->what.status;
}

/* It was done, and is lost or taken since. */
static redlock_status status_of_lock(const redlock_lock *lock)
{
    redlock_status status = handle_status(lock);
    if (status == REDLOCK_OK) return REDLOCK_OK;
    bool is_lost = status == REDLOCK_LOST;
    words_keep(is_lost ? redlock_loss_text(lock_why_lost(lock, clock_now_us())) : "");
    return status;
}

/* The lock is looked at in the moment in which it is told, and may be let go of by whoever is
 * told. */
static redlock_status part_with_lock(acting *self)
{
    redlock_lock *lock = self->what.lock;
    redlock_status status = status_told(self);
    if (lock == NULL) return status;
    if (status == REDLOCK_OK && self->what.kind->needs_the_lease) status = status_of_lock(lock);
    lock_unuse(lock);
    return status;
}

static void tell_done(completion *base)
{
    acting *self = (acting *)base;
    redlock_status status = part_with_lock(self);
    if (self->done != NULL) self->done(self->arg, status);
}

static void tell_reentered(completion *base)
{
    acting *self = (acting *)base;
    redlock_lock *lock = self->what.lock;
    redlock_status status = part_with_lock(self);
    /* Its end left again what was refused; what was lost or taken since is left here. */
    if (status != self->what.status) handle_leave(base->client, lock);
    self->acquired(self->arg, status, status == REDLOCK_OK ? lock : NULL);
}

static void tell_inspected(completion *base)
{
    acting *self = (acting *)base;
    act_forget_name(&self->what);
    self->inspected(self->arg, status_told(self), act_inspection(&self->what));
}

static void tell_forced(completion *base)
{
    acting *self = (acting *)base;
    act_forget_name(&self->what);
    redlock_status status = status_told(self);
    self->forced(self->arg, status, status == REDLOCK_OK ? (size_t)self->what.removed : 0);
}

static void finish_acting(operation *op, int64_t now_us)
{
    acting *self = (acting *)op;
    (void)now_us;
    act_end(&self->what, self->what.asks == NULL ? REDLOCK_OK : op->status);
    snprintf(self->words, sizeof self->words, "%s", self->what.words);
    self->what.words = self->words;
    completion_conclude(&self->base);
}

/* ---- The beginning ---- */

static int64_t needed_until_us(const operation *op)
{
    return act_needed_until_us(&((const acting *)op)->what);
}

static acting *new_acting(const act *what, void (*tell_it)(completion *base), void *arg)
{
    acting *self = completion_new(what->client, sizeof *self, finish_acting, tell_it);
    if (self == NULL) return NULL;
    self->what = *what;
    self->what.is_submitted = true;
    self->base.op.needed_until_us = needed_until_us;
    self->base.op.outlasts_close = what->kind->outlasts_close;
    self->arg = arg;
    return self;
}

acting *acting_new(const act *what, redlock_done_fn *done, void *arg)
{
    acting *self = new_acting(what, tell_done, arg);
    if (self != NULL) self->done = done;
    return self;
}

/* The lock is pinned: with its last handle goes a closed client. */
static void begin_acting(acting *self, int64_t deadline_us)
{
    operation *op = &self->base.op;
    redlock_lock *lock = self->what.lock;
    if (lock != NULL) lock_use(lock);
    op->is_at_once = !act_begin(&self->what, &op->asks, &op->single, deadline_us);
    op->status = self->what.status;
}

static void free_unsubmitted(acting *self)
{
    redlock_lock *lock = self->what.lock;
    completion_free(&self->base);
    if (lock != NULL) lock_unuse(lock);
}

static void end_unsubmitted(acting *self, redlock_status why)
{
    act_end(&self->what, why);
    act_forget_name(&self->what);
    free_unsubmitted(self);
}

static acting *next_of(const acting *self) { return (acting *)self->base.op.after; }

/* ---- What another thread waits for ---- */

static void tell_adopter(completion *base)
{
    acting *self = (acting *)base;
    self->parted(self, part_with_lock(self));
}

acting *acting_adopt(const act *begun, void (*parted)(acting *self, redlock_status status),
                     void *arg)
{
    assert(begun->asks != NULL);
    assert(!exchange_is_in_flight(begun->asks));
    acting *self = new_acting(begun, tell_adopter, arg);
    if (self == NULL) return NULL;
    operation *op = &self->base.op;
    self->base.is_a_part = true;
    self->parted = parted;
    op->asks = *begun->asks;
    op->asks.about = &self->what;
    op->single = *begun->state;
    self->what.asks = &op->asks;
    self->what.state = &op->single;
    if (begun->lock != NULL) lock_use(begun->lock);
    return self;
}

void acting_disown(acting *first)
{
    for (acting *self = first, *next; self != NULL; self = next) {
        next = next_of(self);
        free_unsubmitted(self);
    }
}

/* ---- Handing in ---- */

redlock_status acting_submit(acting *first, int64_t deadline_us)
{
    for (acting *self = first; self != NULL; self = next_of(self)) begin_acting(self, deadline_us);
    redlock_status status = completion_submit(&first->base);
    for (acting *self = first, *next; status != REDLOCK_OK && self != NULL; self = next) {
        next = next_of(self);
        end_unsubmitted(self, status);
    }
    return status;
}

redlock_status reenter_async(redlock_lock *held, const wanted *what, int64_t ttl_ms,
                             redlock_acquired_fn *acquired, void *arg)
{
    act enters = act_reentry(held, what, ttl_ms);
    acting *self = new_acting(&enters, tell_reentered, arg);
    if (self == NULL) {
        handle_leave(enters.client, held);
        return REDLOCK_ERR_MEMORY;
    }
    self->acquired = acquired;
    return acting_submit(self, FROM_NOW);
}

static redlock_status do_async(const act_kind *kind, redlock_lock *lock, int64_t ttl_ms,
                               redlock_done_fn *done, void *arg)
{
    if (lock == NULL) return REDLOCK_ERR_ARGUMENT;
    if (fork_guard_is_child(&client_of(lock)->fork)) return REDLOCK_ERR_FORKED;
    act what = act_about(kind, lock);
    what.ttl_ms = ttl_ms;
    acting *self = acting_new(&what, done, arg);
    return self == NULL ? REDLOCK_ERR_MEMORY : acting_submit(self, FROM_NOW);
}

redlock_status redlock_release_async(redlock_lock *lock, redlock_done_fn *done, void *arg)
{
    return do_async(&act_release, lock, 0, done, arg);
}

redlock_status redlock_extend_async(redlock_lock *lock, int64_t ttl_ms, redlock_done_fn *done,
                                    void *arg)
{
    if (lock != NULL && (ttl_ms < 1 || ttl_ms > LEASE_MOST_MS)) return REDLOCK_ERR_TTL;
    return do_async(&act_extend, lock, ttl_ms, done, arg);
}

redlock_status redlock_upgrade_async(redlock_lock *lock, redlock_done_fn *done, void *arg)
{
    return do_async(&act_upgrade, lock, 0, done, arg);
}

redlock_status redlock_downgrade_async(redlock_lock *lock, redlock_done_fn *done, void *arg)
{
    return do_async(&act_downgrade, lock, 0, done, arg);
}

/* ---- About a name ---- */

static redlock_status ask_about_name(const act_kind *kind, redlock_client *client, const void *name,
                                     size_t name_length, void (*tell_it)(completion *base),
                                     void *arg, acting **out)
{
    act what;
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    redlock_status status = act_about_name(&what, kind, client, name, name_length);
    if (status != REDLOCK_OK) return status;
    *out = new_acting(&what, tell_it, arg);
    if (*out == NULL) act_forget_name(&what);
    return *out == NULL ? REDLOCK_ERR_MEMORY : REDLOCK_OK;
}

redlock_status redlock_inspect_async(redlock_client *client, const void *name, size_t name_length,
                                     redlock_inspected_fn *inspected, void *arg)
{
    acting *self = NULL;
    if (client == NULL || inspected == NULL) return REDLOCK_ERR_ARGUMENT;
    gate_enter(&client->calls);
    redlock_status status =
        ask_about_name(&act_inspect, client, name, name_length, tell_inspected, arg, &self);
    if (status == REDLOCK_OK) {
        self->inspected = inspected;
        status = acting_submit(self, FROM_NOW);
    }
    gate_leave(&client->calls);
    return status;
}

redlock_status redlock_force_release_async(redlock_client *client, const void *name,
                                           size_t name_length, redlock_forced_fn *forced, void *arg)
{
    acting *self = NULL;
    if (client == NULL || forced == NULL) return REDLOCK_ERR_ARGUMENT;
    gate_enter(&client->calls);
    redlock_status status =
        ask_about_name(&act_force, client, name, name_length, tell_forced, arg, &self);
    if (status == REDLOCK_OK) {
        self->forced = forced;
        status = acting_submit(self, FROM_NOW);
    }
    gate_leave(&client->calls);
    return status;
}

void redlock_cancel_async(redlock_client *client, redlock_operation id)
{
    if (client == NULL || id == 0 || fork_guard_is_child(&client->fork)) return;
    gate_enter(&client->calls);
    if (!set_cancel_async(client, id)) keeper_cancel(&client->keeper, id);
    gate_leave(&client->calls);
}
