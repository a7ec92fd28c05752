/* SPDX-License-Identifier: MIT
 * Holders on the node, and whose they are. Rule: what may be somebody's is nobody's fault. */
#include "sim/court/orphans.h"

#include <stdlib.h>
#include <string.h>

#include "keeper/locks.h"
#include "sim/court/grants.h"
#include "sim/court/stance.h"
#include "sim/machine/system.h"

enum { ORPHANS_MOST = 64, EXCUSED_MOST = 64, ROUND_TRIPS = 8 };

typedef struct orphan {
    uint64_t who; /* 0: none */
    int64_t since_us, seen_us;
} orphan;

static orphan orphans[NAMES_MOST][ORPHANS_MOST];
static uint64_t excused[EXCUSED_MOST];
static unsigned excused_count;
static bool is_all_excused;

void orphans_begin(void)
{
    memset(orphans, 0, sizeof orphans);
    excused_count = 0;
    is_all_excused = false;
}

void orphans_excuse(words hold_id)
{
    excused[excused_count++ % EXCUSED_MOST] = grants_mark(hold_id);
}
void orphans_excuse_all(void) { is_all_excused = true; }

static bool is_excused(uint64_t who)
{
    for (unsigned i = 0; i < excused_count && i < EXCUSED_MOST; i++)
        if (excused[i] == who) return true;
    return excused_count > EXCUSED_MOST;
}

static bool is_same(words a, words b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

/* Holds it, or may be waiting for it. Of several blocking waits of one client it cannot be told
 * which one has it. */
static bool has_owner(int client, int name, words hold_id)
{
    for (int i = 0; i < stances_active(); i++) {
        const stance *self = stance_active(i);
        if (self->client != client || self->what->name != name) continue;
        if (self->is_waiting) return true;
        if (self->lock != NULL &&
            is_same((words){lock_hold_id(self->lock), self->lock->hold_id_length}, hold_id))
            return true;
    }
    return false;
}

/* Found again, or noted as new. */
static orphan *note(int name, uint64_t who)
{
    orphan *stalest = &orphans[name][0];
    for (int i = 0; i < ORPHANS_MOST; i++) {
        orphan *one = &orphans[name][i];
        bool is_current = now_us() - one->seen_us < 1000000;
        if (one->who == who && (is_current || one->seen_us >= one->since_us)) return one;
        if (one->seen_us < stalest->seen_us) stalest = one;
    }
    *stalest = (orphan){.who = who, .since_us = now_us()};
    return stalest;
}

static void forget(int name, uint64_t who)
{
    for (int i = 0; i < ORPHANS_MOST; i++)
        if (orphans[name][i].who == who) orphans[name][i] = (orphan){0};
}

/* To connect and to ask again. But one that came out of the blue is given back at once. */
static int64_t patience_us(int client, const orphan *self, int64_t disturbed_us)
{
    const client_plan *of = &refereed->clients[client];
    int64_t again_us = BACKOFF_MOST_US + RETRY_MOST_US +
                       (of->timeout_ms + 2 * of->connect_timeout_ms) * 1000 +
                       client_lateness_us(client);
    bool is_sudden = self->since_us - disturbed_us > again_us && disturbed_us < self->since_us;
    return is_sudden ? of->timeout_ms * 1000 + ROUND_TRIPS * network_delay_most_us() +
                           OVERSHOOT_US + client_lateness_us(client)
                     : again_us;
}

static void judge(int name, const member *at, words hold_id, int client)
{
    uint64_t who = grants_mark(hold_id);
    if (stance_may_leave(client) || is_excused(who) || has_owner(client, name, hold_id)) {
        forget(name, who);
        return;
    }
    orphan *self = note(name, who);
    self->seen_us = now_us();
    if (network_is_deceived(client)) network_broke(client);
    const machine *on = machine_at(client);
    int64_t disturbed_us = latest(latest(network_moved_us(client), node_troubled_until_us()),
                                  latest(on->stopped_until_us, on->stalled_until_us));
    int64_t since_us = latest(self->since_us, disturbed_us);
    if (now_us() - since_us > patience_us(client, self, disturbed_us))
        referee_break("lock %d is held by %.*s since %lld, which nobody has", name, (int)at->length,
                      at->bytes, (long long)self->since_us);
}

void orphans_judge(int name)
{
    if (is_all_excused) return;
    const sorted_set *set = keyspace_find(node_data(), grants_key(name));
    int64_t now_ms = node_clock_us() / 1000;
    for (int i = 0; set != NULL && i < set->count; i++) {
        const member *at = sorted_member(set, i);
        if (grants_end_ms(at) <= now_ms) continue;
        int client = grants_client(at);
        if (client >= 0 && client < refereed->client_count)
            judge(name, at, grants_hold_id(at), client);
    }
}
