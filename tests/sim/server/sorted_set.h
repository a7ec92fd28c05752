/* SPDX-License-Identifier: MIT
 * A sorted set under its key. Rule: no allocation; a copy of the struct is a copy of the data. */
#ifndef REDLOCK_TESTS_SIM_SERVER_SORTED_SET_H
#define REDLOCK_TESTS_SIM_SERVER_SORTED_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/room.h"

enum { MEMBERS_MOST = ROOM(96, 6), MEMBER_SIZE = 200, KEY_SIZE = 60 };

typedef struct words {
    const char *at;
    size_t length;
} words;

typedef struct member {
    double score;
    size_t length;
    char bytes[MEMBER_SIZE];
} member;

typedef struct sorted_set {
    size_t key_length; /* 0: the place is free */
    char key[KEY_SIZE];
    int64_t expires_ms; /* 0: never */
    int count;
    unsigned char order[MEMBERS_MOST]; /* of `at`, by score and then by member */
    bool is_taken[MEMBERS_MOST];
    member at[MEMBERS_MOST];
} sorted_set;

typedef struct bounds {
    double least, most;
    bool is_open_below, is_open_above;
} bounds;

static inline const member *sorted_member(const sorted_set *set, int rank)
{
    return &set->at[set->order[rank]];
}

/* A NULL for a set is an empty one, where it is only read. */

void sorted_forget(sorted_set *set);
/* -1 when it is not there. */
int sorted_rank(const sorted_set *set, words name);
/* False when it is full. */
bool sorted_add(sorted_set *set, words name, double score);
void sorted_move(sorted_set *set, int rank, double score);
/* Takes `count` members from `rank` on out of the set. */
void sorted_remove(sorted_set *set, int rank, int count);

/* How many members have a score within the range; the first one's rank. */
int sorted_within(const sorted_set *set, const bounds *range, int *first);
/* How many are between two of Redis's ranks, which count from the end when negative; the first
 * one's rank. */
int sorted_between(const sorted_set *set, int64_t start, int64_t stop, int *first);

#endif
