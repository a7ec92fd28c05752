/* SPDX-License-Identifier: MIT
 * Those who believe that they hold: may they, together, and for how long? */
#include <string.h>

#include "keeper/locks.h"
#include "sim/court/grants.h"
#include "sim/court/stance.h"
#include "sim/machine/system.h"

bool stance_believes(const stance *self)
{
    if (self->lock == NULL) return false;
    system_observe(self->client);
    bool is_held = redlock_is_held(self->lock);
    system_observe(-1);
    return is_held;
}

bool stance_is_holder(const stance *self, words holder)
{
    const redlock_lock *lock = self->lock;
    return lock != NULL && lock->holder_length == holder.length &&
           memcmp(lock_holder(lock), holder.at, holder.length) == 0;
}

int64_t stance_valid_until_us(const stance *self)
{
    return machine_instant_us(self->client, atomic_load(&self->lock->hold.valid_until_us));
}

/* Not only while it believes: it must never believe for longer than the node does. */
static void judge_validity(const stance *self, int name)
{
    int64_t until_us = stance_valid_until_us(self);
    int64_t end_us = grants_end_us(name, self->lock);
    if (until_us > end_us)
        referee_accuse(self->user, "believes until %lld that it holds %d, the node until %lld",
                       (long long)until_us, name, (long long)end_us);
}

typedef struct believers {
    int exclusive, shared; /* the others of an owner left out */
    int owner[USERS_MOST], of[USERS_MOST], count;
} believers;

/* An owner does not exclude itself. */
static bool is_beside_itself(const believers *in, int owner)
{
    for (int i = 0; i < in->count && owner > 0; i++)
        if (in->owner[i] == owner) return true;
    return false;
}

static void add(believers *in, const stance *self)
{
    int owner = self->what->owner;
    if (is_beside_itself(in, owner)) return;
    in->owner[in->count] = owner;
    in->of[in->count++] = self->user;
    if (redlock_lock_mode(self->lock) == REDLOCK_EXCLUSIVE) in->exclusive++;
    else in->shared++;
}

void belief_judge(int name)
{
    believers in = {0};
    for (int i = 0; i < stances_active(); i++) {
        const stance *self = stance_active(i);
        if (self->lock == NULL || self->what->name != name || stance_is_void(self)) continue;
        if (!stance_believes(self)) continue;
        judge_validity(self, name);
        add(&in, self);
    }
    uint32_t permits = refereed->permits[name];
    if (in.exclusive > 1 || (in.exclusive == 1 && in.shared > 0))
        referee_accuse(in.of[0], "and client %d, job %d both believe that they hold %d",
                       client_of_user(in.of[1]), number_of_user(in.of[1]), name);
    if (permits > 0 && (uint32_t)in.shared > permits)
        referee_break("%d users believe that they hold %d, which has %u permits", in.shared, name,
                      permits);
}

enum { DRIFT_LEAST_US = 2000 };

/* A lease that is not renewed lasts as long as it was asked for, and so does one that began with a
 * claim; less what two clocks may differ by over it, and over the wait before. */
static void judge_length(const stance *self)
{
    int64_t held_us = now_us() - self->acquired_us, began_us = self->began_us;
    int64_t least_us = self->what->ttl_ms * 970 - (self->acquired_us - began_us) / 100 -
                       DRIFT_LEAST_US - stance_lateness_us(self, LOOP_TELLS) -
                       4 * network_delay_most_us() - OVERSHOOT_US;
    bool was_undisturbed = network_broke_us(self->client) == 0 &&
                           stance_held_up_us(self) < began_us &&
                           node_troubled_until_us() < began_us &&
                           plan_healed_us(refereed) < began_us;
    if (was_undisturbed && held_us < least_us)
        referee_accuse(self->user, "held %d for %lld us, and asked for %lld ms", self->what->name,
                       (long long)held_us, (long long)self->what->ttl_ms);
}

/* One that was told that it has the lock no more does not believe it. */
void belief_judge_denial(const stance *self)
{
    if (self->lock == NULL || self->denied_us == 0 || self->what->midway > MIDWAY_ENTER) return;
    bool is_sound = network_broke_us(self->client) < self->denied_us &&
                    stance_held_up_us(self) < self->denied_us;
    int64_t late_us = stance_lateness_us(self, LOOP_KEEPS);
    bool is_late = now_us() - self->denied_us >
                   2 * network_delay_most_us() + OVERSHOOT_US + late_us;
    if (is_sound && is_late && stance_believes(self))
        referee_accuse(self->user, "was told that it has lost %d, and goes on", self->what->name);
}

