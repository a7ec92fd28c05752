/* SPDX-License-Identifier: MIT
 * What a user of the library does, as a thread on its machine. */
#include "sim/actors.h"

#include <stdio.h>
#include <string.h>

#include "sim/grants.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/referee.h"
#include "sim/system.h"
#include "sim/trace.h"

/* How long everyone stays after the last fault, so that whatever is undone in the background is undone. */
enum { QUIET_US = 6000000 };

typedef struct actor {
    int number;
    const client_plan *plan;
    redlock_client *client;
    redlock_canceller *canceller;
    redlock_operation operation; /* of an acquisition that is waited for, or 0 */
    bool is_closing, is_closed, is_done;
} actor;

static const plan *the_plan;
static actor actors[MACHINES_MOST];

static void *allocate(void *owner, size_t size)
{
    (void)owner;
    return arena_take(size);
}

static void release(void *owner, void *block)
{
    (void)owner;
    (void)block;
}

static void pause_for(int64_t span_us) { fiber_wait(now_us() + span_us, NULL); }

/* ---- Closing ---------------------------------------------------------------------------------- */

static void close_client(actor *self)
{
    self->is_closing = true;
    redlock_status status = redlock_close(self->client);
    trace("client %d: close -> %s", self->number, redlock_status_name(status));
    self->is_closed = true;
    if (status != REDLOCK_OK) referee_break("client %d: close answered %s", self->number, redlock_status_name(status));
}

static void *close_meanwhile(void *of)
{
    close_client(of);
    return NULL;
}

void actor_close(int number)
{
    actor *self = &actors[number];
    if (self->is_closing || self->client == NULL || the_plan->clients[number].is_left_out) return;
    self->is_closing = true;
    referee_excuses(number);
    fiber_start(number, close_meanwhile, self);
}

void actor_crash(int number, uint64_t chance)
{
    dice details = {chance};
    for (int i = 0; i < network_count(); i++) {
        cable *one = network_cable(i);
        if (one->machine != number || one->is_closed) continue;
        cut how = {.loses_requests = dice_below(&details, 2) == 0, .machine_learns_us = SIM_NEVER, .node_learns_us = SIM_NEVER};
        if (dice_below(&details, 3) != 0) how.node_learns_us = dice_spread(&details, 0, 3000000);
        cable_cut(one, &how);
    }
    referee_gone(number);
    system_exile(number);
    actor_close(number);
    fibers_look(number);
}

static void *cancel_meanwhile(void *of)
{
    actor *self = of;
    if (self->operation != 0 && !self->is_closing) redlock_cancel_async(self->client, self->operation);
    else if (self->canceller != NULL) redlock_cancel(self->canceller);
    return NULL;
}

void actor_cancel(int number)
{
    actor *self = &actors[number];
    if (self->canceller == NULL || self->is_done) return;
    referee_excuses(number);
    fiber_start(number, cancel_meanwhile, self);
}

/* ---- Jobs ------------------------------------------------------------------------------------- */

static void convert(actor *self, redlock_lock *lock, redlock_mode to)
{
    /* Neither mode is sure while it changes, but the one that both include. */
    referee_changes(self->number, REDLOCK_SHARED);
    redlock_status status = to == REDLOCK_SHARED ? redlock_downgrade(lock) : redlock_upgrade(lock);
    trace("client %d: convert -> %s", self->number, redlock_status_name(status));
    if (status == REDLOCK_OK && to == REDLOCK_EXCLUSIVE) {
        referee_changes(self->number, REDLOCK_EXCLUSIVE);
        grants_check_fence(self->number, lock, REDLOCK_EXCLUSIVE);
    }
}

static void act_midway(actor *self, redlock_lock *lock, const job *what)
{
    switch (what->midway) {
    case MIDWAY_NOTHING: return;
    case MIDWAY_EXTEND: (void)redlock_extend(lock, what->ttl_ms); return;
    case MIDWAY_DOWNGRADE: convert(self, lock, REDLOCK_SHARED); return;
    case MIDWAY_UPGRADE: convert(self, lock, REDLOCK_EXCLUSIVE); return;
    }
}

/* ---- Asynchronous calls, waited for ---- */

typedef struct awaited {
    int client;
    int completions;
    redlock_status status;
    redlock_lock *lock;
} awaited;

static void complete(awaited *self, redlock_status status, redlock_lock *lock)
{
    if (self->completions++ > 0) referee_break("client %d: an operation completed twice", self->client);
    self->status = status;
    self->lock = lock;
    fibers_wake(self);
}

static void acquired(void *of, redlock_status status, redlock_lock *lock) { complete(of, status, lock); }
static void released(void *of, redlock_status status) { complete(of, status, NULL); }

/* What outlives the call is in the arena: a second completion would be noticed. */
static awaited *new_awaited(int client)
{
    awaited *made = arena_take(sizeof *made);
    *made = (awaited){.client = client};
    return made;
}

