/* SPDX-License-Identifier: MIT
 * Waiters whose processes died: members of a lock's line, for whose channels nobody is
 * subscribed. */
#ifndef REDLOCK_TESTS_SIM_CAST_GHOSTS_H
#define REDLOCK_TESTS_SIM_CAST_GHOSTS_H

#include <stdbool.h>

#include "sim/schedules/plan.h"

/* Puts so many at the end of the line, of every kind; where nobody holds or waits there is none. */
void ghosts_join(const plan *of, int name, int count, dice *chance);

/* Is this the "who" of one of them? */
bool ghosts_has(words who);

#endif
