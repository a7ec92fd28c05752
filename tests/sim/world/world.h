/* SPDX-License-Identifier: MIT
 * The machines, the network between them and the node, as one world with one time. */
#ifndef REDLOCK_TESTS_SIM_WORLD_WORLD_H
#define REDLOCK_TESTS_SIM_WORLD_WORLD_H

#include <stdint.h>

#include "sim/server/node.h"
#include "sim/world/network.h"

/* Everything begins anew; the node's clock shows clock_us. */
typedef struct world_terms {
    uint64_t seed;
    int machines;
    const network_terms *network;
    int64_t clock_us;
    enum load_manner load;
    const node_witness *witness;
} world_terms;
void world_begin(const world_terms *terms);

/* The next instant at which anything can happen, SIM_NEVER for none; and what happens then. */
int64_t world_next_us(void);
void world_step(int64_t instant_us);

#endif
