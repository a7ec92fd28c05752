/* SPDX-License-Identifier: MIT
 * The jobs of a client: to acquire, to hold, to give back; by calls that block, or that complete
 * later. */
#include <string.h>

#include "sim/cast/actor.h"
#include "sim/court/grants.h"
#include "sim/court/referee.h"
#include "sim/machine/machine.h"
#include "sim/machine/system.h"
#include "sim/trace.h"

const job *worker_job(const worker *self)
{
    return &self->of->plan->jobs[number_of_user(self->user)];
}

static void pause_for(int64_t span_us) { fiber_wait(now_us() + span_us, NULL); }

/* ---- Asynchronous calls, waited for ---- */

awaited *awaited_new(worker *of)
{
    awaited *made = arena_take(sizeof *made);
    *made = (awaited){.of = of};
    return made;
}

void awaited_complete(awaited *self, redlock_status status)
{
    if (self->completions++ > 0) referee_accuse(self->of->user, "an operation completed twice");
    self->status = status;
    fibers_wake(self);
}

redlock_status awaited_wait(awaited *self)
{
    while (self->completions == 0) fiber_wait(SIM_NEVER, self);
    return self->status;
}

void awaited_done(void *of, redlock_status status)
{
    awaited *self = of;
    awaited_complete(self, status);
    actor_close_inside(self->of->of);
}

/* ---- In the middle of a hold ---- */

static redlock_status convert_async(worker *self, redlock_lock *lock, redlock_mode to)
{
    awaited *completion = awaited_new(self);
    redlock_status status = to == REDLOCK_SHARED
                                ? redlock_downgrade_async(lock, awaited_done, completion)
                                : redlock_upgrade_async(lock, awaited_done, completion);
    return status == REDLOCK_OK ? awaited_wait(completion) : status;
}

static redlock_status convert_and_wait(redlock_lock *lock, redlock_mode to)
{
    return to == REDLOCK_SHARED ? redlock_downgrade(lock) : redlock_upgrade(lock);
}

static void convert(worker *self, redlock_lock *lock, redlock_mode to)
{
    bool is_async = worker_job(self)->is_async;
    redlock_status status = is_async ? convert_async(self, lock, to) : convert_and_wait(lock, to);
    trace("client %d: convert -> %s", self->of->number, redlock_status_name(status));
    if (status == REDLOCK_OK && to == REDLOCK_EXCLUSIVE) {
        grants_check_fence(self->user, lock, REDLOCK_EXCLUSIVE);
    }
}

/* ---- Doors: how a callback gives a lock back ---- */

/* What a completion submits completes later, too; what is refused does not. */
static void leave_by_async(worker *self, redlock_lock *lock)
{
    self->returned = awaited_new(self);
    redlock_status status = redlock_release_async(lock, awaited_done, self->returned);
    if (status != REDLOCK_OK) awaited_complete(self->returned, status);
}

static void expect_refusal(const worker *self, const char *what, redlock_status status)
{
    if (status != REDLOCK_ERR_IN_CALLBACK)
        referee_accuse(self->user, "%s inside a callback answered %s", what,
                       redlock_status_name(status));
}

static void leave_by_release(worker *self, redlock_lock *lock)
{
    expect_refusal(self, "release", redlock_release(lock));
}

static void leave_by_clear(worker *self, redlock_lock *lock)
{
    redlock_lock *variable = lock;
    expect_refusal(self, "release_and_clear", redlock_release_and_clear(&variable));
    if (variable != lock) referee_accuse(self->user, "a refused release took the variable");
}

static void leave_by_auto(worker *self, redlock_lock *lock)
{
    redlock_auto_release(&lock);
    if (lock != NULL) referee_accuse(self->user, "an automatic release left the variable");
}

static void leave_by_scope(worker *self, redlock_lock *lock)
{
    redlock_status status = REDLOCK_OK;
    redlock_scope scope = {.lock = lock, .status = &status};
    redlock_scope_end(&scope);
    if (scope.lock != NULL || status != REDLOCK_OK)
        referee_accuse(self->user, "a scope inside a callback ended with %s",
                       redlock_status_name(status));
}

typedef void door_fn(worker *self, redlock_lock *lock);

static door_fn *const leave_by[DOORS] = {
    [DOOR_ASYNC] = leave_by_async, [DOOR_RELEASE] = leave_by_release, [DOOR_CLEAR] = leave_by_clear,
    [DOOR_AUTO] = leave_by_auto,   [DOOR_SCOPE] = leave_by_scope,
};

/* A refused one changes nothing: the user holds it, and gives it back outside. */
static bool takes_handle(enum door by)
{
    return by == DOOR_ASYNC || by == DOOR_AUTO || by == DOOR_SCOPE;
}

