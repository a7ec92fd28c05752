/* SPDX-License-Identifier: MIT
 * Threads that sleep while the keeper carries their calls. */
#include "api/carry.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "api/async.h"
#include "api/canceller.h"
#include "api/options.h"
#include "engine/lease.h"
#include "host/cancellation.h"
#include "host/clock.h"
#include "host/wake.h"

/* ---- Sleeping ---- */

/* On the stack of the thread that sleeps. */
typedef struct sleeper {
    wake wake; /* raised when all are told */
    _Atomic size_t untold;
} sleeper;

/* Behind the last of them the thread is awake, and this is gone. */
static void tell_sleeper(sleeper *self)
{
    wake copy = self->wake;
    if (atomic_fetch_sub(&self->untold, 1) == 1) wake_raise(&copy);
}

/* The operations are cancelled once, and told all the same. */
static void sleep_until_told(const sleeper *self, redlock_client *client,
                             const redlock_canceller *canceller, const redlock_operation *ids,
                             size_t count)
{
    struct pollfd fds[] = {{.fd = self->wake.fd, .events = POLLIN},
                           {.fd = canceller_fd(canceller), .events = POLLIN}};
    while (fds[0].revents == 0) {
        fds[1].revents = 0;
        if (ppoll(fds, 2, NULL, NULL) <= 0 || fds[1].revents == 0) continue;
        fds[1].fd = -1;
        for (size_t i = 0; i < count; i++) keeper_cancel(&client->keeper, ids[i]);
    }
    wake_clear(&self->wake); /* what was written before it was raised is seen from here on */
}

/* ---- Acts ---- */

typedef struct carried_act {
    act *whole; /* where it is told */
    sleeper *by;
} carried_act;

static void tell_act(acting *self, redlock_status status)
{
    carried_act *at = self->arg;
    exchange *asks = at->whole->asks;
    request *state = at->whole->state;
    *state = *self->what.state;
    *at->whole = self->what;
    at->whole->asks = asks;
    at->whole->state = state;
    at->whole->status = status;
    /* Whoever tells a failure has just kept its words for this thread. */
    snprintf(state->text, sizeof state->text, "%s",
             status == REDLOCK_OK ? "" : redlock_why_failed());
    at->whole->words = state->text;
    if (status != REDLOCK_OK) detail_write(at->whole->detail, state->text);
    tell_sleeper(at->by);
}

/* Hands them in, all or none. */
static redlock_status hand_acts_in(carried_act *all, size_t count, redlock_operation *ids)
{
    acting *first = NULL, *last = NULL;
    assert(count > 0);
    for (size_t i = 0; i < count; i++) {
        acting *next = acting_adopt(all[i].whole, tell_act, &all[i]);
        if (next == NULL) {
            acting_disown(first);
            return REDLOCK_ERR_MEMORY;
        }
        ids[i] = next->base.op.entry.number;
        if (first == NULL) first = next;
        else last->base.op.after = &next->base.op;
        last = next;
    }
    redlock_status status = completion_submit(&first->base);
    if (status != REDLOCK_OK) acting_disown(first);
    return status;
}

static void carry(carried_act *all, size_t count, sleeper *by, const redlock_canceller *canceller)
{
    redlock_operation ids[ACTS_AT_ONCE];
    redlock_client *client = all[0].whole->client;
    int before = cancellation_defer();
    atomic_store(&by->untold, count);
    redlock_status status = wake_open(&by->wake) ? REDLOCK_OK : REDLOCK_ERR_SYSTEM;
    if (status == REDLOCK_OK) status = hand_acts_in(all, count, ids);
    if (status == REDLOCK_OK) sleep_until_told(by, client, canceller, ids, count);
    for (size_t i = 0; status != REDLOCK_OK && i < count; i++) act_end(all[i].whole, status);
    wake_close(&by->wake);
    cancellation_restore(before);
}

void carry_acts(act *all, size_t count, const limits *within)
{
    sleeper by;
    carried_act begun[ACTS_AT_ONCE];
    size_t left = 0;
    assert(count <= ACTS_AT_ONCE);
    for (size_t i = 0; i < count; i++)
        if (!all[i].is_over) begun[left++] = (carried_act){&all[i], &by};
    if (left > 0) carry(begun, left, &by, within == NULL ? NULL : within->canceller);
}

/* ---- Acquisitions ---- */

typedef struct carried_acquisition {
    sleeper by;
    redlock_status status;
} carried_acquisition;

static void tell_acquisition(void *arg, redlock_status status, redlock_lock *lock)
{
    carried_acquisition *self = arg;
    (void)lock;
    self->status = status;
    tell_sleeper(&self->by);
}

static redlock_status hand_acquisition_in(redlock_client *client, redlock_lock *lock,
                                          const redlock_options *o, const limits *within,
                                          carried_acquisition *at, redlock_operation *id)
{
    acquiring *op = wake_open(&at->by.wake) ? acquiring_new(client, o, tell_acquisition, at) : NULL;
    if (op == NULL) {
        keeper_give_up(&client->keeper, lock, false, clock_now_us());
        return at->by.wake.fd < 0 ? REDLOCK_ERR_SYSTEM : REDLOCK_ERR_MEMORY;
    }
    op->base.is_a_part = true;
    return acquiring_hand_in(op, lock, within, id);
}

redlock_status carry_acquisition(redlock_client *client, redlock_lock *lock,
                                 const redlock_options *o, const limits *within)
{
    carried_acquisition at = {.by.untold = 1};
    redlock_operation id;
    int before = cancellation_defer();
    redlock_status status = hand_acquisition_in(client, lock, o, within, &at, &id);
    if (status == REDLOCK_OK) {
        sleep_until_told(&at.by, client, o->canceller, &id, 1);
        status = at.status;
    }
    wake_close(&at.by.wake);
    cancellation_restore(before);
    return status;
}
