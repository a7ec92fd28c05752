/* SPDX-License-Identifier: MIT
 * What the machine did meanwhile. A thread of the test's process sleeps for a millisecond at a time
 * and notes how late it woke: for so long the machine kept somebody waiting who was due, and so it
 * may have kept the library, the server or the test. Whatever is to take a certain time at the most
 * is therefore held against
 *
 *     the limit + a little + what the machine stalled since the mark, for each hand
 *
 * That still finds real delays: a fault delays the library, and not the meter, which waits for
 * nothing but a processor. On an idle machine the meter shows nothing, and the limit is the limit;
 * a busy one proves less, but fails nobody who is not at fault.
 *
 * A child of fork() has no meter, unless the first mark is its own.
 * Rule: nothing is asserted about how long something takes at the most, but here. */
#ifndef REDLOCK_TESTS_STALL_H
#define REDLOCK_TESTS_STALL_H

#include <stdbool.h>
#include <stdint.h>

/* A mark. */
typedef struct stall {
    int64_t began_us; /* by CLOCK_MONOTONIC */
    int64_t before_us;
} stall;

/* From now on. The first one of a process starts the meter. */
stall stall_begin(void);

/* For how long the machine stalled since the mark, what it does at this moment included: what the
 * meter was late, for each of the hands that what is measured goes through. */
int64_t stall_us(const stall *since);

/* How late a thread may run that is due, on a machine that does nothing else. */
int64_t stall_late_us(void);

/* Is so long no longer than that, on this machine? */
bool stall_allows(const stall *since, int64_t took_us, int64_t most_us);

/* The processor's time that the meter took itself. */
int64_t stall_meter_busy_us(void);

/* Fails the test if something took so long since the mark, and was to take `least_us` to `most_us`.
 * Too early is never right. */
void took_at(const stall *since, int64_t took_us, int64_t least_us, int64_t most_us,
             const char *file, int line);
#define TOOK(since, took_us, least_us, most_us)                                                    \
    took_at((since), (took_us), (least_us), (most_us), __FILE__, __LINE__)

/* The same for what is over now. */
void ended_at(const stall *since, int64_t least_us, int64_t most_us, const char *file, int line);
#define ENDED(since, least_us, most_us) ended_at((since), (least_us), (most_us), __FILE__, __LINE__)

#endif
