/* SPDX-License-Identifier: MIT
 * The run of one plan. Rule: time goes to the next instant at which anything can happen, and the
 * referee looks at every one of them. */
#include "sim/schedules/schedule.h"

#include <stdio.h>

#include "sim/cast/actors.h"
#include "sim/cast/ghosts.h"
#include "sim/court/handover.h"
#include "sim/court/orphans.h"
#include "sim/court/referee.h"
#include "sim/machine/machine.h"
#include "sim/server/node.h"
#include "sim/trace.h"
#include "sim/world/events.h"
#include "sim/world/network.h"
#include "sim/world/world.h"

/* Beyond this nobody may still wait: far more than all leases, waits and backoffs of a plan
 * together, with a crowd that asks every few milliseconds, since its claims are short, for as long
 * as one of them holds the lock for 20 s. */
enum { STEPS_MOST = 1000000 };
static const int64_t end_us = INT64_C(600) * 1000000;

static plan *the_plan;
static tally counted;
static bool is_clock_behind; /* a replica's, whose data was older */

tally schedule_tally(void)
{
    counted.acquired = referee_acquisitions();
    return counted;
}

/* ---- Faults ---------------------------------------------------------------------------------- */

static void cut_some(const fault *one)
{
    dice details = {one->chance};
    for (int i = 0; i < network_count(); i++) {
        cable *each = network_cable(i);
        if (each->machine != one->client || each->is_closed || each->is_cut ||
            dice_below(&details, 3) == 0)
            continue;
        cut how = {.loses_requests = dice_below(&details, 2) == 0,
                   .machine_learns_us =
                       dice_below(&details, 3) == 0 ? SIM_NEVER : dice_spread(&details, 0, 100000),
                   .node_learns_us = dice_spread(&details, 0, 2000000)};
        cable_cut(each, &how);
    }
}

/* What a client has sent on connections that it goes on to give up. The inboxes are cut as ever. */
static void put_off_some(const fault *one)
{
    dice details = {one->chance};
    for (int i = 0; i < network_count(); i++) {
        cable *each = network_cable(i);
        if (each->machine != one->client || each->is_cut || !each->is_served ||
            dice_below(&details, 4) == 0)
            continue;
        cut as_ever = {.machine_learns_us = SIM_NEVER,
                       .node_learns_us = dice_spread(&details, 0, 2000000)};
        if (each->is_subscribed) cable_cut(each, &as_ever);
        else cable_put_off(each, now_us() + one->span_us, dice_below(&details, 2) == 0);
    }
}

/* The script has arrived, and nothing came of it yet. */
static int64_t puts_off(enum script_id id, const cable *from)
{
    for (int i = 0; i < the_plan->fault_count; i++) {
        fault *one = &the_plan->faults[i];
        if (!one->is_armed || one->kind != FAULT_DEFER || one->client != from->machine ||
            one->script != id)
            continue;
        one->is_armed = false;
        return now_us() + one->span_us;
    }
    return 0;
}

/* The script has run, and its answer is not sent yet. */
static void lose_answer(fault *armed, cable *from)
{
    dice details = {armed->chance};
    cut how = {.machine_learns_us = dice_below(&details, 2) == 0 ? SIM_NEVER
                                                                 : dice_spread(&details, 0, 100000),
               .node_learns_us = dice_spread(&details, 0, 2000000)};
    armed->is_armed = false;
    trace("fault: %s (client %d)", fault_name(armed->kind), armed->client);
    cable_cut(from, &how);
}

static void look_after(enum script_id id, words key, const words *argv, long code, cable *from,
                       bool is_stray)
{
    referee_look_after(id, key, argv, code, from, is_stray);
    for (int i = 0; i < the_plan->fault_count; i++) {
        fault *one = &the_plan->faults[i];
        bool strikes = one->is_armed && one->kind == FAULT_MUTE && one->client == from->machine &&
                       one->script == id;
        if (strikes && !is_stray) lose_answer(one, from);
    }
}

static void kill_some(const fault *one)
{
    dice details = {one->chance};
    bool only_subscribed = dice_below(&details, 2) == 0;
    for (int i = 0; i < network_count(); i++) {
        cable *each = network_cable(i);
        if (each->is_served && (each->is_subscribed || !only_subscribed)) cable_kill(each);
    }
}

static void come_up(void *subject, void *detail, size_t size)
{
    (void)detail;
    (void)size;
    const fault *one = subject;
    trace("fault: %s is over", fault_name(one->kind));
    node_come_up(one->kind == FAULT_RESTART_EMPTY ? RETURN_EMPTY
                 : one->kind == FAULT_FAILOVER    ? RETURN_STALE
                                                  : RETURN_WITH_DATA);
    referee_data_changed();
    if (one->kind == FAULT_FAILOVER) node_step_clock(one->step_us);
    if (one->kind == FAULT_FAILOVER && one->step_us < 0) is_clock_behind = true;
    if (is_clock_behind) referee_clock_fell();
    if (one->kind != FAULT_RESTART) {
        referee_leases_broken();
        orphans_excuse_all();
    }
}

static void go_down(fault *one)
{
    dice details = {one->chance};
    if (!node_is_up()) return;
    node_go_down();
    for (int i = 0; i < network_count(); i++) {
        bool is_silent = dice_below(&details, 6) == 0;
        cable *each = network_cable(i);
        if (each->is_served)
            cable_drop(each, is_silent ? SIM_NEVER : dice_spread(&details, 0, 20000));
    }
    event_at(now_us() + one->span_us, come_up, one, NULL, 0);
}

