/* SPDX-License-Identifier: MIT
 * The operating system that the library meets in the simulator: sockets, polling, eventfds,
 * threads, mutexes, the clock and randomness, put in the place of the real ones by the linker
 * (--wrap, listed in wrapped.h).
 *
 * Rule: a call that does not belong to a simulated machine goes to the real system. */
#ifndef REDLOCK_TESTS_SIM_MACHINE_SYSTEM_H
#define REDLOCK_TESTS_SIM_MACHINE_SYSTEM_H

#include <stdbool.h>

#include "sim/world/network.h"

enum { FIRST_PROCESS = 100 }; /* the process id on machine 0, and so on */

void system_begin(void);

/* Until it is told -1: the simulator itself calls the library as if on this machine, without time
 * passing. */
void system_observe(int machine);

/* Which machine the library runs on now; -1 for none. */
int system_machine(void);

/* The machine on which a thread spins, without time passing; -1 for none. */
int system_spinning(void);

/* Every connection of a crashed machine is gone, and it gets no new one. */
void system_exile(int machine);
bool system_is_exiled(int machine);

#endif