/* The thread that holds it sees at once that it is not to give it back: a door takes its time. */
static void leave_inside(worker *self, redlock_lock *lock, enum door by)
{
    if (by == DOOR_NONE) return;
    trace("client %d: leaves inside, by door %d", self->of->number, (int)by);
    self->was_given_back = takes_handle(by);
    if (self->was_given_back) referee_releases(self->user);
    leave_by[by](self, lock);
}

static void lost(void *of, redlock_lock *lock)
{
    worker *self = of;
    referee_lost(self->user);
    /* It may come before the thread that acquires knows, or behind its release: then not. */
    if (self->held == lock) leave_inside(self, lock, worker_job(self)->inside_loss);
    if (self->was_given_back) self->held = NULL;
    fibers_wake(self);
    actor_close_inside(self->of);
}

static void warned(void *of, redlock_lock *lock, int64_t left_ms)
{
    worker *self = of;
    (void)lock;
    referee_warned(self->user, left_ms);
}

static redlock_mode other_mode(redlock_mode mode)
{
    return mode == REDLOCK_SHARED ? REDLOCK_EXCLUSIVE : REDLOCK_SHARED;
}

/* A second thread that converts the same hold. */
typedef struct company {
    const worker *of;
    redlock_lock *lock;
    redlock_mode to;
    int conversions;
    bool is_over;
} company;

static void *convert_beside(void *arg)
{
    company *self = arg;
    for (int i = 0; i < self->conversions && !self->of->of->is_closing; i++) {
        redlock_status status = convert_and_wait(self->lock, self->to);
        trace("client %d: convert beside -> %s", self->of->of->number, redlock_status_name(status));
        self->to = other_mode(self->to);
    }
    self->is_over = true;
    fibers_wake(self);
    return NULL;
}

static company *call_company(worker *self, redlock_lock *lock, const job *what, redlock_mode to)
{
    company *called = arena_take(sizeof *called);
    *called = (company){.of = self, .lock = lock, .to = to, .conversions = what->conversions};
    called->is_over = !what->is_in_company;
    if (what->is_in_company) fiber_start(self->of->number, convert_beside, called);
    return called;
}

/* To and fro, whatever came of the one before. */
static void convert_in_a_row(worker *self, redlock_lock *lock, const job *what)
{
    redlock_mode to = what->midway == MIDWAY_DOWNGRADE ? REDLOCK_SHARED : REDLOCK_EXCLUSIVE;
    company *beside = call_company(self, lock, what, other_mode(to));
    for (int i = 0; i < what->conversions && !self->of->is_closing; i++) {
        if (i > 0) pause_for(what->hold_us / 16);
        convert(self, lock, to);
        to = other_mode(to);
    }
    while (!beside->is_over) fiber_wait(SIM_NEVER, beside);
}

void worker_options(redlock_options *out, worker *self)
{
    const job *what = worker_job(self);
    static const char *const owners[OWNERS_MOST + 1] = {NULL, "one", "two", "three"};
    *out = (redlock_options){
        .struct_size = sizeof *out,
        .mode = what->mode,
        .on_lost = what->is_told ? lost : NULL,
        .on_lost_arg = self,
        .on_risk = what->is_told ? warned : NULL,
        .on_risk_arg = self,
        .policy = self->of->whole->policy[what->name],
        .permits = what->mode == REDLOCK_SHARED ? self->of->whole->permits[what->name] : 0,
        .ttl_ms = what->ttl_ms,
        .wait_ms = what->wait_ms,
        .claim_ms = what->claim_ms,
        .max_hold_ms = what->max_hold_ms,
        .auto_renew = what->auto_renew,
        .reentrant = what->is_reentrant,
        .owner = owners[what->owner],
        .canceller = what->is_async ? NULL : self->of->canceller};
}

static void entered(void *of, redlock_status status, redlock_lock *lock)
{
    awaited *self = of;
    self->lock = lock;
    awaited_done(self, status);
}

static redlock_status enter_async(worker *self, const job *what, const redlock_options *options,
                                  redlock_lock **inner)
{
    awaited *completion = awaited_new(self);
    const char *name = grants_name(what->name);
    redlock_status status = redlock_acquire_async(self->of->client, name, strlen(name), options,
                                                  entered, completion, NULL);
    if (status == REDLOCK_OK) status = awaited_wait(completion);
    *inner = completion->lock;
    return status;
}

