/* SPDX-License-Identifier: MIT
 * Makes a failing plan shorter. */
#ifndef REDLOCK_TESTS_SIM_SCHEDULES_SHRINK_H
#define REDLOCK_TESTS_SIM_SCHEDULES_SHRINK_H

#include "sim/schedules/plan.h"

/* Leaves out clients, jobs and faults for as long as some promise is still broken. */
void shrink(plan *failing);

#endif