static redlock_status wait_for(awaited *self)
{
    while (self->completions == 0) fiber_wait(SIM_NEVER, self);
    return self->status;
}

static redlock_status acquire_async(actor *self, const job *what, redlock_options *options, redlock_lock **lock)
{
    awaited *completion = new_awaited(self->number);
    const char *name = grants_name(what->name);
    options->canceller = NULL;
    *lock = NULL;
    redlock_status status =
        redlock_acquire_async(self->client, name, strlen(name), options, acquired, completion, &self->operation);
    if (status == REDLOCK_OK) status = wait_for(completion);
    self->operation = 0;
    *lock = completion->lock;
    return status;
}

static redlock_status release_lock(actor *self, const job *what, redlock_lock *lock)
{
    if (!what->is_async || self->is_closing) return redlock_release(lock);
    awaited *completion = new_awaited(self->number);
    redlock_status status = redlock_release_async(lock, released, completion);
    return status == REDLOCK_OK ? wait_for(completion) : redlock_release(lock);
}

static void hold(actor *self, redlock_lock *lock, const job *what)
{
    pause_for(what->hold_us / 2);
    if (!self->is_closing) act_midway(self, lock, what);
    pause_for(what->hold_us - what->hold_us / 2);
    referee_releases(self->number);
    bool was_closing = self->is_closing;
    redlock_status status = release_lock(self, what, lock);
    if (was_closing || self->is_closing) return;
    referee_released(self->number, status);
}

static void work(actor *self, const job *what)
{
    redlock_lock *lock;
    redlock_options options = {.struct_size = sizeof options,
                               .mode = what->mode,
                               .policy = the_plan->policy[what->name],
                               .permits = what->mode == REDLOCK_SHARED ? the_plan->permits[what->name] : 0,
                               .ttl_ms = what->ttl_ms,
                               .wait_ms = what->wait_ms,
                               .claim_ms = what->claim_ms,
                               .max_hold_ms = what->max_hold_ms,
                               .auto_renew = what->auto_renew,
                               .canceller = self->canceller};
    referee_waits(self->number, what);
    redlock_status status = what->is_async
                                ? acquire_async(self, what, &options, &lock)
                                : redlock_acquire(self->client, grants_name(what->name), &options, &lock);
    referee_acquired(self->number, status, lock);
    if (status == REDLOCK_OK) hold(self, lock, what);
}

static redlock_status open_client(actor *self)
{
    redlock_client_options options = {.struct_size = sizeof options,
                                      .timeout_ms = self->plan->timeout_ms,
                                      .connect_timeout_ms = self->plan->connect_timeout_ms,
                                      .linger_ms = self->plan->linger_ms,
                                      .spin_us = -1,
                                      .log_level = REDLOCK_LOG_SILENT,
                                      .allocator = {.allocate = allocate, .release = release}};
    redlock_status status = redlock_open("redis://127.0.0.1:6379", &options, &self->client);
    return status == REDLOCK_OK ? redlock_canceller_open(&self->canceller) : status;
}

static void *live(void *of)
{
    actor *self = of;
    if (open_client(self) != REDLOCK_OK) {
        referee_break("client %d could not be opened", self->number);
        return NULL;
    }
    for (int i = 0; i < self->plan->job_count; i++) {
        const job *what = &self->plan->jobs[i];
        if (what->is_left_out) continue;
        pause_for(what->think_us);
        if (self->is_closing || system_is_exiled(self->number)) break;
        work(self, what);
        redlock_canceller_reset(self->canceller);
    }
    int64_t quiet_us = plan_healed_us(the_plan) > now_us() ? plan_healed_us(the_plan) : now_us();
    if (!self->is_closing) fiber_wait(quiet_us + QUIET_US, NULL);
    if (!self->is_closing) close_client(self);
    redlock_canceller_close(self->canceller);
    self->canceller = NULL;
    self->is_done = true;
    return NULL;
}

void actors_begin(const plan *of)
{
    the_plan = of;
    memset(actors, 0, sizeof actors);
    for (int i = 0; i < of->client_count; i++) {
        const client_plan *given = &of->clients[i];
        machine *on = machine_at(i);
        actors[i] = (actor){.number = i, .plan = given};
        on->offset_us = given->offset_us;
        on->rate_ppm = given->rate_ppm;
        on->stall_permille = given->stall_permille;
        on->stall_most_us = given->stall_most_us;
        if (!given->is_left_out) fiber_start(i, live, &actors[i]);
    }
}

int actors_first_pending(void)
{
    for (int i = 0; i < the_plan->client_count; i++) {
        bool is_over = actors[i].is_done && actors[i].is_closed;
        if (!is_over && !the_plan->clients[i].is_left_out) return i;
    }
    return -1;
}

bool actors_are_done(void) { return actors_first_pending() < 0; }
