/* SPDX-License-Identifier: MIT
 * The promises of the queue (docs/protocol.md, docs/modes.md), checked after every script, on the
 * node's own data:
 *
 *   passed on    a lock that is given back is not left free beside a waiter that listens
 *   told         whoever a grant's message reached is a holder, and whom it did not reach is none
 *   order        nobody overtakes an earlier waiter of its kind, and asking again keeps the place
 *   policy       readers and writers go first as the policy says
 *   entering     a reader that may enter is not left waiting beside others, whoever is dead ahead
 *                of it
 *   frozen       the waiters of a client whose lease ran out go to the end of the line
 *   dropped      nobody who listens leaves the line unasked, but who kept others out for its claim
 *                without asking
 *   minting      whoever enters a lock that nobody holds has a fence that is higher than the last
 *                one
 *   more         whoever is told that more are to be served asks again, or somebody else does
 *   repetition   one that holds, and asks again, is told that it holds
 *   leases       no script makes one shorter
 *   force        takes the lock from those who were seen there only
 *   burial       who is buried gets nothing, until then
 *   expiry       the key lives as long as every holder in it, and as whoever is buried there */
#ifndef REDLOCK_TESTS_SIM_COURT_HANDOVER_H
#define REDLOCK_TESTS_SIM_COURT_HANDOVER_H

#include "sim/world/network.h"
#include "wire/script.h"

/* See node_witness. */
void handover_before(words key);
void handover_told(words message, int64_t receivers);
void handover_after(enum script_id id, words key, const words *argv, long code, const cable *from,
                    bool is_stray);
void handover_begin(void);
/* At every instant. */
void handover_judge_more(int name);

/* Is this the member of one that holds, after the latest script? */
bool handover_holds(words holder);

#endif
