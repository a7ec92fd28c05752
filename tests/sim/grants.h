/* SPDX-License-Identifier: MIT
 * What the node's data says: who holds, which fences were given, since when a lock is free, what is left over. */
#ifndef REDLOCK_TESTS_SIM_GRANTS_H
#define REDLOCK_TESTS_SIM_GRANTS_H

#include "sim/node.h"
#include "sim/plan.h"

void grants_begin(void);

/* The key of a lock's name, as the library writes it, and the name. */
const char *grants_name(int name);

/* After a script: every new exclusive holder has a fence above all before it. */
void grants_look(words key);
/* The data is another than before: what is there now is not new. */
void grants_forget(void);
/* A request of a client that had given it up was executed. */
void grants_note_late(void);
bool grants_had_late(void);

void grants_check_fence(int client, const redlock_lock *lock, redlock_mode as);

/* Does the node have the lock as a live hold, of either kind? */
bool grants_has(int name, const redlock_lock *lock);

void grants_note_holders(int name);
/* Later than now while it is held. */
int64_t grants_free_since_us(int name);

void grants_check_leftovers(const plan *of, bool has_crashed);

#endif
