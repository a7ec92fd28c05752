/* SPDX-License-Identifier: MIT
 * The re-check schedule of waiters. Pure: no clock, no socket.
 *
 * The stagger is 2 ms a place for the first 32 places, so that a live waiter behind a few dead ones
 * acts within 64 ms, and 0.05 ms a place behind them, so that ten thousand waiters make twenty
 * commands a ms and no more, and one behind six thousand dead acts within half a second. */
#include "engine/recheck.h"

#include <assert.h>

#include "engine/lease.h"
#include "engine/request.h"

enum {
    NEAR_PLACES = 32,
    NEAR_STEP_US = 2000,
    FAR_STEP_US = 50,
    CAP_PLACES = 256,
    PLACES_MOST = 65536
};
enum { URGED_AT_ONCE = 3, PAUSE_FIRST_US = 1000, PAUSE_DOUBLINGS = 6 };
static const int64_t cap_least_us = 5000, cap_most_us = 30000000;

static int64_t stagger_us(int64_t position)
{
    int64_t ahead = position > 0 ? position - 1 : 0;
    if (ahead <= NEAR_PLACES) return ahead * NEAR_STEP_US;
    return (int64_t)NEAR_PLACES * NEAR_STEP_US + (ahead - NEAR_PLACES) * FAR_STEP_US;
}

static int64_t cap_us(int64_t position, int64_t claim_ms, uint32_t *jitter)
{
    /* Within a claim with time to spare: who does not ask in time is taken for frozen. */
    int64_t cap = claim_ms * US_PER_MS / 8 * 7;
    if (position > CAP_PLACES) cap = cap / CAP_PLACES * position;
    if (cap < cap_least_us) cap = cap_least_us;
    if (cap > cap_most_us) cap = cap_most_us;
    return cap - (int64_t)jitter_below(jitter, (uint32_t)(cap / 8));
}

static int64_t shorter_ms(int64_t claim_ms, int64_t claim_ahead_ms)
{
    return claim_ahead_ms > 0 && claim_ahead_ms < claim_ms ? claim_ahead_ms : claim_ms;
}

int64_t recheck_after_us(int64_t lease_left_ms, int64_t position, int64_t claim_ms,
                         int64_t claim_ahead_ms, uint32_t *jitter)
{
    assert(claim_ms > 0);
    if (lease_left_ms <= 0) return 0;
    if (position > PLACES_MOST) position = PLACES_MOST;
    /* The server counts whole milliseconds: one more, and the lease has surely ended. */
    int64_t at_end = (lease_left_ms + 1) * US_PER_MS + stagger_us(position);
    int64_t at_cap = cap_us(position, shorter_ms(claim_ms, claim_ahead_ms), jitter);
    return at_end < at_cap ? at_end : at_cap;
}

int64_t recheck_pause_us(unsigned urged)
{
    if (urged <= URGED_AT_ONCE) return 0;
    unsigned doublings = urged - URGED_AT_ONCE - 1;
    return (int64_t)PAUSE_FIRST_US << (doublings < PAUSE_DOUBLINGS ? doublings : PAUSE_DOUBLINGS);
}
