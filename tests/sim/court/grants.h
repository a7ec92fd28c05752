/* SPDX-License-Identifier: MIT
 * What the node's data says: who holds, which fences were given, since when a lock is free, what is
 * left over. */
#ifndef REDLOCK_TESTS_SIM_COURT_GRANTS_H
#define REDLOCK_TESTS_SIM_COURT_GRANTS_H

#include "sim/schedules/plan.h"
#include "sim/server/node.h"

void grants_begin(void);

/* The key of a lock's name, as the library writes it, and the name. */
const char *grants_name(int name);
words grants_key(int name);
/* -1 for the key of none. */
int grants_name_of(words key);

/* A field of a member, counted from 0: "<claim> <channel> <mode> <owner> <hold id> <who>" of a
 * waiter, "<owner> <hold id> <who>" of a holder. Empty if there is none. */
words grants_field(words member, int number);

/* Of a holder: the end of its lease in ms of the node's clock, 0 for what is none; its hold id; the
 * client that wrote it, or -1. And a number for a hold id. */
int64_t grants_end_ms(const member *at);
words grants_hold_id(const member *at);
int grants_client(const member *at);
uint64_t grants_mark(words hold_id);

/* After a script: every new exclusive holder has a fence above all before it. */
void grants_look(words key);
/* The data is another than before: what is there now is not new. */
void grants_forget(void);
/* The data is older and the clock behind: fences rise from the one that is there. */
void grants_fell(void);
/* A request was executed for whose answer nobody waits: it may leave this hold behind. */
void grants_note_stray(enum script_id id, words hold_id);
bool grants_had_stray(void);

void grants_check_fence(int user, const redlock_lock *lock, redlock_mode as);

/* Until which instant the node has the lock as a hold, of either kind; 0 if it has not. */
int64_t grants_end_us(int name, const redlock_lock *lock);

void grants_note_holders(int name);
/* Later than now while it is held. */
int64_t grants_free_since_us(int name);

/* What the clients left that may not leave anything. */
void grants_check_leftovers(const plan *of, const bool may_leave[MACHINES_MOST]);

#endif
