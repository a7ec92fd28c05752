/* SPDX-License-Identifier: MIT
 * The server's clock against ours. Pure: no clock, no socket. */
#include "engine/server_clock.h"

#include "engine/lease.h"

enum { STEP_LEAST_US = 50000, US_PER_APART_US = 1000 };

static int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t server_clock_read(server_clock *self, int64_t server_us, int64_t sent_us,
                          int64_t received_us)
{
    if (server_us <= 0 || server_us > FENCE_MOST) return 0; /* no time that a server tells */
    const server_clock told = {server_us - received_us, server_us - sent_us, received_us, true};
    const server_clock before = *self;
    const int64_t apart_us = greater(received_us - before.read_us, 0) / US_PER_APART_US;
    const int64_t least_us = before.least_us - apart_us, most_us = before.most_us + apart_us;
    const int64_t step_us = greater(told.least_us - most_us, least_us - told.most_us);
    *self = told;
    if (!before.is_known) return 0;
    if (step_us > 0) return step_us;
    self->least_us = greater(told.least_us, least_us);
    self->most_us = lesser(told.most_us, most_us);
    return 0;
}

bool server_clock_step_matters(int64_t step_us, int64_t ttl_ms)
{
    return step_us > greater(STEP_LEAST_US, ttl_ms * US_PER_MS / 10);
}
