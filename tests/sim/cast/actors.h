/* SPDX-License-Identifier: MIT
 * The users of the library in a schedule: each opens a client on its machine, does its jobs, one
 * after the other or all at once, and closes it. */
#ifndef REDLOCK_TESTS_SIM_CAST_ACTORS_H
#define REDLOCK_TESTS_SIM_CAST_ACTORS_H

#include <stdbool.h>

#include "sim/schedules/plan.h"

void actors_begin(const plan *of);
/* Has everyone finished, or crashed, and closed? */
bool actors_are_done(void);
/* Who has not, for a message. */
int actors_first_pending(void);

void actor_cancel(int client, uint64_t chance);
/* Another thread closes the client while it is in use. */
void actor_close(int client);
/* An operator takes a lock from all who hold it. */
void actor_force(int client, int name);
/* The machine is gone; what runs on it goes on for itself, and is heard of no more. */
void actor_crash(int client, uint64_t chance);

#endif
