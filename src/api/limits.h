/* SPDX-License-Identifier: MIT
 * By when a call is back that may ask more than one question: a set, a hold that is entered once
 * more, a wait with what it owes at its end. The rule: all of them together end by the longer of
 * wait_ms and timeout_ms. Private to the api. */
#ifndef REDLOCK_API_LIMITS_H
#define REDLOCK_API_LIMITS_H

#include "api/handle.h"

/* In which a near server answers what is still to be told to it. */
enum { PART_WITHIN_US = 5000 };

typedef struct limits {
    int64_t wait_until_us; /* both as in engine/acquire.h; NEVER: for ever */
    int64_t deadline_us;
    const redlock_canceller *canceller;
} limits;

/* Of a call that began at began_us; the options are checked. */
limits limits_of(const redlock_client *client, const redlock_options *o, int64_t began_us);

/* For what is still to be told to the server when the outcome is known, and whoever cancelled:
 * what is left, but at the most timeout_ms, and at the least PART_WITHIN_US. */
limits limits_to_part(const limits *self, const redlock_client *client, int64_t now_us);

/* Like redlock_extend and redlock_upgrade of a lock that the caller holds. They go on through
 * failures until the deadline; the canceller, a close, and the end of the lease end them. */
redlock_status limits_extend(redlock_lock *lock, int64_t ttl_ms, const limits *within);
redlock_status limits_upgrade(redlock_lock *lock, const limits *within);

/* A lease that is a claim is made what the ttl would have given, where no keeper does it later.
 * Tried for half of the claim: without an answer the lock goes on with what is left. */
void limits_stretch(redlock_lock *lock, const limits *within);

/* Gives back what was acquired in vain: in the background, or where there is none
 * (REDLOCK_HOST_MANUAL) at once, as far as the limits allow. The handle is gone. */
void limits_give_back(redlock_lock *lock, const limits *within);

#endif
