/* SPDX-License-Identifier: MIT
 * Runs one plan: the clients' threads, the faults, and the clock that goes from event to event. */
#ifndef REDLOCK_TESTS_SIM_SCHEDULES_SCHEDULE_H
#define REDLOCK_TESTS_SIM_SCHEDULES_SCHEDULE_H

#include "sim/schedules/plan.h"

/* NULL, or the promise that was broken; the text lives until the next run. */
const char *schedule_run(const plan *of);

/* What the last run had: steps of time, locks acquired, faults that struck. */
typedef struct tally {
    long steps, acquired, faults;
} tally;
tally schedule_tally(void);

#endif
