/* SPDX-License-Identifier: MIT
 * Breadth first through the small world. */
#ifndef REDLOCK_EXPLORE_SEARCH_H
#define REDLOCK_EXPLORE_SEARCH_H

#include <stddef.h>

#include "explore/world.h"

/* How many of each there may be. */
typedef struct bounds {
    uint8_t calls, others, lapses, closes, forces, losses;
} bounds;

typedef struct findings {
    size_t states, transitions, faults;
    bool is_complete; /* there was room for all states */
    const char *what; /* the first fault */
    char way[4096];   /* ... and how it came about, a line a move */
} findings;

/* From an acquisition of either kind on. Ends at the first fault, and where more states than `room`
 * are met. */
findings search(const bounds *within, size_t room);

#endif
