/* SPDX-License-Identifier: MIT
 * Those who wait: does each get a lock that is free, and ask where it may have missed a message? */
#include <string.h>

#include "sim/court/grants.h"
#include "sim/court/stance.h"

enum { CAP_LEAST_US = 100000 };

/* In virtual time, if its own clock runs as fast as a clock may. */
static int64_t wait_ends_us(const stance *self)
{
    int64_t wait_us = self->what->wait_ms * 1000;
    return wait_us < 0 ? SIM_NEVER : self->began_us + wait_us - wait_us / 100;
}

static bool is_live_waiter(const stance *self, int name)
{
    return self->is_waiting && !self->is_gathering && !self->is_gone && self->what->name == name &&
           now_us() < wait_ends_us(self) && stance_held_up_us(self) <= now_us();
}

/* Since when nothing kept this client from its lock. */
static int64_t undisturbed_since_us(const stance *self)
{
    if (network_is_deceived(self->client)) network_broke(self->client);
    int64_t since_us = latest(self->began_us, network_moved_us(self->client));
    return latest(since_us, latest(stance_held_up_us(self), node_troubled_until_us()));
}

/* Was anything broken since the call began, or so shortly before that a connection may not be tried
 * again yet? Then backoffs and whole leases may have to pass. */
static bool was_broken(const stance *self)
{
    int64_t broke_us = network_broke_us(self->client);
    bool is_backing_off = broke_us > 0 && broke_us >= self->began_us - BACKOFF_MOST_US;
    return is_backing_off || stance_held_up_us(self) >= self->began_us ||
           (!refereed->is_calm && node_troubled_until_us() >= self->began_us) ||
           !network_is_subscribed(self->client);
}

static int64_t claim_us(const job *what)
{
    int64_t claim_ms = what->claim_ms > 0 ? what->claim_ms : 2000;
    return (claim_ms < what->ttl_ms ? claim_ms : what->ttl_ms) * 1000;
}

static int64_t patience_us(const stance *self)
{
    const job *what = self->what;
    const client_plan *of = &refereed->clients[self->client];
    int64_t most_us = latest(claim_us(what), CAP_LEAST_US) + 8 * network_delay_most_us() +
                      OVERSHOOT_US + stance_lateness_us(self, LOOP_ASKS) +
                      stance_lateness_us(self, LOOP_TELLS);
    if (was_broken(self))
        most_us += what->ttl_ms * 1000 + BACKOFF_MOST_US +
                   (of->timeout_ms + 2 * of->connect_timeout_ms) * 1000;
    return most_us + most_us / 50;
}

void waiting_judge(int name)
{
    int64_t free_us = grants_free_since_us(name);
    if (free_us > now_us()) return;
    for (int i = 0; i < stances_active(); i++) {
        const stance *self = stance_active(i);
        if (!is_live_waiter(self, name)) continue;
        int64_t since_us = latest(free_us, undisturbed_since_us(self));
        if (now_us() - since_us > patience_us(self))
            referee_accuse(self->user, "waits for %d, which is free since %lld", name,
                           (long long)since_us);
    }
}

/* One that was granted hears of it; but by a clock that stepped back a grant looks old. */
void waiting_judge_knowing(const stance *self)
{
    if (!self->is_waiting || self->is_gone || self->granted_us == 0 || was_broken(self)) return;
    if (plan_has(refereed, FAULT_STEP)) return;
    int64_t since_us = latest(self->granted_us, undisturbed_since_us(self));
    bool may_stretch = !self->what->is_async &&
                       refereed->clients[self->client].host == REDLOCK_HOST_MANUAL;
    int64_t most_us = (may_stretch ? 10 : 4) * network_delay_most_us() + OVERSHOOT_US +
                      (may_stretch ? LEAVING_US : 0) + stance_lateness_us(self, LOOP_TELLS) +
                      stance_lateness_us(self, LOOP_ASKS);
    if (now_us() - since_us > most_us)
        referee_accuse(self->user, "has %d since %lld, and does not know it", self->what->name,
                       (long long)self->granted_us);
}

static bool is_sound(const cable *self)
{
    return self != NULL && self->is_served && !self->is_cut && !self->is_closed;
}

/* Do the connections still work on which it subscribed, and on which it was told that it is queued?
 * Whoever was told otherwise, or nothing, has reasons of its own to wait. */
static bool can_ask(const stance *self)
{
    return is_sound(self->queued_on) && is_sound(self->subscribed_on);
}

static void note_subscription(stance *self)
{
    for (int i = 0; i < network_count(); i++) {
        const cable *one = network_cable(i);
        bool is_its_inbox = one->is_subscribed && one->channel_length == self->channel.length &&
                            memcmp(one->channel, self->channel_bytes, one->channel_length) == 0;
        if (one->machine != self->client || !is_its_inbox || !is_sound(one)) continue;
        if (one->subscribed_us < self->subscribed_us) continue;
        self->subscribed_us = one->subscribed_us;
        self->subscribed_on = one;
    }
}

/* A grant that it hears of too late is one to wait for the end of. */
static int64_t asking_patience_us(const stance *self)
{
    bool may_be_late = latest(stance_held_up_us(self), network_late_us(self->client)) >=
                       self->asked_us;
    return 6 * network_delay_most_us() + OVERSHOOT_US + stance_lateness_us(self, LOOP_ASKS) +
           (may_be_late ? claim_us(self->what) : 0);
}

/* A client that subscribed while it waits has to ask soon, for what was published before is
 * lost. */
void waiting_judge_asking(stance *self)
{
    if (self->channel.length == 0 || !is_live_waiter(self, self->what->name)) return;
    note_subscription(self);
    bool has_asked = self->asked_us >= self->subscribed_us || self->subscribed_us < self->began_us;
    if (has_asked) return;
    int64_t since_us = latest(self->subscribed_us, undisturbed_since_us(self));
    bool is_bothered = stance_held_up_us(self) > self->subscribed_us ||
                       node_troubled_until_us() > self->subscribed_us;
    if (!is_bothered && can_ask(self) && now_us() - since_us > asking_patience_us(self))
        referee_accuse(self->user, "subscribed at %lld and did not ask",
                       (long long)self->subscribed_us);
}

void waiting_judge_dropped(const stance *self)
{
    int64_t round_trip_us = 4 * network_delay_most_us() + OVERSHOOT_US;
    if (was_broken(self) || claim_us(self->what) < 2 * round_trip_us) return;
    int64_t since_us = latest(self->asked_us, undisturbed_since_us(self));
    int64_t late_us = stance_lateness_us(self, LOOP_ASKS);
    if (now_us() - since_us > claim_us(self->what) + round_trip_us + late_us)
        referee_accuse(self->user, "was taken for frozen before %d, and did not ask since %lld",
                       self->what->name, (long long)self->asked_us);
}