/* Forwards, leases end early. */
static void step_clock(const fault *one)
{
    node_step_clock(one->step_us);
    if (one->step_us > 0) referee_leases_broken();
}

static void stop_machine(const fault *one)
{
    machine *on = machine_at(one->client);
    on->stopped_until_us = now_us() + one->span_us;
}

/* Those that led to the replica find their primary from then on. */
static void mend_split(void *subject, void *detail, size_t size)
{
    (void)subject;
    (void)detail;
    (void)size;
    for (int i = 0; i < network_count(); i++)
        if (network_cable(i)->is_far && network_cable(i)->is_served) cable_kill(network_cable(i));
}

/* Some connections are closed, so that there are new ones. */
static void split_address(const fault *one)
{
    dice details = {one->chance};
    int64_t skew_us = dice_between(&details, -200000, 200000);
    node_split(now_us() + one->span_us, dice_spread(&details, 0, 100000), skew_us);
    for (int i = 0; i < network_count(); i++)
        if (network_cable(i)->is_served && dice_below(&details, 2) == 0)
            cable_kill(network_cable(i));
    event_at(now_us() + one->span_us, mend_split, NULL, NULL, 0);
}

static void haunt(const fault *one)
{
    dice details = {one->chance};
    if (node_is_up()) ghosts_join(the_plan, one->name, one->count, &details);
}

static void strike(void *subject, void *detail, size_t size)
{
    (void)detail;
    (void)size;
    fault *one = subject;
    int64_t until_us = now_us() + one->span_us;
    counted.faults++;
    trace("fault: %s (client %d)", fault_name(one->kind), one->client);
    switch (one->kind) {
    case FAULT_CUT: cut_some(one); return;
    case FAULT_DEFER:
    case FAULT_MUTE: one->is_armed = true; return;
    case FAULT_LATE: put_off_some(one); return;
    case FAULT_SPLIT: split_address(one); return;
    case FAULT_MATCH: node_match_all(until_us); return;
    case FAULT_GHOSTS: haunt(one); return;
    case FAULT_FORCE: actor_force(one->client, one->name); return;
    case FAULT_STOP: stop_machine(one); return;
    case FAULT_CRASH: actor_crash(one->client, one->chance); return;
    case FAULT_CLOSE: actor_close(one->client); return;
    case FAULT_CANCEL: actor_cancel(one->client, one->chance); return;
    case FAULT_KILL: kill_some(one); return;
    case FAULT_RESTART:
    case FAULT_RESTART_EMPTY:
    case FAULT_FAILOVER: go_down(one); return;
    case FAULT_FLUSH: node_forget_scripts(); return;
    case FAULT_FULL: node_refuse_memory(until_us); return;
    case FAULT_READ_ONLY: node_refuse_writes(until_us); return;
    case FAULT_LOADING: node_load(until_us); return;
    case FAULT_CROWDED: node_turn_away(until_us); return;
    case FAULT_BUSY:
    case FAULT_FREEZE: node_freeze(until_us); return;
    case FAULT_STEP: step_clock(one); return;
    case FAULT_KINDS: return;
    }
}

static void replicate(void *subject, void *detail, size_t size)
{
    (void)subject;
    (void)detail;
    (void)size;
    node_replicate();
}

static void plan_faults(plan *of)
{
    for (int i = 0; i < of->fault_count; i++) {
        fault *one = &of->faults[i];
        if (one->is_left_out) continue;
        event_at(one->at_us, strike, one, NULL, 0);
        dice details = {one->chance + 1};
        int64_t lag_us = dice_spread(&details, 0, 100000);
        if (one->kind == FAULT_FAILOVER)
            event_at(one->at_us > lag_us ? one->at_us - lag_us : 0, replicate, NULL, NULL, 0);
    }
}

/* ---- The run --------------------------------------------------------------------------------- */

static void step(int64_t instant_us)
{
    world_step(instant_us);
    referee_look();
    counted.steps++;
}

static void run(void)
{
    while (referee_verdict() == NULL && !actors_are_done()) {
        int64_t instant_us = world_next_us();
        if (instant_us >= end_us || counted.steps >= STEPS_MOST) {
            referee_break("client %d is not done", actors_first_pending());
            return;
        }
        step(instant_us);
    }
    /* What is still under way arrives. */
    while (referee_verdict() == NULL && events_next_us() < SIM_NEVER) step(world_next_us());
    if (referee_verdict() == NULL) referee_end();
}

static const node_witness witness = {.puts_off = puts_off,
                                     .far = referee_look_far,
                                     .before = handover_before,
                                     .told = handover_told,
                                     .after = look_after};

const char *schedule_run(const plan *of)
{
    static plan own;
    own = *of;
    the_plan = &own;
    counted = (tally){0};
    is_clock_behind = false;
    dice chance = dice_for(of->seed, 2);
    const world_terms terms = {.seed = of->seed,
                               .machines = of->client_count,
                               .network = &of->network,
                               .clock_us = INT64_C(1800000000000000) +
                                           dice_below(&chance, INT64_C(1000000000000)),
                               .load = of->load,
                               .witness = &witness};
    world_begin(&terms);
    referee_begin(&own);
    actors_begin(&own);
    plan_faults(&own);
    run();
    return referee_verdict();
}
