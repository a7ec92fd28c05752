/* SPDX-License-Identifier: MIT
 * The simulated server: RESP2, EVAL, EVALSHA and SCRIPT LOAD of the library's scripts, SUBSCRIBE,
 * PUBLISH, and the ways in which a server fails. */
#ifndef REDLOCK_TESTS_SIM_SERVER_NODE_H
#define REDLOCK_TESTS_SIM_SERVER_NODE_H

#include "sim/server/keyspace.h"
#include "sim/world/network.h"
#include "wire/script.h"

/* What the node makes of SCRIPT LOAD. */
enum load_manner { LOAD_IS_TAKEN, LOAD_IS_REFUSED, LOAD_ENDS_THE_CONNECTION };

/* Who looks at every script that is run: before it; at what it publishes, and to how many; and
 * right after it, at its arguments and at the first integer that it answered (INT_MIN for an
 * error). Nobody waits for the answer of a stray one: it was repeated, or its connection is gone.
 * And who puts a script off: until when it is carried out, with all that comes behind it, or 0.
 * What a replica runs is told of by itself. */
typedef struct node_witness {
    int64_t (*puts_off)(enum script_id id, const cable *from);
    void (*far)(enum script_id id, words key, const words *argv, long code);
    void (*before)(words key);
    void (*told)(words message, int64_t receivers);
    void (*after)(enum script_id id, words key, const words *argv, long code, cable *from,
                  bool is_stray);
} node_witness;

void node_begin(int64_t clock_us, enum load_manner load, const node_witness *witness);
void node_receive(cable *from, const char *bytes, size_t length);
bool node_is_up(void);
int64_t node_frozen_until_us(void);
int64_t node_clock_us(void);
/* Is the script that runs one that somebody on the way repeated? */
bool node_runs_again(void);
/* How many subscribe to the channel here; those who hear without being counted, and patterns, left
 * out. */
int64_t node_subscribers(words channel);
/* With the time brought up to date. */
keyspace *node_data(void);
/* Is a new connection one to the replica, while the address is split? */
bool node_leads_elsewhere(dice *chance);

/* Is there room for another connection? */
bool node_has_room(void);

/* ---- Faults ---- */
void node_go_down(void);
/* Comes back; without its data, or with what it had at the last node_replicate. Scripts are
 * gone. */
enum node_return { RETURN_WITH_DATA, RETURN_EMPTY, RETURN_STALE };
void node_come_up(enum node_return with);
void node_replicate(void);
void node_forget_scripts(void);
void node_step_clock(int64_t by_us);
void node_freeze(int64_t until_us);
void node_refuse_memory(int64_t until_us);
void node_refuse_writes(int64_t until_us);
void node_load(int64_t until_us);
void node_turn_away(int64_t until_us);
/* The address is that of the node and of its replica, whose data and clock are other ones: it
 * refuses writes, hears what is published here, and is not counted. */
void node_split(int64_t until_us, int64_t lag_us, int64_t skew_us);
/* Somebody is subscribed to every channel: PUBLISH counts it. */
void node_match_all(int64_t until_us);
/* Is any of these going on, or was until so lately? */
int64_t node_troubled_until_us(void);
/* The same without the lack of memory, in which renewals are served. */
int64_t node_refused_until_us(void);

#endif
