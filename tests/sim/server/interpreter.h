/* SPDX-License-Identifier: MIT
 * The library's scripts, run by liblua 5.1 as Redis runs them, over the simulator's keyspace.
 *
 * Rule: what a script sees (redis.call, redis.pcall, KEYS, ARGV, conversions, an error in the
 * middle, a server that is out of memory or read-only) is what Redis 7 shows it; everything else is
 * absent. */
#ifndef REDLOCK_TESTS_SIM_SERVER_INTERPRETER_H
#define REDLOCK_TESTS_SIM_SERVER_INTERPRETER_H

#include "sim/server/keyspace.h"
#include "wire/script.h"

/* What a script runs on. */
typedef struct script_host {
    keyspace *data;
    bool is_out_of_memory; /* refuses the first command that grows, unless one that writes came
                              before it */
    bool is_read_only;
    int64_t (*publish)(words channel, words message); /* how many received it */
    int64_t (*subscribers)(words channel);
} script_host;

/* Bytes of RESP2. */
typedef struct resp {
    size_t length;
    char bytes[8192];
} resp;

void resp_add(resp *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Loads every script; ends the program when one does not compile. */
void interpreter_open(void);
void interpreter_close(void);

/* Runs a script for one key and its arguments; writes its answer. */
void interpreter_run(const script_host *host, enum script_id id, words key, int argc,
                     const words *argv, resp *out);

#endif
