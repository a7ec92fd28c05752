/* SPDX-License-Identifier: MIT
 * A sequence of calls on one lock: who takes part, what is asked next, and what was asked and
 * answered.
 * Rule: pure. The same seed and the same answers make the same sequence. */
#ifndef REDLOCK_TESTS_MODEL_SEQUENCE_H
#define REDLOCK_TESTS_MODEL_SEQUENCE_H

#include "model/answers.h"
#include "sim/dice.h"

enum { CLIENTS_MOST = 6, HOLDS_EACH = 3, STEPS_LEAST = 5, STEPS_MOST = 40, BATCH = 64 };

/* Sequences of a batch are played side by side, and share the clock. */
#define CLOCK_BEGIN INT64_C(1800000000000000)

/* Who subscribed anew has another channel; the old one may be heard for a while. */
typedef struct party {
    char id[24], channels[2][48];
    bool is_heard[2];
} party;

/* One acquisition of a party. */
typedef struct hold {
    char holder[MEMBER_SIZE], mode[16], inbox[72];
    int64_t arrival_us, fence; /* as it was told last */
} hold;

typedef struct step {
    int64_t now_us;
    int toggled;     /* the party that begins or ends to listen just before; -1: none */
    bool is_flushed; /* the key is deleted before the call */
    call asked;
    answer got;
} step;

typedef struct sequence {
    uint64_t seed;
    dice chance;
    bool is_small; /* with the scripts of small limits */
    char key[32];
    party parties[CLIENTS_MOST];
    hold holds[CLIENTS_MOST][HOLDS_EACH];
    int party_count, holds_made;
    const char *modes[4]; /* what this sequence chooses from */
    int64_t grace_ms, linger_ms, nonce;
    step steps[STEPS_MOST];
    int length, at;
    lock model;
    int64_t expires_ms;     /* of the key; -1: there is none */
    grant heard[TOLD_MOST]; /* what came during this step */
    int heard_count;
    bool has_failed;
} sequence;

void sequence_begin(sequence *self, uint64_t seed);
/* The same again from the start, with the steps that it has. */
void sequence_rewind(sequence *self);
/* Makes the next step. */
void sequence_plan(sequence *self, int64_t now_us);
/* What is to be remembered of an answer. */
void sequence_learn(sequence *self, const step *done);
bool sequence_is_heard(void *self, const char *channel);
/* The channels of all, by number: first everybody's first one. -1: it is nobody's. */
int sequence_number_of(const sequence *self, const char *channel);
/* How far the clock goes before the next step. While it is calm, little ends, and many wait. */
int64_t clock_step_us(dice *chance, bool is_calm);

#endif
