/* SPDX-License-Identifier: MIT
 * The worker processes, as the campaign sees them. */
#ifndef REDLOCK_TESTS_FAULTS_CREW_H
#define REDLOCK_TESTS_FAULTS_CREW_H

#include <sys/types.h>

#include "faults/roster.h"

enum { URI_SIZE = 160 };

typedef struct crew {
    ledger *ledger;
    int ledger_fd;
    uint64_t seed;          /* of the next process */
    char uris[3][URI_SIZE]; /* by route */
    pid_t pids[WORKERS];
    long crashes; /* workers that ended without being killed */
} crew;

/* The URIs are to be set. */
bool crew_open(crew *self, uint64_t seed);
void crew_start_all(crew *self);
void crew_replace_all(crew *self);
void crew_close(crew *self);

void crew_start(crew *self, int worker);
void crew_kill(crew *self, int worker);
void crew_freeze(const crew *self, int worker);
void crew_thaw(const crew *self, int worker);

/* Is it in a section at this moment, as far as can be seen from here? */
bool crew_is_inside(const crew *self, int worker);

/* Starts those anew that ended by themselves. */
void crew_look_after(crew *self);

typedef struct progress {
    uint64_t answers[SEATS];
} progress;

progress crew_progress(const crew *self);
/* How many seats have made none since then? `told` says which, to people. */
int crew_stuck_since(const crew *self, const progress *then, bool told);

void crew_order(crew *self, enum ledger_order order);
/* How many seats do not rest yet? */
int crew_restless(const crew *self, bool told);
/* After ORDER_GO_HOME: how many are still there? */
int crew_remaining(crew *self);

#endif
