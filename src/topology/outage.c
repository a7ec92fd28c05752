/* SPDX-License-Identifier: MIT
 * The lines about an outage. */
#include "topology/outage.h"

enum { US_PER_S = 1000000, TOLD_AFTER_US = 3 * US_PER_S };

/* Longer than any pause between two attempts of somebody who wants something. */
static const int64_t forgotten_after_us = INT64_C(60) * US_PER_S;

void outage_note_failure(outage *self, const event_log *log, const char *where, const char *why,
                         int64_t now_us)
{
    int64_t since_us = 0, latest_us = atomic_exchange(&self->latest_us, now_us);
    if (atomic_compare_exchange_strong(&self->since_us, &since_us, now_us)) return;
    if (now_us > latest_us + forgotten_after_us) {
        atomic_store(&self->since_us, now_us);
        return;
    }
    if (now_us < since_us + TOLD_AFTER_US || atomic_exchange(&self->is_told, true)) return;
    char at_stake[128] = "";
    if (self->stakes != NULL) self->stakes(self->stakes_arg, at_stake, sizeof at_stake, now_us);
    log_line(log, REDLOCK_LOG_WARNING, "%s: no service for %.1f s: %s%s", where,
             (double)(now_us - since_us) / US_PER_S, why, at_stake);
}

void outage_end(outage *self, const event_log *log, const char *where, int64_t now_us)
{
    int64_t since_us = atomic_exchange(&self->since_us, 0);
    if (since_us == 0 || !atomic_exchange(&self->is_told, false)) return;
    log_line(log, REDLOCK_LOG_INFO, "%s: it serves again, after %.1f s", where,
             (double)(now_us - since_us) / US_PER_S);
}
