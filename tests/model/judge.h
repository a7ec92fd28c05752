/* SPDX-License-Identifier: MIT
 * Compares what the server did in a step with what the model says. Rule: pure. */
#ifndef REDLOCK_TESTS_MODEL_JUDGE_H
#define REDLOCK_TESTS_MODEL_JUDGE_H

#include "model/stage.h"

/* What is wrong with a step. */
typedef struct verdict {
    bool is_wrong;
    char why[256];
    answer expected;
    member members[MEMBERS_MOST]; /* of the model */
    int member_count;
} verdict;

/* Plays the current step of the sequence on its model. */
void judge_step(sequence *self, const picture *shown, verdict *out);

#endif
