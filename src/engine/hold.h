/* SPDX-License-Identifier: MIT
 * The schedule of one held lock: when to renew, what to ask for, when it is lost. Pure: instants
 * are handed in. valid_until_us may be read by any thread; the rest belongs to one thread at a
 * time.
 *
 *   now      +ttl/3               +2 ttl/3              valid_until
 *    +---------+----- retries -------+------- retries ------+---> lost
 *            renew
 *
 * A renewal that is answered moves everything to the right; one that is not is retried until
 * valid_until. A lock that was handed over begins with its claim for a lease, and its first renewal
 * stretches that to what the ttl would have given; without auto_renew that is also the last.
 *
 * The hold is at risk when half of the time that a renewal has is over, from when it is due until
 * the lease ends: with about a third of the lease left. */
#ifndef REDLOCK_ENGINE_HOLD_H
#define REDLOCK_ENGINE_HOLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/request.h"

typedef struct hold {
    _Atomic int64_t valid_until_us;
    int64_t ttl_ms;
    int64_t end_us; /* renewals ask for no lease beyond this: end of the maximum hold, or of the
                       only ttl; NEVER */
    int64_t renew_at_us; /* NEVER: none is due, or one is under way */
    int64_t risk_at_us;  /* not renewed until then, it is at risk; NEVER: it is not to be renewed */
    uint32_t jitter;
    uint16_t failures; /* renewals that came to nothing, in a row */
    bool auto_renew;
    bool reaches_end; /* the lease in hand lasts for as long as it is to be renewed */
} hold;

enum hold_due { HOLD_RESTS, HOLD_RENEWS, HOLD_IS_OVER };

/* A lease of lease_ms was granted just before now_us. max_hold_ms 0: no maximum. */
void hold_begin(hold *self, int64_t ttl_ms, int64_t lease_ms, int64_t valid_until_us,
                bool auto_renew, int64_t max_hold_ms, int64_t now_us, uint32_t seed);

/* What is due now? */
enum hold_due hold_due(const hold *self, int64_t now_us);

/* Is it to be renewed, and was not, though it is high time? */
bool hold_is_at_risk(const hold *self, int64_t now_us);

/* When something is due next; but for the risk. */
int64_t hold_wake_us(const hold *self);

/* How much earlier than hold_wake_us it may be looked at, so that renewals travel together. */
int64_t hold_slack_us(const hold *self);

/* A renewal begins: the lease to ask for, in ms; not above 0 when the maximum hold has passed, and
 * nothing is to be sent. */
int64_t hold_renew(hold *self, int64_t now_us);

/* It was granted `lease_ms`, by a request sent at sent_us. Validity never moves back. */
void hold_renewed(hold *self, int64_t sent_us, int64_t lease_ms);

/* The holder itself asked for a longer lease, and got it: the maximum hold moves with it. */
void hold_extended(hold *self, int64_t sent_us, int64_t lease_ms);

/* The server's clock was set: what is to be renewed at all is renewed soon, spread over a tenth of
 * the ttl, which is one second at the most. */
void hold_hasten(hold *self, int64_t now_us);

/* The maximum hold, of at least the ttl, counts from now on. */
void hold_bound(hold *self, int64_t max_hold_ms, int64_t now_us);

/* From now on it is not renewed beyond the lease that it has. */
void hold_end_renewal(hold *self);

/* A renewal came to nothing: again a little later, and not before `not_before_us`. */
void hold_retry(hold *self, int64_t not_before_us, int64_t now_us);

#endif
