/* SPDX-License-Identifier: MIT
 * What a user of the library does, as a thread on its machine. */
#include "sim/actors.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sim/grants.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/referee.h"
#include "sim/system.h"
#include "sim/trace.h"

/* How long everyone stays after the last fault, so that whatever is undone in the background is undone. */
enum { QUIET_US = 6000000 };

typedef struct actor actor;

/* A thread that does jobs: one after the other, or a single one. */
typedef struct worker {
    actor *of;
    int user;
    redlock_operation operation; /* of an acquisition that is waited for, or 0 */
    bool is_over;
} worker;

struct actor {
    int number;
    const client_plan *plan;
    redlock_client *client;
    redlock_canceller *canceller;
    worker workers[JOBS_MOST]; /* one for each job */
    int at_work;               /* so many have a thread that has not ended */
    fiber *loop;               /* of a client that wants to be turned; NULL: it does not */
    int loop_stop_fd;          /* readable: the loop is to end */
    dice cancels;
    bool is_closing, is_closed, is_done;
};

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

static void pause_for(int64_t span_us) { fiber_wait(now_us() + span_us, NULL); }

/* ---- The event loop of a client that has none of its own --------------------------------------- */

static void *turn(void *of)
{
    actor *self = of;
    struct pollfd fds[] = {{.fd = redlock_fd(self->client), .events = POLLIN},
                           {.fd = self->loop_stop_fd, .events = POLLIN}};
    while (fds[1].revents == 0) {
        int64_t ms = self->plan->asks_timeout ? redlock_timeout_ms(self->client) : -1;
        struct timespec most = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
        (void)ppoll(fds, 2, ms < 0 ? NULL : &most, NULL);
        redlock_status status = redlock_process(self->client);
        if (status != REDLOCK_OK)
            referee_break("client %d: process answered %s", self->number, redlock_status_name(status));
    }
    return NULL;
}

static void start_loop(actor *self)
{
    if (self->plan->host == REDLOCK_HOST_KEEPER) return;
    self->loop_stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->loop = fiber_start(self->number, turn, self);
}

/* It has to be over before its client is closed. */
static void stop_loop(actor *self)
{
    uint64_t one = 1;
    if (self->loop == NULL) return;
    (void)!write(self->loop_stop_fd, &one, sizeof one);
    while (!fiber_is_over(self->loop)) fiber_wait(SIM_NEVER, self->loop);
    close(self->loop_stop_fd);
    self->loop = NULL;
}

/* ---- Closing ---------------------------------------------------------------------------------- */

static void close_client(actor *self)
{
    self->is_closing = true;
    stop_loop(self);
    redlock_status status = redlock_close(self->client);
    trace("client %d: close -> %s", self->number, redlock_status_name(status));
    self->is_closed = true;
    referee_closed(self->number);
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
    for (int i = 0; i < JOBS_MOST; i++) referee_excuses(user_of(number, i));
    fiber_start(number, close_meanwhile, self);
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
    actor_close(number);
    fibers_look(number);
}

/* ---- Cancelling ------------------------------------------------------------------------------- */

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

/* ---- Jobs ------------------------------------------------------------------------------------- */

static void convert(worker *self, redlock_lock *lock, redlock_mode to)
{
    /* Neither mode is sure while it changes, but the one that both include. */
    referee_changes(self->user, REDLOCK_SHARED);
    redlock_status status = to == REDLOCK_SHARED ? redlock_downgrade(lock) : redlock_upgrade(lock);
    trace("client %d: convert -> %s", self->of->number, redlock_status_name(status));
    if (status == REDLOCK_OK && to == REDLOCK_EXCLUSIVE) {
        referee_changes(self->user, REDLOCK_EXCLUSIVE);
        grants_check_fence(self->user, lock, REDLOCK_EXCLUSIVE);
    }
}

static void lost(void *of, redlock_lock *lock)
{
    (void)lock;
    referee_lost(((worker *)of)->user);
}

static void set_options(redlock_options *out, worker *self, const job *what)
{
    *out = (redlock_options){.struct_size = sizeof *out,
                             .mode = what->mode,
                             .on_lost = what->is_told ? lost : NULL,
                             .on_lost_arg = self,
                             .policy = the_plan->policy[what->name],
                             .permits = what->mode == REDLOCK_SHARED ? the_plan->permits[what->name] : 0,
                             .ttl_ms = what->ttl_ms,
                             .wait_ms = what->wait_ms,
                             .claim_ms = what->claim_ms,
                             .max_hold_ms = what->max_hold_ms,
                             .auto_renew = what->auto_renew,
                             .reentrant = what->is_reentrant,
                             .canceller = what->is_async ? NULL : self->of->canceller};
}

static void enter_again(worker *self, redlock_lock *lock, const job *what)
{
    redlock_lock *inner;
    redlock_options options;
    set_options(&options, self, what);
    redlock_status status = redlock_acquire(self->of->client, grants_name(what->name), &options, &inner);
    trace("client %d: enter again -> %s", self->of->number, redlock_status_name(status));
    if (status != REDLOCK_OK) return;
    if (inner != lock) referee_accuse(self->user, "entered again, and got another lock");
    pause_for(what->hold_us / 4);
    (void)redlock_release(inner);
}

