/* SPDX-License-Identifier: MIT
 * What is said once a second at the most. */
#include "host/seldom.h"

#include <stdio.h>

enum { PAUSE_US = 1000000 };

bool seldom_may_say(seldom *self, int64_t now_us, char more[SELDOM_MORE_SIZE])
{
    int64_t said_us = atomic_load(&self->said_us);
    bool is_soon = said_us != 0 && now_us < said_us + PAUSE_US;
    *more = '\0';
    /* Of several threads that come at once, one says it. */
    if (is_soon || !atomic_compare_exchange_strong(&self->said_us, &said_us, now_us)) {
        atomic_fetch_add(&self->unsaid, 1);
        return false;
    }
    unsigned unsaid = atomic_exchange(&self->unsaid, 0);
    if (unsaid > 0) snprintf(more, SELDOM_MORE_SIZE, " (and %u more)", unsaid);
    return true;
}
