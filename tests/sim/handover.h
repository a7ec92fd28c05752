/* SPDX-License-Identifier: MIT
 * The promises of the queue (docs/protocol.md, docs/modes.md), checked after every script, on the node's own data:
 *
 *   passed on    a lock that is given back is not left free beside a waiter that listens
 *   told         whoever a grant's message reached is a holder, and whom it did not reach is none
 *   order        nobody overtakes an earlier waiter of its kind, and asking again keeps the place
 *   policy       readers and writers go first as the policy says
 *   repetition   one that holds, and asks again, is told that it holds
 *   leases       no script makes one shorter
 *   expiry       the key lives as long as every holder in it */
#ifndef REDLOCK_TESTS_SIM_HANDOVER_H
#define REDLOCK_TESTS_SIM_HANDOVER_H

#include "sim/keyspace.h"
#include "wire/script.h"

/* See node_witness. */
void handover_before(words key);
void handover_told(words message, int64_t receivers);
void handover_after(enum script_id id, words key, const words *argv, long code, bool is_stray);

/* Is this the member of one that holds, after the latest script? */
bool handover_holds(words holder);

#endif
