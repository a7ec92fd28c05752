/* SPDX-License-Identifier: MIT
 * What is logged of a server that serves nobody: one line when that has lasted for a while, and one
 * when it is over, however many connections meet it.
 *
 *     answer      failure             failure            answer
 *   ----|------------|----------- 3 s ---|------------------|----
 *                    since               WARNING            INFO
 *
 * A failure that nobody tried again after is no outage, however long ago it was. Shared by all
 * connections of a client; any thread. */
#ifndef REDLOCK_TOPOLOGY_OUTAGE_H
#define REDLOCK_TOPOLOGY_OUTAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/log.h"

/* Writes what an outage puts at stake, "; " first, as words for its line; or "". */
typedef void stakes_fn(void *arg, char *out, size_t size, int64_t now_us);

typedef struct outage {
    _Atomic int64_t
        since_us; /* when a connection failed first since the last answer; 0: none did */
    _Atomic int64_t latest_us; /* the latest failure since then */
    _Atomic bool is_told;
    stakes_fn *stakes; /* set before anybody connects; NULL: nothing is at stake */
    void *stakes_arg;
} outage;

/* A connection to `where` failed, for the reason `why`. */
void outage_note_failure(outage *self, const event_log *log, const char *where, const char *why,
                         int64_t now_us);

void outage_end(outage *self, const event_log *log, const char *where, int64_t now_us);

/* Is there one? It costs every answer one load. */
static inline bool outage_is_on(const outage *self)
{
    return atomic_load_explicit(&self->since_us, memory_order_relaxed) != 0;
}

#endif
