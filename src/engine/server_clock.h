/* SPDX-License-Identifier: MIT
 * How the server's clock stands to ours, from what its answers tell. Pure: instants are handed in.
 *
 *   us ---- sent ------------ received ----->      the server said "now" at some moment between
 *                                                  the two, so its clock is ahead of ours by
 *   [now - received, now - sent]                   something in here
 *
 * Two answers whose intervals do not meet prove that the clock was set, or that another server
 * answers, one that was promoted say. Leases end by that clock, so what is held is then renewed. */
#ifndef REDLOCK_ENGINE_SERVER_CLOCK_H
#define REDLOCK_ENGINE_SERVER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: nothing is known yet. */
typedef struct server_clock {
    int64_t least_us, most_us; /* the server's clock is ahead of ours by so much */
    int64_t read_us;           /* when that was read, on ours */
    bool is_known;
} server_clock;

/* An answer tells server_us; what is no time is passed over. By how much the clock was set since
 * the one before, at least; 0: it need not have been, since clocks run apart by up to 0.1 %. */
int64_t server_clock_read(server_clock *self, int64_t server_us, int64_t sent_us,
                          int64_t received_us);

/* Is a step of so much worth a renewal of a lease of ttl_ms? */
bool server_clock_step_matters(int64_t step_us, int64_t ttl_ms);

#endif
