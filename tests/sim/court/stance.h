/* SPDX-License-Identifier: MIT
 * What the referee knows of each user. Private to the referee. */
#ifndef REDLOCK_TESTS_SIM_COURT_STANCE_H
#define REDLOCK_TESTS_SIM_COURT_STANCE_H

#include "engine/lease.h"
#include "sim/court/referee.h"
#include "sim/machine/machine.h"
#include "wire/identity.h"

/* How far a library call may overshoot its deadline, besides the disturbances: nothing of it takes
 * time here. */
enum { OVERSHOOT_US = 2000 };
/* But for the leaving of the queue, for which a blocking wait that is over gives a near server so
 * long; and a MANUAL client's for that, and for stretching its claim. */
enum { LEAVING_US = 5000 };
/* The longest pause between two attempts to connect, and what follows from it. */
enum { BACKOFF_MOST_US = 2600000, RETRY_MOST_US = 1500000 };

/* What the loop of a client may do for a user: to tell what is complete, to ask while it waits, to
 * keep its hold and to give back what nobody has. It is late twice in a round, and what it does
 * takes it some rounds. */
enum loop_duty { LOOP_TELLS, LOOP_ASKS, LOOP_KEEPS };
enum { ROUNDS_TO_TELL = 1, ROUNDS_TO_ASK = 4, ROUNDS_TO_KEEP = 8 };

/* A user that holds something does not wait, and the other way round. */
typedef struct stance {
    int user, client;
    const job *what;
    const redlock_operation *operation; /* of an asynchronous call */
    bool is_waiting;                    /* within redlock_acquire */
    bool is_gathering;                  /* a set, within redlock_acquire_set */
    bool is_excused, is_closed, is_gone;
    bool is_robbed; /* somebody took the lock from it by force: it hears of that at its next renewal
                     */
    int64_t entered_us;              /* when it began to acquire */
    int64_t began_us;                /* the call under way */
    int64_t subscribed_us, asked_us; /* as the node saw it ... */
    words channel;                   /* ... of the inbox that the latest question named */
    char channel_bytes[CHANNEL_MOST];
    words asked_for; /* the holder's member in it */
    char asked_for_bytes[HOLDER_SIZE];
    int64_t granted_us; /* since when the node has it as a holder, while it waits; 0 */
    const cable *subscribed_on;
    int64_t
        arrival_us; /* by the node's clock, when it was first told that it waits; 0: it was not */
    const cable *queued_on; /* where the latest question was answered "queued"; NULL if otherwise */
    int64_t valid_until_us; /* at the release, at least so long */
    redlock_lock *lock;     /* held, as far as the user knows */
    bool did_believe;       /* at the last look ... */
    int64_t believes_until_us; /* ... until then */
    int64_t acquired_us;
    int64_t lost_us;        /* when its belief ended before it released; 0 */
    bool was_told, is_over; /* by on_lost; released */
    int64_t warned_us;      /* when it was told last that it is at risk; 0 */
    int64_t denied_us;      /* when the node first told a renewal that it has no such holder; 0 */
} stance;

extern const plan *refereed;

/* Those who wait or hold, in any order. */
int stances_active(void);
stance *stance_active(int number);

/* When the machine was last kept from running. */
int64_t stance_held_up_us(const stance *self);
/* How late that may be for it: only by its own loop, and 0 where that has no part in it. */
int64_t stance_lateness_us(const stance *self, enum loop_duty what);
/* The same of what a client's loop keeps, whoever it is for. */
int64_t client_lateness_us(int client);
/* Is its lease, or was its place in the queue, from before the node broke leases? */
bool stance_is_void(const stance *self);
/* May the client's holds stay on the node? */
bool stance_may_leave(int client);
bool stance_believes(const stance *self);
/* Until when, of what it holds, in virtual time. */
int64_t stance_valid_until_us(const stance *self);
/* Is this the member of what it holds? */
bool stance_is_holder(const stance *self, words holder);
/* The first lease: the claim, where that is shorter. */
int64_t stance_lease_us(const job *what);
/* Is it one of a few round trips only? */
bool stance_is_short(const job *what);

/* The checks after every instant, for one name and for one user. */
void belief_judge(int name);
void belief_judge_loss(stance *self);
void belief_judge_denial(const stance *self);
void belief_judge_telling(const stance *self);
void belief_judge_told(const stance *self);
void belief_judge_unwarned(const stance *self);
void belief_judge_warning(const stance *self, int64_t left_ms);
void waiting_judge(int name);
void waiting_judge_asking(stance *self);
void waiting_judge_dropped(const stance *self);
void waiting_judge_knowing(const stance *self);

#endif
