/* SPDX-License-Identifier: MIT
 * Workers that use the asynchronous calls: one loop steps all the seats. Completions only leave
 * word; they run on this thread or, if the keeper is the host, on the client's.
 *
 *     IDLE ---> ASKED ---> INSIDE ---> LEAVING ---> RELEASING ---> IDLE */
#include "faults/worker.h"

#include <poll.h>
#include <stddef.h>
#include <string.h>

enum { TICK_MS = 2, CANCEL_ONE_IN = 20, CANCEL_AFTER_MOST_US = 20000 };

enum guest_state { IDLE, ASKED, INSIDE, LEAVING, RELEASING };

typedef struct guest {
    worker *of;
    visit *visit;
    enum guest_state state;
    int64_t next_us; /* IDLE: when to ask; ASKED: when to cancel; 0: not */
    redlock_operation operation;
    redlock_lock *lock; /* left by a completion, with ... */
    redlock_status status;
    _Atomic bool is_answered; /* ... this as its last word */
} guest;

static void leave_word(void *arg, redlock_status status)
{
    guest *self = arg;
    self->status = status;
    atomic_store(&self->is_answered, true);
}

static void leave_lock(void *arg, redlock_status status, redlock_lock *lock)
{
    ((guest *)arg)->lock = lock;
    leave_word(arg, status);
}

static void idle(guest *self, redlock_status last)
{
    self->state = IDLE;
    self->next_us = boot_us() + visit_pause_us(self->visit, last);
}

static void ask(guest *self)
{
    visit *at = self->visit;
    redlock_options o = visit_plan(at);
    const char *name = lock_names[at->name];
    bool cancels = dice_below(&at->dice, CANCEL_ONE_IN) == 0;
    atomic_store(&self->is_answered, false);
    self->state = ASKED;
    self->next_us = cancels ? at->asked_us + dice_below(&at->dice, CANCEL_AFTER_MOST_US) : 0;
    redlock_status status = redlock_acquire_async(self->of->client, name, strlen(name), &o,
                                                  leave_lock, self, &self->operation);
    if (status == REDLOCK_OK) return;
    visit_answered(at, status, NULL);
    idle(self, status);
}

static void turn_idle(guest *self, int64_t now_us)
{
    bool is_working = atomic_load(&self->of->ledger->order) == ORDER_WORK;
    atomic_store(&self->visit->seat->is_resting, !is_working);
    if (is_working && now_us >= self->next_us) ask(self);
}

static void turn_asked(guest *self, int64_t now_us)
{
    if (!atomic_load(&self->is_answered)) {
        if (self->next_us != 0 && now_us >= self->next_us)
            redlock_cancel_async(self->of->client, self->operation);
        return;
    }
    visit_answered(self->visit, self->status, self->lock);
    if (self->status != REDLOCK_OK) idle(self, self->status);
    else self->state = visit_enter(self->visit) ? INSIDE : LEAVING;
}

static void turn_inside(guest *self)
{
    if (visit_work(self->visit)) return;
    visit_leave(self->visit);
    self->state = LEAVING;
}

static void turn_leaving(guest *self)
{
    if (visit_awaits_word(self->visit)) return;
    atomic_store(&self->is_answered, false);
    if (redlock_release_async(self->visit->lock, leave_word, self) == REDLOCK_OK)
        self->state = RELEASING;
}

static void turn_releasing(guest *self)
{
    if (!atomic_load(&self->is_answered)) return;
    visit_settle(self->visit, self->status);
    idle(self, REDLOCK_OK);
}

static void turn(guest *self)
{
    switch (self->state) {
    case IDLE: turn_idle(self, boot_us()); break;
    case ASKED: turn_asked(self, boot_us()); break;
    case INSIDE: turn_inside(self); break;
    case LEAVING: turn_leaving(self); break;
    case RELEASING: turn_releasing(self); break;
    }
}

/* A tick, or less if the client has something to do on this thread. */
static void let_pass(const worker *self)
{
    struct pollfd watched = {.fd = redlock_fd(self->client), .events = POLLIN};
    if (poll(&watched, 1, TICK_MS) > 0) (void)redlock_process(self->client);
}

static bool is_at_home(const worker *self, const guest *guests)
{
    if (atomic_load(&self->ledger->order) != ORDER_GO_HOME) return false;
    for (int i = 0; i < self->role->seats; i++)
        if (guests[i].state != IDLE) return false;
    return true;
}

void worker_turn(worker *self)
{
    guest guests[SEATS];
    for (int i = 0; i < self->role->seats; i++)
        guests[i] = (guest){.of = self, .visit = &self->visits[i]};
    while (!is_at_home(self, guests)) {
        for (int i = 0; i < self->role->seats; i++) turn(&guests[i]);
        let_pass(self);
    }
}
