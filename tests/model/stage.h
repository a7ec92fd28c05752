/* SPDX-License-Identifier: MIT
 * The real server of the model: the steps of many sequences travel to it in one write.
 * The clock stands still while a step is carried out. Rule: knows nothing of what is right. */
#ifndef REDLOCK_TESTS_MODEL_STAGE_H
#define REDLOCK_TESTS_MODEL_STAGE_H

#include "model/sequence.h"

enum { MEMBERS_MOST = 160 };

/* The sorted set, as the server showed it. */
typedef struct member {
    char name[2 * MEMBER_SIZE];
    int64_t score;
} member;

typedef struct picture {
    member members[MEMBERS_MOST];
    int count;
    int64_t expires_ms; /* -1: never; -2: there is no key */
    /* What inspect listed. */
    member listed[MEMBERS_MOST];
    int listed_count;
    char error[128]; /* instead of an answer */
} picture;

typedef struct stage stage;

stage *stage_open(void);
void stage_close(stage *self);
/* Carries out the current step of each, and fills its answer, what was heard, and a picture for
 * each. */
void stage_play(stage *self, sequence *const *all, int count, picture *pictures);
/* Nobody listens and nothing is there. */
void stage_clear(stage *self);

#endif
