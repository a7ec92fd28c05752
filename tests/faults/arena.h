/* SPDX-License-Identifier: MIT
 * What faults act on: a server that keeps its data on disk, a network, the workers, and the dice
 * that decide. */
#ifndef REDLOCK_TESTS_FAULTS_ARENA_H
#define REDLOCK_TESTS_FAULTS_ARENA_H

#include "faults/checker.h"
#include "faults/crew.h"
#include "sim/dice.h"
#include "support/proxy.h"
#include "support/server.h"

enum { LOSSES_MOST = 1024 };

typedef struct arena {
    server *server;
    proxy *proxy;
    crew crew;
    dice dice;
    int64_t span_least_ms, span_most_ms; /* how long a fault lasts */
    loss losses[LOSSES_MOST];
    size_t loss_count;
} arena;

void arena_open(arena *self, uint64_t seed, int64_t pace_ms);
void arena_close(arena *self);

void arena_pass(int64_t span_ms);
/* How long this fault is to last; and to let that pass. */
int64_t arena_span_ms(arena *self);
void arena_last(arena *self);

/* Data of `name` is about to be lost; arena_lost tells that it was. */
void arena_loses(arena *self, int name);
void arena_lost(arena *self);

#endif
