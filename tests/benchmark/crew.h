/* SPDX-License-Identifier: MIT
 * Threads or processes that do one thing at the same time, in slices, under a conductor.
 *
 *     conductor   crew_new --- crew_begin ---- crew_stop, crew_await --- crew_begin ... crew_close
 *     member           open  |   slice ........ ends            | (idle) |  slice ...        close
 *
 * Between slices the members sleep, so that a floor can be measured while they are there. Processes
 * are forked before they open anything. After a failure nothing is tidied up: the measurement's
 * process ends, and its children die with it. */
#ifndef REDLOCK_BENCHMARK_CREW_H
#define REDLOCK_BENCHMARK_CREW_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { CREW_MAX = 256 };

enum crew_kind { CREW_THREADS, CREW_PROCESSES };

typedef struct crew crew;

/* In shared memory, each on cache lines of its own. */
typedef struct member {
    _Alignas(64) crew *crew;
    int index;
    sem_t start;
    _Atomic uint64_t sections; /* finished since the crew began; counted by the slice */
} member;

typedef struct crew_task {
    void *(*open)(void *arg, int index);     /* what the member keeps; NULL: it failed */
    bool (*slice)(void *kept, member *self); /* until crew_is_stopping, or an end of its own */
    void (*close)(void *kept);
} crew_task;

/* Starts the members and waits until each has opened; NULL after a failure. Processes share `arg`
 * only if it is in shared memory. */
crew *crew_new(enum crew_kind kind, int size, const crew_task *task, void *arg);

/* Lets every member run one slice; `choice` is what crew_choice says meanwhile. */
void crew_begin(crew *self, int choice);
void crew_stop(crew *self);
/* Waits until every member has ended its slice; false if one failed or is not back in time. */
bool crew_await(crew *self);

/* Ends the members, between slices. */
void crew_close(crew *self);

bool crew_has_failed(const crew *self);
/* Copies each member's count, and returns the sum. */
uint64_t crew_sections(const crew *self, uint64_t counts[CREW_MAX]);

/* For the members: */
bool crew_is_stopping(const member *self);
int crew_choice(const member *self);

#endif
