/* SPDX-License-Identifier: MIT
 * A client and its threads. Private to actors.c, which opens, cancels and closes, and to jobs.c and
 * sets.c, which have the work. */
#ifndef REDLOCK_TESTS_SIM_CAST_ACTOR_H
#define REDLOCK_TESTS_SIM_CAST_ACTOR_H

#include "sim/cast/loop.h"
#include "sim/schedules/plan.h"

typedef struct actor actor;

typedef struct worker worker;

/* An asynchronous call of a worker. It is in the arena, and outlives the call: a second completion
 * would be noticed. */
typedef struct awaited {
    worker *of;
    int completions;
    redlock_status status;
    redlock_lock *lock; /* what was acquired, if anything: a lock, ... */
    redlock_set *set;   /* ... or a set */
} awaited;

awaited *awaited_new(worker *of);
void awaited_complete(awaited *self, redlock_status status);
redlock_status awaited_wait(awaited *self);
/* A redlock_done_fn; its argument is an awaited. */
void awaited_done(void *self, redlock_status status);

/* A thread that does jobs: one after the other, or a single one. */
struct worker {
    actor *of;
    int user;
    redlock_operation operation; /* of an acquisition that is waited for, or 0 */
    awaited *returned;           /* the release that the completion submitted, or NULL */
    redlock_lock *held;          /* in its hold */
    bool was_given_back;         /* by a callback, in the background */
    bool is_over;
};

struct actor {
    int number;
    const plan *whole;
    const client_plan *plan;
    redlock_client *client;
    redlock_canceller *canceller;
    loop loop;                 /* but for the host KEEPER */
    worker workers[JOBS_MOST]; /* one for each job */
    int forces;                /* the lock that an operator takes from its holders */
    int at_work;               /* so many have a thread that has not ended */
    dice cancels;
    bool is_to_close; /* by the next callback */
    bool is_closing, is_closed, is_done;
};

/* Does the job, unless the client is being closed. */
void worker_work(worker *self);
/* The same for one that takes both names. */
void worker_work_set(worker *self);
const job *worker_job(const worker *self);
void worker_options(redlock_options *out, worker *self);
/* In a callback: closes the client, if it is to be closed there. */
void actor_close_inside(actor *self);

#endif
