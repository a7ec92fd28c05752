/* SPDX-License-Identifier: MIT
 * How long this process was kept from running: stopped, which shows in a thread that only sleeps
 * and looks at the clock; or waiting for a processor, which the kernel counts for each thread.
 * Bounds are widened by that, so that they measure the library, on a busy machine too. */
#ifndef REDLOCK_TESTS_FAULTS_PULSE_H
#define REDLOCK_TESTS_FAULTS_PULSE_H

#include <stdbool.h>
#include <stdint.h>

/* One for the process, for its whole life. */
bool pulse_start(void);

/* In microseconds: the longest stall that was not over at `from_us`, and ... */
int64_t pulse_stall_us(int64_t from_us);
/* ... for how long all the threads together have waited for a processor, so far; 0 where the kernel
 * does not say. */
int64_t pulse_queued_us(void);

#endif
