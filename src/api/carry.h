/* SPDX-License-Identifier: MIT
 * Blocking calls that have no lane: there are as many as there may be, or there was no room for
 * another connection. The keeper carries them on its own lane, as it does with asynchronous ones,
 * while the calling thread sleeps.
 *
 *   calling thread    begins --- hands in --- sleeps ------------------- reads what it came to
 *   keeper                          +--- drives it --- tells, and wakes ---^
 *
 * So whoever waits for a lock keeps nobody from another, however many wait. Private to the api. */
#ifndef REDLOCK_API_CARRY_H
#define REDLOCK_API_CARRY_H

#include "api/acquisition.h"

/* Ends all acts that were begun and are not over. Their exchanges and requests are copied: nothing
 * of them may be under way. */
void carry_acts(act *all, size_t count, const limits *within);

/* Acquires with a new handle, on which nothing was asked that could still be carried out. */
redlock_status carry_acquisition(redlock_client *client, redlock_lock *lock,
                                 const redlock_options *o, const limits *within);

#endif
