/* SPDX-License-Identifier: MIT
 * What "still ours" means: the arithmetic of validity. Pure: instants are handed in.
 *
 *        t0 sent            answer received
 *   us ---+--------------------+-------------------------------------+------+------->
 *         |<------------------- lease - drift ---------------------->|drift |
 *                                                              valid_until
 *   server ------+----------------------------------------------------------------+->
 *                s1 granted                                                s1 + lease
 *
 * The server granted at some moment after t0, so it forgets us after t0 + lease: we stop believing
 * earlier, whatever the journey took (antirez, "Distributed locks with Redis", 2014). */
#ifndef REDLOCK_ENGINE_LEASE_H
#define REDLOCK_ENGINE_LEASE_H

#include <stdint.h>

#include "wire/bands.h"

#define US_PER_MS ((int64_t)1000)

/* The longest lease that a server may tell; what is longer is no answer of ours. */
#define LEASE_MOST_MS SPAN_MOST

/* For so long after it was sent a request may still be carried out: by a proxy, a frozen server, or
 * the kernel of a closed socket. */
#define LATE_MOST_US (INT64_C(120) * 1000 * US_PER_MS)

/* Of two instants. */
static inline int64_t earliest(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t latest(int64_t a, int64_t b) { return a > b ? a : b; }

/* What two clocks may differ by over a span: 1 % of it and 2 ms, of which one covers the server's
 * rounding to ms. */
int64_t lease_drift_us(int64_t span_us);

/* Until when a lease is valid that a request sent at `sent_us` was answered with. */
int64_t lease_valid_until(int64_t sent_us, int64_t lease_ms);

/* What a waiter knows of the server's clock: a request sent at sent_us was answered with
 * server_us. */
typedef struct server_instant {
    int64_t sent_us;
    int64_t server_us;
} server_instant;

/* The same for a lease that was granted without a request of ours, at granted_us of the server's
 * clock, of which we heard at received_us. The grant happened no earlier than known.sent_us +
 * (granted_us - known.server_us), and no later than we heard of it, so a grant that is read late,
 * by a paused process, is known to be stale. */
int64_t lease_valid_until_granted(server_instant known, int64_t granted_us, int64_t received_us,
                                  int64_t lease_ms);

#endif
