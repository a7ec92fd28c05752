/* SPDX-License-Identifier: MIT
 * The promises of docs/guarantees.md, checked after every instant of a schedule:
 *
 *   exclusion    those who believe that they hold (redlock_is_held on their own clock) are compatible, as long as the
 *                node lost no data and its clock did not step forward; and the node has each of them as a live holder
 *   fences       each exclusive grant on the node has a higher fence than all before it, whatever was lost;
 *                and the holder's fence is the one of its grant
 *   waiting      a lock that nobody holds is taken by a live waiter within a bound; who subscribes anew asks anew
 *   statuses     nobody gets an answer that the faults do not explain; waits end in time
 *   leftovers    when everybody has left, nothing is left, or will be after its expiry
 *
 * Rule: the first broken promise ends the schedule. */
#ifndef REDLOCK_TESTS_SIM_REFEREE_H
#define REDLOCK_TESTS_SIM_REFEREE_H

#include "sim/node.h"
#include "sim/plan.h"

void referee_begin(const plan *of);
/* NULL while all promises are kept. */
const char *referee_verdict(void);
void referee_break(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What the library calls tell. */
void referee_waits(int client, const job *what);
void referee_acquired(int client, redlock_status status, redlock_lock *lock);
/* What the hold counts as from now on, and that it ends. */
void referee_changes(int client, redlock_mode mode);
void referee_releases(int client);
void referee_released(int client, redlock_status status);
/* The client is not there any more, for good. */
void referee_gone(int client);
/* It was disturbed on purpose: its next status proves nothing. */
void referee_excuses(int client);

/* The node's data changed other than by a script. */
void referee_data_lost(void);
void referee_witness(enum script_id id, words key, const words *argv, long code, cable *from);

void referee_look(void);
/* Everybody has left, and all that was sent has arrived. */
void referee_end(void);

#endif
