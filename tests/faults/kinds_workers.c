/* SPDX-License-Identifier: MIT
 * Faults of the processes that hold and wait. */
#include "faults/kinds.h"

enum { LEASE_MOST_MS = 700, AMBUSH_MOST_MS = 200 };

static int any_worker(arena *where) { return (int)dice_below(&where->dice, WORKERS); }

static int any_mortal(arena *where)
{
    int worker;
    do worker = any_worker(where);
    while (!roster[worker].is_mortal);
    return worker;
}

/* Every other time it is struck while it holds a lock. */
static void lie_in_wait(arena *where, int victim)
{
    if (dice_below(&where->dice, 2) == 0) return;
    for (int i = 0; i < AMBUSH_MOST_MS && !crew_is_inside(&where->crew, victim); i++) arena_pass(1);
}

static void killed(arena *where)
{
    int victim = any_mortal(where);
    lie_in_wait(where, victim);
    crew_kill(&where->crew, victim);
    arena_last(where);
    crew_start(&where->crew, victim);
}

static void all_mortals_killed(arena *where)
{
    for (int i = 0; i < WORKERS; i++)
        if (roster[i].is_mortal) crew_kill(&where->crew, i);
    arena_last(where);
    for (int i = 0; i < WORKERS; i++)
        if (roster[i].is_mortal) crew_start(&where->crew, i);
}

/* For longer than its lease, whichever that is. */
static void frozen(arena *where)
{
    int victim = any_worker(where);
    lie_in_wait(where, victim);
    crew_freeze(&where->crew, victim);
    arena_pass(LEASE_MOST_MS);
    arena_last(where);
    crew_thaw(&where->crew, victim);
}

/* Some for longer than their lease, some for less. */
static void many_frozen(arena *where)
{
    int first = any_worker(where);
    for (int i = 0; i < WORKERS / 2; i++) crew_freeze(&where->crew, (first + i) % WORKERS);
    for (int i = 0; i < WORKERS / 2; i++) {
        arena_pass(dice_below(&where->dice, LEASE_MOST_MS / 2));
        crew_thaw(&where->crew, (first + i) % WORKERS);
    }
}

fault_kinds kinds_of_workers(void)
{
    static const fault_kind kinds[] = {
        {"worker killed", killed},
        {"all mortal workers killed", all_mortals_killed},
        {"worker frozen beyond its lease", frozen},
        {"half of the workers frozen", many_frozen},
    };
    return (fault_kinds){kinds, sizeof kinds / sizeof *kinds};
}
