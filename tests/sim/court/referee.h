/* SPDX-License-Identifier: MIT
 * The promises of docs/guarantees.md, checked after every instant of a schedule:
 *
 *   exclusion    those who believe that they hold (redlock_is_held on their own clock) are
 *                compatible, and nobody believes for longer than the node does; but for those who
 *                asked before the node lost data, or before its clock stepped forward
 *   leases       one that is renewed is not lost, and one that is not lasts for its ttl; whoever is
 *                told that it has none believes it; who is to be told of a loss is, once, and at
 *                once, and was warned before; nobody is warned of what is lost or over
 *   fences       each exclusive grant on the node has a higher fence than all before it, whatever
 *                was lost, so that a resource that checks them refuses every older holder; and the
 *                holder's fence is the one of its grant
 *   owing        a lock that nobody has is free within a bound (see orphans.h)
 *   waiting      a lock that nobody holds is taken by a live waiter within a bound; who subscribes
 *                anew asks anew; and whoever was granted hears of it
 *   handover     see handover.h
 *   statuses     nobody gets an answer that the faults do not explain, or two; waits end in time
 *   leftovers    a client that is closed holds nothing; when everybody has left, nothing is left,
 *                or will be after its expiry
 *
 * A user is whoever does a job of the plan (user_of). Rule: the first broken promise ends the
 * schedule. */
#ifndef REDLOCK_TESTS_SIM_COURT_REFEREE_H
#define REDLOCK_TESTS_SIM_COURT_REFEREE_H

#include "sim/schedules/plan.h"
#include "sim/server/node.h"

void referee_begin(const plan *of);
/* NULL while all promises are kept. */
const char *referee_verdict(void);
long referee_acquisitions(void);
void referee_break(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, said of a user. */
void referee_accuse(int user, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What the library calls tell. The operation is where an asynchronous call leaves its number; NULL
 * for a blocking one. */
void referee_waits(int user, const redlock_operation *operation);
/* The same for a lock of a set: when it is asked for is not known outside. */
void referee_gathers(int user);
void referee_acquired(int user, redlock_status status, redlock_lock *lock);
/* The hold ends. */
void referee_releases(int user);
void referee_released(int user, redlock_status status);
/* ... without anybody being told: a callback gave it back in the background. */
void referee_left(int user);
/* Both locks of a set, the first of which the user has; there is one status for the two. */
void referee_parted(int user, redlock_status status);
/* It was disturbed on purpose: its next status proves nothing. */
void referee_excuses(int user);
/* So were all users of the client: it is being closed under them. */
void referee_closes(int client);
/* The library told a user that its lock is lost; or that it is at risk, with so much left. */
void referee_lost(int user);
void referee_warned(int user, int64_t left_ms);
/* The client was closed, and all its calls have ended or are about to. */
void referee_closed(int client);
/* All users of the client are not there any more, for good. */
void referee_gone(int client);

/* The node came back: its data changed other than by a script. */
void referee_data_changed(void);
/* It lost acknowledged writes, or ended leases early. */
void referee_leases_broken(void);
/* Leases, and fences, are those of a clock that is behind. */
void referee_clock_fell(void);
/* See node_witness. */
void referee_look_far(enum script_id id, words key, const words *argv, long code);
void referee_look_after(enum script_id id, words key, const words *argv, long code, cable *from,
                        bool is_stray);

/* A waiter was taken for frozen: does it ask as often as it has to? */
void referee_dropped(int name, words hold_id);

void referee_look(void);
/* Everybody has left, and all that was sent has arrived. */
void referee_end(void);

#endif
