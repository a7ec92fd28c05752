/* SPDX-License-Identifier: MIT
 * The simulated machines: virtual time, threads as fibers, and memory that is the same at every
 * replay.
 *
 * Every client runs on a machine of its own, with a clock that has an offset and a rate. A thread
 * is a fiber: it runs until it waits, in no time at all, unless its machine is one that stalls:
 * then a reading of the clock may take as long as a preempted thread needs. A machine that is
 * stopped (SIGSTOP) runs none of its fibers, while its clock goes on.
 *
 * Rule: real time, real threads and the real allocator never decide anything. */
#ifndef REDLOCK_TESTS_SIM_MACHINE_MACHINE_H
#define REDLOCK_TESTS_SIM_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/dice.h"

enum { MACHINES_MOST = 8, FIBERS_MOST = 96 };

#define SIM_NEVER INT64_MAX

typedef struct machine {
    int64_t offset_us; /* what its clock shows at the beginning */
    int64_t rate_ppm;  /* how much faster than the server's it runs */
    int64_t stopped_until_us;
    int stall_permille;       /* how often a clock reading is followed by a stall ... */
    int64_t stall_most_us;    /* ... and for how long */
    int64_t stalled_until_us; /* the latest end of a stall so far */
    dice dice;
} machine;

/* Everything begins anew, at instant 0, with the given machines at rest. */
void machines_begin(uint64_t seed, int count);
machine *machine_at(int number);

/* The instant, in microseconds of the server's pace. */
int64_t now_us(void);
void set_now_us(int64_t instant_us);

/* What the machine's clock shows now, and when it will show `local_us`. */
int64_t machine_clock_us(int number);
int64_t machine_instant_us(int number, int64_t local_us);

/* ---- Fibers ---- */

typedef struct fiber fiber;

/* Starts a thread on a machine: it runs at the next fibers_run. */
fiber *fiber_start(int machine_number, void *(*body)(void *), void *argument);
/* The fiber that runs, or NULL for the simulator itself. */
fiber *fiber_self(void);
int fiber_machine(const fiber *self);
bool fiber_is_over(const fiber *self);
unsigned long fiber_number(const fiber *self);
fiber *fiber_by_number(unsigned long number);

/* Waits until the instant, or until fibers_wake is called with the same subject. */
void fiber_wait(int64_t until_us, const void *subject);
void fibers_wake(const void *subject);

/* What a polling fiber looks at; polled by wake functions of the network. */
typedef bool fiber_ready_fn(void *looked_at, size_t count);
void fiber_poll(int64_t until_us, fiber_ready_fn *is_ready, void *looked_at, size_t count);
/* Wakes the machine's fibers that poll and are ready now. */
void fibers_look(int machine_number);
/* Those that poll look again at this instant, if they sleep for longer. */
void fibers_poll_until(int machine_number, int64_t until_us);

/* Runs every fiber that can run now, and again, until none can. */
void fibers_run(void);
/* The next instant at which one can. */
int64_t fibers_next_us(void);

/* ---- Memory ---- */

/* Zeroed by nobody, given back all at once by machines_begin: nothing is used twice, so that the
 * address sanitizer sees every use of what was given back, or is another's. */
void *arena_take(size_t size);
void arena_give_back(void *block); /* NULL is allowed */

#endif
