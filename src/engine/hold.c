/* SPDX-License-Identifier: MIT
 * The schedule of one held lock. Pure: no clock, no socket. */
#include "engine/hold.h"

#include <assert.h>

#include "engine/lease.h"

enum {
    RETRY_FIRST_US = 5000,
    RETRY_LAST_US = 1000000,
    SLACK_MOST_US = 50000,
    HASTE_MOST_US = 1000000
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* A third of the lease, up to a tenth of that earlier, so that locks taken together drift apart.
 * Never, when the lease reaches the end already (to the millisecond that hold_renew rounds by). */
static int64_t next_renewal_us(hold *self, int64_t from_us, int64_t lease_ms)
{
    assert(lease_ms > 0);
    self->reaches_end = self->end_us != NEVER &&
                        from_us + (lease_ms + 1) * US_PER_MS >= self->end_us;
    if (self->reaches_end) return NEVER;
    int64_t third = lease_ms * US_PER_MS / 3;
    int64_t most = least(third / 10, INT32_MAX);
    return from_us + third - (int64_t)jitter_below(&self->jitter, (uint32_t)most);
}

static int64_t valid_until(const hold *self)
{
    return atomic_load_explicit(&self->valid_until_us, memory_order_relaxed);
}

static int64_t next_risk_us(const hold *self)
{
    if (self->renew_at_us == NEVER) return NEVER;
    return valid_until(self) - (valid_until(self) - self->renew_at_us) / 2;
}

void hold_begin(hold *self, int64_t ttl_ms, int64_t lease_ms, int64_t valid_until_us,
                bool auto_renew, int64_t max_hold_ms, int64_t now_us, uint32_t seed)
{
    assert(ttl_ms > 0 && ttl_ms <= LEASE_MOST_MS);
    assert(lease_ms > 0);
    assert(max_hold_ms >= 0);
    *self = (hold){.ttl_ms = ttl_ms,
                   .end_us = max_hold_ms > 0 ? now_us + max_hold_ms * US_PER_MS : NEVER,
                   .renew_at_us = NEVER,
                   .jitter = seed,
                   .auto_renew = auto_renew};
    atomic_store_explicit(&self->valid_until_us, valid_until_us, memory_order_relaxed);
    if (!auto_renew) self->end_us = least(self->end_us, now_us + ttl_ms * US_PER_MS);
    self->renew_at_us = next_renewal_us(self, now_us, lease_ms);
    /* Of a lease that was heard of late, less than that may be left. */
    if (self->renew_at_us != NEVER)
        self->renew_at_us = least(self->renew_at_us, now_us + (valid_until_us - now_us) / 2);
    self->risk_at_us = next_risk_us(self);
}

enum hold_due hold_due(const hold *self, int64_t now_us)
{
    if (now_us >= valid_until(self)) return HOLD_IS_OVER;
    bool renews = self->renew_at_us != NEVER && now_us >= self->renew_at_us - hold_slack_us(self);
    return renews ? HOLD_RENEWS : HOLD_RESTS;
}

bool hold_is_at_risk(const hold *self, int64_t now_us)
{
    return now_us >= self->risk_at_us && now_us < valid_until(self);
}

int64_t hold_wake_us(const hold *self)
{
    /* Past the maximum hold nothing is left to renew: only the end is waited for. */
    if (self->renew_at_us >= self->end_us) return valid_until(self);
    return least(self->renew_at_us, valid_until(self));
}

int64_t hold_slack_us(const hold *self)
{
    if (self->renew_at_us == NEVER || self->failures > 0) return 0;
    return least(SLACK_MOST_US, self->ttl_ms * US_PER_MS / 24);
}

int64_t hold_renew(hold *self, int64_t now_us)
{
    self->renew_at_us = NEVER;
    int64_t left_ms = self->end_us == NEVER ? self->ttl_ms : (self->end_us - now_us) / US_PER_MS;
    return least(self->ttl_ms, left_ms);
}

void hold_renewed(hold *self, int64_t sent_us, int64_t lease_ms)
{
    assert(lease_ms > 0);
    int64_t until_us = lease_valid_until(sent_us, lease_ms);
    self->failures = 0;
    if (until_us > valid_until(self))
        atomic_store_explicit(&self->valid_until_us, until_us, memory_order_relaxed);
    self->renew_at_us = next_renewal_us(self, sent_us, lease_ms);
    self->risk_at_us = next_risk_us(self);
}

void hold_extended(hold *self, int64_t sent_us, int64_t lease_ms)
{
    assert(lease_ms > 0);
    int64_t end_us = sent_us + lease_ms * US_PER_MS;
    if (self->end_us < end_us) self->end_us = end_us;
    hold_renewed(self, sent_us, lease_ms);
}

void hold_retry(hold *self, int64_t not_before_us, int64_t now_us)
{
    assert(self->ttl_ms > 0);
    unsigned n = self->failures < 8 ? self->failures : 8;
    int64_t span =
        least((int64_t)RETRY_FIRST_US << n, least(RETRY_LAST_US, self->ttl_ms * US_PER_MS / 8));
    if (self->failures < UINT16_MAX) self->failures++;
    int64_t at_us = now_us + span / 2 + (int64_t)jitter_below(&self->jitter, (uint32_t)span);
    self->renew_at_us = at_us > not_before_us ? at_us : not_before_us;
}

void hold_hasten(hold *self, int64_t now_us)
{
    assert(self->ttl_ms > 0);
    if (self->renew_at_us == NEVER) return;
    int64_t span_us = least(HASTE_MOST_US, self->ttl_ms * US_PER_MS / 10);
    int64_t at_us = now_us + (int64_t)jitter_below(&self->jitter, (uint32_t)span_us);
    self->renew_at_us = least(self->renew_at_us, at_us);
}

void hold_bound(hold *self, int64_t max_hold_ms, int64_t now_us)
{
    assert(max_hold_ms >= self->ttl_ms);
    self->end_us = now_us + max_hold_ms * US_PER_MS;
}

void hold_end_renewal(hold *self)
{
    self->auto_renew = false;
    self->end_us = valid_until(self);
    self->renew_at_us = NEVER;
    self->risk_at_us = NEVER;
    self->reaches_end = true;
}