/* on_lost is called when the belief ends, or when the machine runs again. */
static bool is_told_late(const stance *self, int64_t lost_us)
{
    int64_t since_us = latest(lost_us, stance_held_up_us(self));
    int64_t late_us = stance_lateness_us(self, LOOP_KEEPS) / ROUNDS_TO_KEEP; /* of one round */
    return !self->is_excused && now_us() - since_us > OVERSHOOT_US + late_us;
}

void belief_judge_telling(const stance *self)
{
    if (self->lost_us == 0 || self->was_told || !self->what->is_told || self->lock == NULL) return;
    if (is_told_late(self, self->lost_us))
        referee_accuse(self->user, "was not told that it has lost %d", self->what->name);
}

/* Nobody may have looked at the instant at which the belief ended by itself. */
void belief_judge_told(const stance *self)
{
    int64_t lost_us = self->did_believe ? self->believes_until_us : self->lost_us;
    if (lost_us != 0 && is_told_late(self, lost_us))
        referee_accuse(self->user, "was told late that it has lost %d", self->what->name);
}

/* What is told to be at risk is held, and for no longer than is told; but for a thread that was
 * held up between the clock and the callback. */
void belief_judge_warning(const stance *self, int64_t left_ms)
{
    if (self->lock == NULL) return; /* its user does not have it yet */
    int64_t until_us = stance_valid_until_us(self);
    bool was_held_up = stance_held_up_us(self) >= until_us - stance_lease_us(self->what);
    if (!stance_believes(self) && !was_held_up)
        referee_accuse(self->user, "was warned of losing %d, which it has lost", self->what->name);
    /* Its clock may run faster than that of the world. */
    if (stance_believes(self) && (until_us - now_us()) / 1000 > left_ms + left_ms / 50 + 1)
        referee_accuse(self->user, "has more of %d left than %lld ms", self->what->name,
                       (long long)left_ms);
}

/* Who loses by the clock what is renewed was at risk before, and told so; but for a machine that
 * did not run in that time, or a loop that is late. */
void belief_judge_unwarned(const stance *self)
{
    const job *what = self->what;
    if (self->lock == NULL || !what->auto_renew || what->midway > MIDWAY_NOTHING) return;
    if (what->max_hold_ms > 0 || stance_is_short(what) || self->is_excused) return;
    if (self->lock->why_lost != REDLOCK_LOSS_NOT_RENEWED) return;
    int64_t since_us = now_us() - what->ttl_ms * 1000;
    bool was_held_up = stance_held_up_us(self) >= since_us;
    if (!was_held_up && client_lateness_us(self->client) == 0 && self->warned_us < since_us)
        referee_accuse(self->user, "has lost %d, and was not warned", what->name);
}

/* A lease for which the rounds of its loop that it may need are too long. */
static bool is_kept_too_late(const stance *self)
{
    return stance_lateness_us(self, LOOP_KEEPS) > stance_lease_us(self->what) / 2;
}

/* A lock that is renewed is not lost while the connection is sound and the node serves. */
void belief_judge_loss(stance *self)
{
    bool was_believed = self->did_believe;
    self->did_believe = stance_believes(self);
    if (self->did_believe) self->believes_until_us = stance_valid_until_us(self);
    /* Also not by an answer that was read late, but for a thread that was held up between the clock
     * and the belief. */
    if (self->did_believe && self->lost_us != 0 && stance_held_up_us(self) < self->lost_us)
        referee_accuse(self->user, "believes again that it holds %d", self->what->name);
    if (self->did_believe) self->lost_us = 0;
    if (!was_believed || self->did_believe || self->lock == NULL) return;
    self->lost_us = now_us();
    if (stance_is_void(self)) return;
    const job *what = self->what;
    int64_t ttl_us = what->ttl_ms * 1000, now = now_us();
    if (what->max_hold_ms > 0 || what->midway > MIDWAY_ENTER || self->is_excused) return;
    if (is_kept_too_late(self)) return;
    if (!what->auto_renew) {
        /* What a set took first may have a third of its lease behind it. */
        if (!stance_is_short(what) && what->part == PART_NONE) judge_length(self);
        return;
    }
    int64_t broke_us = network_broke_us(self->client);
    /* To connect and to ask again does not take longer, however long the lease was. */
    int64_t again_us = BACKOFF_MOST_US + RETRY_MOST_US +
                       refereed->clients[self->client].timeout_ms * 1000;
    int64_t mended_us = again_us < 2 * ttl_us + BACKOFF_MOST_US ? again_us
                                                                : 2 * ttl_us + BACKOFF_MOST_US;
    bool was_cut = network_is_deceived(self->client) || broke_us > now - mended_us;
    bool was_stuck = stance_held_up_us(self) > now - ttl_us ||
                     node_refused_until_us() > now - ttl_us / 2;
    if (broke_us > 0 && was_cut) return;
    if (!stance_is_short(what) && !was_stuck)
        referee_accuse(self->user, "lost a lock that is renewed");
}
