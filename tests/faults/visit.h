/* SPDX-License-Identifier: MIT
 * A worker's way through a critical section, written down step by step.
 *
 *     visit_plan -> visit_answered -> visit_enter -> visit_work ... -> visit_leave -> visit_settle
 *                                          ^                              |
 *                                          +-- visit_convert (new mode) --+ */
#ifndef REDLOCK_TESTS_FAULTS_VISIT_H
#define REDLOCK_TESTS_FAULTS_VISIT_H

#include "faults/roster.h"
#include "sim/dice.h"

/* How long a worker that lost its lock listens for on_lost before it releases. */
enum { TOLD_WITHIN_US = 500000 };

typedef struct visit {
    int number; /* of the seat */
    const demand *wants;
    seat *seat;
    resource *resources;
    dice dice;
    char owner[16];
    /* of the visit under way: */
    int name;
    int64_t asked_us, end_us; /* when it asked, and when it means to leave */
    uint64_t fence;           /* of the section before it, in the same hold; 0: it is the first */
    redlock_lock *lock;
    section *page;     /* NULL: not entered */
    int64_t queued_us; /* by the process, before it entered */
    _Atomic int64_t told_us;
} visit;

void visit_open(visit *self, ledger *all, int number, uint64_t seed);

/* Chooses a name and what to ask for. */
redlock_options visit_plan(visit *self);
void visit_answered(visit *self, redlock_status status, redlock_lock *lock);

/* False when the grant was over already. */
bool visit_enter(visit *self);
/* One step of the work, if the lock is still ours; false when it is not, or when the work is
 * done. */
bool visit_work(visit *self);
void visit_leave(visit *self);
/* A conversion is about to be asked for. */
void visit_convert(visit *self);
/* Was the lock lost, but on_lost is still to come? */
bool visit_awaits_word(const visit *self);
void visit_settle(visit *self, redlock_status released);

/* How long to do nothing now, in microseconds. */
int64_t visit_pause_us(visit *self, redlock_status last);

#endif
