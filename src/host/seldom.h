/* SPDX-License-Identifier: MIT
 * What may happen ten thousand times at once, and is to be said once a second at the most, with the
 * number of those that were not. Any thread. */
#ifndef REDLOCK_HOST_SELDOM_H
#define REDLOCK_HOST_SELDOM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SELDOM_MORE_SIZE = 32 };

/* All zero: nothing was said yet. */
typedef struct seldom {
    _Atomic int64_t said_us;
    _Atomic unsigned unsaid; /* since then */
} seldom;

/* May it be said now? Then `more` is " (and 3 more)", or "". Otherwise it is counted. */
bool seldom_may_say(seldom *self, int64_t now_us, char more[SELDOM_MORE_SIZE]);

#endif
