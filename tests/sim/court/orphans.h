/* SPDX-License-Identifier: MIT
 * Holds that nobody has: a lock that its client neither holds, nor waits for, nor is giving back,
 * is free again soon. Its lease is no bound. Excused are a process that died, a client that was
 * closed, data that came back from the past, and an acquire that somebody on the way repeated after
 * it was answered. */
#ifndef REDLOCK_TESTS_SIM_COURT_ORPHANS_H
#define REDLOCK_TESTS_SIM_COURT_ORPHANS_H

#include "sim/server/node.h"

void orphans_begin(void);
/* Somebody repeated an acquire of this hold. */
void orphans_excuse(words hold_id);
/* Nothing that is on the node proves anything from now on. */
void orphans_excuse_all(void);
void orphans_judge(int name);

#endif
