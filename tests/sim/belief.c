/* SPDX-License-Identifier: MIT
 * Those who believe that they hold: may they, together, and for how long? */
#include "keeper/keeper.h"
#include "sim/grants.h"
#include "sim/standing.h"
#include "sim/system.h"

bool standing_believes(const standing *self)
{
    if (self->lock == NULL) return false;
    system_observe(self->client);
    bool is_held = redlock_is_held(self->lock);
    system_observe(-1);
    return is_held;
}

/* Not only while it believes: it must never believe for longer than the node does. */
static void judge_validity(const standing *self, int name)
{
    int64_t until_us = machine_instant_us(self->client, atomic_load(&self->lock->hold.valid_until_us));
    int64_t end_us = grants_end_us(name, self->lock);
    if (until_us > end_us)
        referee_accuse(self->user, "believes until %lld that it holds %d, the node until %lld", (long long)until_us,
                       name, (long long)end_us);
}

void belief_judge(int name)
{
    int exclusive = 0, shared = 0, of[USERS_MOST];
    for (int i = 0; i < standings_active(); i++) {
        const standing *self = standing_active(i);
        if (self->lock == NULL || self->what->name != name || standing_is_void(self)) continue;
        if (!standing_believes(self)) continue;
        judge_validity(self, name);
        of[exclusive + shared] = self->user;
        if (self->mode == REDLOCK_EXCLUSIVE) exclusive++;
        else shared++;
    }
    uint32_t permits = refereed->permits[name];
    if (exclusive > 1 || (exclusive == 1 && shared > 0))
        referee_accuse(of[0], "and client %d, job %d both believe that they hold %d", client_of_user(of[1]),
                       number_of_user(of[1]), name);
    if (permits > 0 && (uint32_t)shared > permits)
        referee_break("%d users believe that they hold %d, which has %u permits", shared, name, permits);
}

/* A lock that is renewed is not lost while the connection is sound and the node serves. */
void belief_judge_loss(standing *self)
{
    bool was_believed = self->did_believe;
    self->did_believe = standing_believes(self);
    if (!was_believed || self->did_believe || self->lock == NULL || standing_is_void(self)) return;
    const job *what = self->what;
    int64_t ttl_us = what->ttl_ms * 1000, now = now_us();
    if (!what->auto_renew || what->max_hold_ms > 0 || what->midway > MIDWAY_ENTER || self->is_excused) return;
    int64_t broke_us = network_broke_us(self->client);
    bool was_cut = network_is_deceived(self->client) || broke_us > now - 2 * ttl_us - BACKOFF_MOST_US;
    bool was_stuck = standing_held_up_us(self) > now - ttl_us || node_refused_until_us() > now - ttl_us / 2;
    if (broke_us > 0 && was_cut) return;
    if (!standing_is_short(what) && !was_stuck) referee_accuse(self->user, "lost a lock that is renewed");
}
