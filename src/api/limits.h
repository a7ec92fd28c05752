/* SPDX-License-Identifier: MIT
 * By when a call is back that may ask more than one question: a set, a hold that is entered once
 * more, a wait with what it owes at its end. The rule: all of them together end by the longer of
 * wait_ms and timeout_ms. Private to the api. */
#ifndef REDLOCK_API_LIMITS_H
#define REDLOCK_API_LIMITS_H

#include "api/client.h"

/* In which a near server answers what is still to be told to it. */
enum { PART_WITHIN_US = 5000 };

typedef struct limits {
    int64_t wait_until_us; /* both as in engine/acquire.h; NEVER: for ever */
    int64_t deadline_us;
    int64_t end_us; /* see limits_to_end; 0: it has not come */
    const redlock_canceller *canceller;
} limits;

/* Of a call that began at began_us; the options are checked. */
limits limits_of(const redlock_client *client, const redlock_options *o, int64_t began_us);

/* Of a call that begins now, and has timeout_ms. */
limits limits_of_one(const redlock_client *client);

/* For what is still to be told to the server when the outcome is known, and whoever cancelled:
 * what is left, but at the most timeout_ms, and at the least PART_WITHIN_US. */
limits limits_to_part(const limits *self, const redlock_client *client, int64_t now_us);

/* The same at the end of a call that comes to nothing: however much there is to be told, all of it
 * has this time together. */
limits limits_to_end(limits *self, const redlock_client *client, int64_t now_us);

#endif
