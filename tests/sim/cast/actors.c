/* SPDX-License-Identifier: MIT
 * What a user of the library does, as a thread on its machine. */
#include "sim/cast/actors.h"

#include <string.h>

#include "sim/cast/actor.h"
#include "sim/court/grants.h"
#include "sim/court/referee.h"
#include "sim/machine/machine.h"
#include "sim/machine/system.h"
#include "sim/trace.h"
#include "sim/world/network.h"

/* How long everyone stays after the last fault, so that whatever is undone in the background is
 * undone. */
enum { QUIET_US = 6000000 };

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
    arena_give_back(block);
}

/* ---- Closing --------------------------------------------------------------------------------- */

static void has_closed(void *of)
{
    actor *self = of;
    trace("client %d: closed", self->number);
    self->is_closed = true;
    referee_closed(self->number);
}

static void close_client(actor *self)
{
    self->is_closing = true;
    loop_stop(&self->loop);
    redlock_status status = redlock_close(self->client);
    has_closed(self);
    if (status != REDLOCK_OK)
        referee_break("client %d: close answered %s", self->number, redlock_status_name(status));
}

static void *close_meanwhile(void *of)
{
    close_client(of);
    return NULL;
}

/* From here on its users begin no call, and what their calls answer proves nothing. */
static void begin_closing(actor *self)
{
    self->is_closing = true;
    referee_closes(self->number);
}

/* When the callback has returned, redlock_process does the rest. */
void actor_close_inside(actor *self)
{
    if (!self->is_to_close || self->is_closing) return;
    begin_closing(self);
    redlock_status status = redlock_close(self->client);
    trace("client %d: close inside -> %s", self->number, redlock_status_name(status));
    if (status != REDLOCK_OK)
        referee_break("client %d: close answered %s", self->number, redlock_status_name(status));
}

static void close_beside(actor *self)
{
    if (self->is_closing || self->client == NULL || self->plan->is_left_out) return;
    begin_closing(self);
    fiber_start(self->number, close_meanwhile, self);
}

void actor_close(int number)
{
    actor *self = &actors[number];
    if (self->plan->closes_inside) self->is_to_close = true;
    else close_beside(self);
}

void actor_crash(int number, uint64_t chance)
{
    dice details = {chance};
    for (int i = 0; i < network_count(); i++) {
        cable *one = network_cable(i);
        if (one->machine != number || one->is_closed) continue;
        cut how = {.loses_requests = dice_below(&details, 2) == 0,
                   .machine_learns_us = SIM_NEVER,
                   .node_learns_us = SIM_NEVER};
        if (dice_below(&details, 3) != 0) how.node_learns_us = dice_spread(&details, 0, 3000000);
        cable_cut(one, &how);
    }
    referee_gone(number);
    system_exile(number);
    close_beside(&actors[number]);
    fibers_look(number);
}

/* ---- Cancelling ------------------------------------------------------------------------------ */

static bool cancel_operations(actor *self)
{
    bool has_cancelled = false;
    for (int i = 0; i < self->plan->job_count; i++) {
        worker *one = &self->workers[i];
        bool is_spared = self->plan->is_parallel && dice_below(&self->cancels, 2) == 0;
        if (one->operation == 0 || self->is_closing || is_spared) continue;
        referee_excuses(one->user);
        redlock_cancel_async(self->client, one->operation);
        has_cancelled = true;
    }
    return has_cancelled;
}

/* It stays set: whatever blocks from now on is cancelled, too. */
static void cancel_blocking(actor *self)
{
    for (int i = 0; i < self->plan->job_count; i++)
        if (!self->workers[i].is_over) referee_excuses(self->workers[i].user);
    redlock_cancel(self->canceller);
}

static void *cancel_meanwhile(void *of)
{
    actor *self = of;
    if (!cancel_operations(self) && self->canceller != NULL) cancel_blocking(self);
    return NULL;
}

void actor_cancel(int number, uint64_t chance)
{
    actor *self = &actors[number];
    if (self->canceller == NULL || self->is_done) return;
    self->cancels = (dice){chance};
    fiber_start(number, cancel_meanwhile, self);
}

/* ---- An operator's job ----------------------------------------------------------------------- */

static void *force_meanwhile(void *of)
{
    const actor *self = of;
    const char *name = grants_name(self->forces);
    if (self->is_closing) return NULL;
    redlock_status status = redlock_force_release(self->client, name, strlen(name), NULL, NULL);
    trace("client %d: force release %d -> %s", self->number, self->forces,
          redlock_status_name(status));
    return NULL;
}

void actor_force(int number, int name)
{
    actor *self = &actors[number];
    if (self->client == NULL || self->is_closing || self->plan->is_left_out ||
        system_is_exiled(number))
        return;
    self->forces = name;
    fiber_start(number, force_meanwhile, self);
}

/* ---- The whole life -------------------------------------------------------------------------- */

static void *work_beside(void *of)
{
    worker *self = of;
    worker_work(self);
    self->is_over = true;
    self->of->at_work--;
    fibers_wake(&self->of->at_work);
    return NULL;
}

static void work_at_once(actor *self)
{
    self->at_work = self->plan->job_count;
    for (int i = 0; i < self->plan->job_count; i++)
        fiber_start(self->number, work_beside, &self->workers[i]);
    while (self->at_work > 0) fiber_wait(SIM_NEVER, &self->at_work);
}

static void work_in_turn(actor *self)
{
    for (int i = 0; i < self->plan->job_count; i++) {
        worker_work(&self->workers[i]);
        self->workers[i].is_over = true;
        redlock_canceller_reset(self->canceller);
    }
}

static redlock_status open_client(actor *self)
{
    redlock_client_options options = {.struct_size = sizeof options,
                                      .host = self->plan->host,
                                      .timeout_ms = self->plan->timeout_ms,
                                      .connect_timeout_ms = self->plan->connect_timeout_ms,
                                      .linger_ms = self->plan->linger_ms,
                                      .max_connections = self->plan->max_connections,
                                      .spin_us = -1,
                                      .log_level = REDLOCK_LOG_SILENT,
                                      .allocator = {.allocate = allocate, .release = release}};
    redlock_status status = redlock_open("redis://127.0.0.1:6379", &options, &self->client);
    if (status != REDLOCK_OK) return status;
    self->loop = (loop){.client = self->client,
                        .machine = self->number,
                        .asks_for_timeout = self->plan->asks_for_timeout,
                        .late_permille = self->plan->late_permille,
                        .late_most_us = self->plan->late_most_us,
                        .lateness = dice_for(self->whole->seed, 200 + (uint64_t)self->number)};
    if (self->plan->host != REDLOCK_HOST_KEEPER) loop_start(&self->loop, has_closed, self);
    return redlock_canceller_open(&self->canceller);
}

static void *live(void *of)
{
    actor *self = of;
    if (open_client(self) != REDLOCK_OK) {
        referee_break("client %d could not be opened", self->number);
        return NULL;
    }
    if (self->plan->is_parallel) work_at_once(self);
    else work_in_turn(self);
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
        actors[i] = (actor){.number = i, .whole = of, .plan = given};
        for (int j = 0; j < JOBS_MOST; j++)
            actors[i].workers[j] = (worker){.of = &actors[i], .user = user_of(i, j)};
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