static void enter_again(worker *self, redlock_lock *lock, const job *what)
{
    redlock_lock *inner;
    redlock_options options;
    worker_options(&options, self);
    redlock_status status =
        what->is_async
            ? enter_async(self, what, &options, &inner)
            : redlock_acquire(self->of->client, grants_name(what->name), &options, &inner);
    trace("client %d: enter again -> %s", self->of->number, redlock_status_name(status));
    if (status != REDLOCK_OK) return;
    if (inner != lock) referee_accuse(self->user, "entered again, and got another lock");
    pause_for(what->hold_us / 4);
    if (!what->is_async) (void)redlock_release(inner);
    else (void)redlock_release_async(inner, NULL, NULL);
}

static void extend(worker *self, redlock_lock *lock, const job *what)
{
    awaited *completion = awaited_new(self);
    if (!what->is_async) (void)redlock_extend(lock, what->ttl_ms);
    else if (redlock_extend_async(lock, what->ttl_ms, awaited_done, completion) == REDLOCK_OK)
        (void)awaited_wait(completion);
}

static void act_midway(worker *self, redlock_lock *lock, const job *what)
{
    switch (what->midway) {
    case MIDWAY_NOTHING: return;
    case MIDWAY_EXTEND: extend(self, lock, what); return;
    case MIDWAY_ENTER: enter_again(self, lock, what); return;
    case MIDWAY_DOWNGRADE:
    case MIDWAY_UPGRADE: convert_in_a_row(self, lock, what); return;
    }
}

static void acquired(void *of, redlock_status status, redlock_lock *lock)
{
    awaited *self = of;
    enum door by = status == REDLOCK_OK ? worker_job(self->of)->inside : DOOR_NONE;
    if (takes_handle(by)) referee_acquired(self->of->user, REDLOCK_OK, lock);
    leave_inside(self->of, lock, by);
    self->lock = lock;
    awaited_done(self, status);
}

static redlock_status acquire_async(worker *self, const job *what, redlock_options *options,
                                    redlock_lock **lock)
{
    awaited *completion = awaited_new(self);
    const char *name = grants_name(what->name);
    *lock = NULL;
    redlock_status status = redlock_acquire_async(self->of->client, name, strlen(name), options,
                                                  acquired, completion, &self->operation);
    if (status == REDLOCK_OK) status = awaited_wait(completion);
    self->operation = 0;
    *lock = completion->lock;
    return status;
}

static redlock_status release_lock(worker *self, const job *what, redlock_lock *lock)
{
    if (!what->is_async || self->of->is_closing) return redlock_release(lock);
    awaited *completion = awaited_new(self);
    redlock_status status = redlock_release_async(lock, awaited_done, completion);
    return status == REDLOCK_OK ? awaited_wait(completion)
                                : status; /* closed just now: it took the handle all the same */
}

/* What was given back in the background tells nobody of its end. */
static void await_return(worker *self)
{
    redlock_status status = self->returned == NULL ? REDLOCK_OK : awaited_wait(self->returned);
    if (self->returned == NULL) referee_left(self->user);
    else if (!self->of->is_closing) referee_released(self->user, status);
}

/* Or until a callback has given it back. */
static void hold_for(worker *self, int64_t span_us)
{
    int64_t until_us = now_us() + span_us;
    while (!self->was_given_back && now_us() < until_us) fiber_wait(until_us, self);
}

static void hold(worker *self, redlock_lock *lock, const job *what)
{
    const actor *of = self->of;
    self->held = lock;
    hold_for(self, what->hold_us / 2);
    if (!of->is_closing && !self->was_given_back) act_midway(self, lock, what);
    hold_for(self, what->hold_us - what->hold_us / 2);
    self->held = NULL;
    if (self->was_given_back) {
        await_return(self);
        return;
    }
    referee_releases(self->user);
    bool was_closing = of->is_closing;
    redlock_status status = release_lock(self, what, lock);
    if (!was_closing && !of->is_closing) referee_released(self->user, status);
}

void worker_work(worker *self)
{
    actor *of = self->of;
    const job *what = worker_job(self);
    if (what->is_left_out || of->is_closing) return;
    pause_for(what->think_us);
    if (of->is_closing || system_is_exiled(of->number)) return;
    if (what->part == PART_FIRST) {
        worker_work_set(self);
        return;
    }
    redlock_lock *lock;
    redlock_options options;
    worker_options(&options, self);
    referee_waits(self->user, what->is_async ? &self->operation : NULL);
    redlock_status status =
        what->is_async ? acquire_async(self, what, &options, &lock)
                       : redlock_acquire(of->client, grants_name(what->name), &options, &lock);
    if (self->was_given_back) {
        await_return(self);
        return;
    }
    referee_acquired(self->user, status, lock);
    if (status == REDLOCK_OK) hold(self, lock, what);
}
