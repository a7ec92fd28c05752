/* SPDX-License-Identifier: MIT
 * Until when a call may last. */
#include "api/limits.h"

#include "engine/lease.h"
#include "host/clock.h"

limits limits_of(const redlock_client *client, const redlock_options *o, int64_t began_us)
{
    limits self = {.wait_until_us = NEVER, .deadline_us = NEVER, .canceller = o->canceller};
    if (o->wait_ms < 0) return self;
    self.wait_until_us = began_us + o->wait_ms * US_PER_MS;
    self.deadline_us = latest(self.wait_until_us, began_us + client->timeout_us);
    return self;
}

limits limits_to_part(const limits *self, const redlock_client *client, int64_t now_us)
{
    int64_t until_us = earliest(self->deadline_us, now_us + client->timeout_us);
    return (limits){.wait_until_us = now_us,
                    .deadline_us = latest(until_us, now_us + PART_WITHIN_US)};
}

limits limits_to_end(limits *self, const redlock_client *client, int64_t now_us)
{
    limits part = limits_to_part(self, client, now_us);
    if (self->end_us == 0) self->end_us = part.deadline_us;
    part.deadline_us = self->end_us;
    return part;
}

limits limits_of_one(const redlock_client *client)
{
    int64_t until_us = clock_now_us() + client->timeout_us;
    return (limits){.wait_until_us = until_us, .deadline_us = until_us};
}
