/* SPDX-License-Identifier: MIT
 * A small Redis database: sorted sets with expiry, and the commands that lua/ uses, answered as
 * Redis answers them. test_keyspace compares it, command by command, with a real server.
 *
 * Rule: no allocation, no clock; the time is a field that the owner sets. A copy of the struct is a
 * copy of the data. */
#ifndef REDLOCK_TESTS_SIM_SERVER_KEYSPACE_H
#define REDLOCK_TESTS_SIM_SERVER_KEYSPACE_H

#include "sim/room.h"
#include "sim/server/sorted_set.h"

enum { KEYS_MOST = ROOM(4, 32768) };

typedef struct keyspace {
    int64_t time_us;
    sorted_set sets[KEYS_MOST];
} keyspace;

enum outcome_kind { OUTCOME_INTEGER, OUTCOME_BULK, OUTCOME_NIL, OUTCOME_ARRAY, OUTCOME_ERROR };
enum { OUTCOME_ITEMS = 2 * MEMBERS_MOST, OUTCOME_SCRATCH = MEMBERS_MOST * 28 + 64 };

/* What a command answers. The texts point into the keyspace, a constant, or the scratch: valid
 * until the next command. */
typedef struct outcome {
    enum outcome_kind kind;
    int64_t integer;
    words text; /* BULK, ERROR */
    size_t count;
    words items[OUTCOME_ITEMS]; /* ARRAY: bulk strings */
    size_t scratch_used;
    char scratch[OUTCOME_SCRATCH];
} outcome;

enum { COMMAND_WRITES = 1, COMMAND_GROWS = 2 /* refused by a server out of memory: denyoom */ };

/* The flags of a command by name, or -1 if the keyspace does not know it. */
int keyspace_flags(words name);

/* Runs one command; expired keys are gone by then. */
void keyspace_run(keyspace *self, outcome *out, int argc, const words *argv);

void keyspace_empty(keyspace *self);
/* NULL when there is none that has not expired. */
const sorted_set *keyspace_find(keyspace *self, words key);

#endif
