/* SPDX-License-Identifier: MIT
 * Rule: time goes to the next instant at which anything can happen. */
#include "sim/world/world.h"

#include "sim/machine/machine.h"
#include "sim/machine/system.h"
#include "sim/world/events.h"

void world_begin(const world_terms *terms)
{
    machines_begin(terms->seed, terms->machines);
    events_begin();
    network_begin(terms->network);
    system_begin();
    node_begin(terms->clock_us, terms->load, terms->witness);
}

int64_t world_next_us(void)
{
    int64_t fibers_us = fibers_next_us(), events_us = events_next_us();
    return fibers_us < events_us ? fibers_us : events_us;
}

void world_step(int64_t instant_us)
{
    if (instant_us > now_us()) set_now_us(instant_us);
    if (events_next_us() <= now_us()) events_happen();
    fibers_run();
}