static void act_midway(worker *self, redlock_lock *lock, const job *what)
{
    switch (what->midway) {
    case MIDWAY_NOTHING: return;
    case MIDWAY_EXTEND: (void)redlock_extend(lock, what->ttl_ms); return;
    case MIDWAY_ENTER: enter_again(self, lock, what); return;
    case MIDWAY_DOWNGRADE: convert(self, lock, REDLOCK_SHARED); return;
    case MIDWAY_UPGRADE: convert(self, lock, REDLOCK_EXCLUSIVE); return;
    }
}

/* ---- Asynchronous calls, waited for ---- */

typedef struct awaited {
    int user;
    int completions;
    redlock_status status;
    redlock_lock *lock;
} awaited;

static void complete(awaited *self, redlock_status status, redlock_lock *lock)
{
    if (self->completions++ > 0) referee_accuse(self->user, "an operation completed twice");
    self->status = status;
    self->lock = lock;
    fibers_wake(self);
}

static void acquired(void *of, redlock_status status, redlock_lock *lock) { complete(of, status, lock); }
static void released(void *of, redlock_status status) { complete(of, status, NULL); }

/* What outlives the call is in the arena: a second completion would be noticed. */
static awaited *new_awaited(int user)
{
    awaited *made = arena_take(sizeof *made);
    *made = (awaited){.user = user};
    return made;
}

static redlock_status wait_for(awaited *self)
{
    while (self->completions == 0) fiber_wait(SIM_NEVER, self);
    return self->status;
}

static redlock_status acquire_async(worker *self, const job *what, redlock_options *options, redlock_lock **lock)
{
    awaited *completion = new_awaited(self->user);
    const char *name = grants_name(what->name);
    *lock = NULL;
    redlock_status status =
        redlock_acquire_async(self->of->client, name, strlen(name), options, acquired, completion, &self->operation);
    if (status == REDLOCK_OK) status = wait_for(completion);
    self->operation = 0;
    *lock = completion->lock;
    return status;
}

static redlock_status release_lock(worker *self, const job *what, redlock_lock *lock)
{
    if (!what->is_async || self->of->is_closing) return redlock_release(lock);
    awaited *completion = new_awaited(self->user);
    redlock_status status = redlock_release_async(lock, released, completion);
    return status == REDLOCK_OK ? wait_for(completion) : redlock_release(lock);
}

static void hold(worker *self, redlock_lock *lock, const job *what)
{
    const actor *of = self->of;
    pause_for(what->hold_us / 2);
    if (!of->is_closing) act_midway(self, lock, what);
    pause_for(what->hold_us - what->hold_us / 2);
    referee_releases(self->user);
    bool was_closing = of->is_closing;
    redlock_status status = release_lock(self, what, lock);
    if (!was_closing && !of->is_closing) referee_released(self->user, status);
}

static void work(worker *self)
{
    actor *of = self->of;
    const job *what = &of->plan->jobs[number_of_user(self->user)];
    if (what->is_left_out || of->is_closing) return;
    pause_for(what->think_us);
    if (of->is_closing || system_is_exiled(of->number)) return;
    redlock_lock *lock;
    redlock_options options;
    set_options(&options, self, what);
    referee_waits(self->user, what->is_async ? &self->operation : NULL);
    redlock_status status = what->is_async ? acquire_async(self, what, &options, &lock)
                                           : redlock_acquire(of->client, grants_name(what->name), &options, &lock);
    referee_acquired(self->user, status, lock);
    if (status == REDLOCK_OK) hold(self, lock, what);
}

static void *work_beside(void *of)
{
    worker *self = of;
    work(self);
    self->is_over = true;
    self->of->at_work--;
    fibers_wake(&self->of->at_work);
    return NULL;
}

static void work_at_once(actor *self)
{
    self->at_work = self->plan->job_count;
    for (int i = 0; i < self->plan->job_count; i++) fiber_start(self->number, work_beside, &self->workers[i]);
    while (self->at_work > 0) fiber_wait(SIM_NEVER, &self->at_work);
}

static void work_in_turn(actor *self)
{
    for (int i = 0; i < self->plan->job_count; i++) {
        work(&self->workers[i]);
        self->workers[i].is_over = true;
        redlock_canceller_reset(self->canceller);
    }
}

/* ---- The whole life --------------------------------------------------------------------------- */

static redlock_status open_client(actor *self)
{
    redlock_client_options options = {.struct_size = sizeof options,
                                      .host = self->plan->host,
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
    start_loop(self);
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
        actors[i] = (actor){.number = i, .plan = given};
        for (int j = 0; j < JOBS_MOST; j++) actors[i].workers[j] = (worker){.of = &actors[i], .user = user_of(i, j)};
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
