/* SPDX-License-Identifier: MIT
 * Statistics: a copy, each counter read atomically. */
#include <string.h>

#include "api/client.h"
#include "host/histogram.h"

/* The structure is nothing but counters, which is what makes this copy right. */
_Static_assert(sizeof(redlock_stats) % sizeof(uint64_t) == 0, "counters only");

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void redlock_stats_read(const redlock_client *client, redlock_stats *stats, size_t struct_size)
{
    if (stats == NULL || struct_size == 0) return;
    memset(stats, 0, struct_size);
    if (client == NULL || fork_guard_is_child(&client->fork)) return;
    redlock_stats now;
    counters_read((uint64_t *)&now, (const uint64_t *)&client->stats,
                  sizeof now / sizeof(uint64_t));
    now.commands = read_counter(&client->counters.commands);
    now.writes = read_counter(&client->counters.writes);
    now.connections = read_counter(&client->counters.connections);
    now.connections_lost = read_counter(&client->counters.connections_lost);
    memcpy(stats, &now, struct_size < sizeof now ? struct_size : sizeof now);
}
