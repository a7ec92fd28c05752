/* SPDX-License-Identifier: MIT
 * The run of one plan. Rule: time goes to the next instant at which anything can happen, and the referee looks at
 * every one of them. */
#include "sim/schedule.h"

#include <stdio.h>

#include "sim/actors.h"
#include "sim/events.h"
#include "sim/handover.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/referee.h"
#include "sim/system.h"
#include "sim/trace.h"

/* Beyond this nobody may still wait: far more than all leases, waits and backoffs of a plan together. */
enum { STEPS_MOST = 100000 };
static const int64_t end_us = INT64_C(600) * 1000000;

static plan *the_plan;
static tally counted;

tally schedule_tally(void)
{
    counted.acquired = referee_acquisitions();
    return counted;
}

/* ---- Faults ----------------------------------------------------------------------------------- */

static void cut_some(const fault *one)
{
    dice details = {one->chance};
    for (int i = 0; i < network_count(); i++) {
        cable *each = network_cable(i);
        if (each->machine != one->client || each->is_closed || each->is_cut || dice_below(&details, 3) == 0) continue;
        cut how = {.loses_requests = dice_below(&details, 2) == 0,
                   .machine_learns_us = dice_below(&details, 3) == 0 ? SIM_NEVER : dice_spread(&details, 0, 100000),
                   .node_learns_us = dice_spread(&details, 0, 2000000)};
        cable_cut(each, &how);
    }
}

/* The script has run, and its answer is not sent yet. */
static void lose_answer(fault *armed, cable *from)
{
    dice details = {armed->chance};
    cut how = {.machine_learns_us = dice_below(&details, 2) == 0 ? SIM_NEVER : dice_spread(&details, 0, 100000),
               .node_learns_us = dice_spread(&details, 0, 2000000)};
    armed->is_armed = false;
    trace("fault: %s (client %d)", fault_name(armed->kind), armed->client);
    cable_cut(from, &how);
}

static void look_after(enum script_id id, words key, const words *argv, long code, cable *from, bool is_stray)
{
    referee_look_after(id, key, argv, code, from, is_stray);
    for (int i = 0; i < the_plan->fault_count; i++) {
        fault *one = &the_plan->faults[i];
        if (one->is_armed && one->client == from->machine && one->script == id && !is_stray) lose_answer(one, from);
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
    if (one->kind != FAULT_RESTART) referee_leases_broken();
}

static void go_down(fault *one)
{
    dice details = {one->chance};
    if (!node_is_up()) return;
    node_go_down();
    for (int i = 0; i < network_count(); i++) {
        bool is_silent = dice_below(&details, 6) == 0;
        cable *each = network_cable(i);
        if (each->is_served) cable_drop(each, is_silent ? SIM_NEVER : dice_spread(&details, 0, 20000));
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
    case FAULT_MUTE: one->is_armed = true; return;
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

/* ---- The run ---------------------------------------------------------------------------------- */

static int64_t next_us(void)
{
    int64_t fibers_us = fibers_next_us(), events_us = events_next_us();
    return fibers_us < events_us ? fibers_us : events_us;
}

static void step(int64_t instant_us)
{
    if (instant_us > now_us()) set_now_us(instant_us);
    if (events_next_us() <= now_us()) events_happen();
    fibers_run();
    referee_look();
    counted.steps++;
}

static void run(void)
{
    while (referee_verdict() == NULL && !actors_are_done()) {
        int64_t instant_us = next_us();
        if (instant_us >= end_us || counted.steps >= STEPS_MOST) {
            referee_break("client %d is not done", actors_first_pending());
            return;
        }
        step(instant_us);
    }
    /* What is still under way arrives. */
    while (referee_verdict() == NULL && events_next_us() < SIM_NEVER) step(next_us());
    if (referee_verdict() == NULL) referee_end();
}

static const node_witness witness = {.before = handover_before, .told = handover_told, .after = look_after};

const char *schedule_run(const plan *of)
{
    static plan own;
    own = *of;
    the_plan = &own;
    counted = (tally){0};
    dice chance = dice_for(of->seed, 2);
    machines_begin(of->seed, of->client_count);
    events_begin();
    network_begin(&of->network);
    system_begin();
    node_begin(INT64_C(1800000000000000) + dice_below(&chance, INT64_C(1000000000000)), of->load, &witness);
    referee_begin(&own);
    actors_begin(&own);
    plan_faults(&own);
    run();
    return referee_verdict();
}
