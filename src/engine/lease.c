/* SPDX-License-Identifier: MIT
 * The arithmetic of validity. Pure: no clock, no socket. */
#include "engine/lease.h"

int64_t lease_drift_us(int64_t span_us) { return span_us / 100 + 2 * US_PER_MS; }

int64_t lease_valid_until(int64_t sent_us, int64_t lease_ms)
{
    int64_t lease_us = lease_ms * US_PER_MS;
    return sent_us + lease_us - lease_drift_us(lease_us);
}

int64_t lease_valid_until_granted(server_instant known, int64_t granted_us, int64_t received_us,
                                  int64_t lease_ms)
{
    /* The span between two readings of the server's clock is not one of ours: allow for its drift
     * too. A server clock that stepped back makes the span negative, which only ends validity
     * early. */
    int64_t span_us = granted_us - known.server_us;
    int64_t earliest_us = known.sent_us + span_us - (span_us > 0 ? span_us / 100 : 0);
    int64_t counted_from_us = earliest_us < received_us ? earliest_us : received_us;
    return lease_valid_until(counted_from_us, lease_ms);
}
