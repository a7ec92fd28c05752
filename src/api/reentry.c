/* SPDX-License-Identifier: MIT
 * A hold that its owner enters once more: as it is, or made exclusive, or its lease made longer, or
 * both; or the new entry is taken back. */
#include "api/act.h"
#include "engine/lease.h"
#include "host/clock.h"

enum need { NEEDS_NOTHING, NEEDS_THE_MODE, NEEDS_THE_LEASE };

static int64_t left_us(const redlock_lock *held)
{
    return atomic_load_explicit(&held->hold.valid_until_us, memory_order_relaxed) - clock_now_us();
}

static enum need need_of(const act *self, int64_t left)
{
    const redlock_lock *held = self->lock;
    if (self->wants_exclusive && lock_kind(held) == KIND_SHARED) return NEEDS_THE_MODE;
    bool is_short = !held->hold.auto_renew && left / US_PER_MS < self->ttl_ms * 2 / 3;
    return is_short ? NEEDS_THE_LEASE : NEEDS_NOTHING;
}

/* What is still needed is asked for; false: nothing, or nothing that can be had. */
static bool ask_for_need(act *self, question *about, int64_t left)
{
    switch (need_of(self, left)) {
    case NEEDS_THE_MODE: return conversion_is_asked(self, about, SCRIPT_UPGRADE);
    case NEEDS_THE_LEASE: return extension_is_asked(self, about);
    default: return false;
    }
}

static bool reentry_is_asked(act *self, question *about)
{
    int64_t left = left_us(self->lock); /* one look at the clock serves for all */
    self->status = left > 0 ? REDLOCK_OK : REDLOCK_LOST;
    return self->status == REDLOCK_OK && ask_for_need(self, about, left);
}

/* The mode comes first: what is in doubt is no hold to make longer. */
static bool reentry_is_judged(act *self, const answer *from)
{
    question *asked = &self->asks->question;
    if (asked->script == SCRIPT_RENEW) return extension_is_judged(self, from);
    if (conversion_is_judged(self, from)) return true;
    question next;
    if (self->status != REDLOCK_OK || need_of(self, left_us(self->lock)) != NEEDS_THE_LEASE ||
        !extension_is_asked(self, &next))
        return false;
    next.nonce = asked->nonce;
    next.grace_ms = asked->grace_ms;
    *asked = next;
    return true;
}

static redlock_status end_reentry(act *self, redlock_status status)
{
    if (status != REDLOCK_OK) handle_leave(self->client, self->lock);
    return status;
}

static const act_kind act_reenter = {.begin = reentry_is_asked,
                                     .judge = reentry_is_judged,
                                     .end = end_reentry,
                                     .before_sending = conversion_is_sent,
                                     .needs_the_lease = true};

act act_reentry(redlock_lock *held, const wanted *what, int64_t ttl_ms)
{
    act self = act_about(&act_reenter, held);
    self.wants_exclusive = what->as.kind == KIND_EXCLUSIVE;
    self.ttl_ms = ttl_ms;
    return self;
}
