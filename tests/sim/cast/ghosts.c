/* SPDX-License-Identifier: MIT
 * Dead waiters, as their processes would have left them. Rule: what they wrote is what a client
 * writes. */
#include "sim/cast/ghosts.h"

#include <stdio.h>
#include <string.h>

#include "sim/court/grants.h"
#include "sim/limits.h"
#include "sim/server/node.h"
#include "sim/trace.h"
#include "wire/bands.h"

enum { GHOSTS_MOST = 10000 }; /* at once */

static const char haunted[] = "ghost:1:";

bool ghosts_has(words who)
{
    return who.length == strlen(haunted) && memcmp(who.at, haunted, who.length) == 0;
}

static void join(words key, const char *waiter, double arrival)
{
    static outcome ignored;
    char score[32];
    snprintf(score, sizeof score, "%.17g", arrival);
    words argv[] = {{"ZADD", 4}, key, {score, strlen(score)}, {waiter, strlen(waiter)}};
    keyspace_run(node_data(), &ignored, 4, argv);
}

static bool has_room(const sorted_set *set)
{
    int waiters = 0;
    for (int i = 0; set != NULL && i < set->count; i++)
        waiters += sorted_member(set, i)->score >= (double)READER_BAND;
    return set != NULL && waiters < limits.queue && set->count < MEMBERS_MOST / 2;
}

void ghosts_join(const plan *of, int name, int count, dice *chance)
{
    static const char *const policies[] = {"", "f", "w"};
    words key = grants_key(name);
    for (int i = 0; i < count && has_room(keyspace_find(node_data(), key)); i++) {
        bool writes = dice_below(chance, 3) == 0;
        int permits = writes ? 0 : (int)dice_below(chance, 3);
        char waiter[MEMBER_SIZE], limit[16] = "";
        if (permits > 0) snprintf(limit, sizeof limit, "/%d", permits);
        long long counter = (long long)now_us() * GHOSTS_MOST + i; /* no hold id is used twice */
        snprintf(waiter, sizeof waiter, "%d ghost.%d %c%s%s - ghost%d.%llx %s",
                 (int)dice_spread(chance, 10, 2000), i, writes ? 'x' : 's',
                 policies[of->policy[name]], limit, (int)dice_below(chance, 1000), counter,
                 haunted);
        trace("ghost: %s", waiter);
        join(key, waiter, (double)(node_clock_us() + i) + (writes ? (double)WRITER_BAND : 0));
    }
}
