/* SPDX-License-Identifier: MIT
 * The command line of the model:
 *
 *     model --sequences N [--seed S]
 *
 * Plays the sequences of the seeds S, S + 1, ... on a real server. One that differs from the model
 * is printed, shorter if a shorter one differs, too; `--seed <it> --sequences 1` plays it again.
 * At the end it prints how often each script answered with each code; the last line is `sequences=
 * calls= mismatches= seed= per_second=`. The exit status is 1 when anything differed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/story.h"

enum { MISMATCHES_MOST = 5, CODES_MOST = 9 };

typedef struct run {
    uint64_t seed;
    long sequences, calls, mismatches;
    long answers[SCRIPT_COUNT][CODES_MOST + 1]; /* by script and code; the last is -1 */
    stage *stage;
} run;

static void count_answer(run *self, const step *done)
{
    int64_t code = done->got.values[0];
    self->answers[done->asked.script][code < 0 || code >= CODES_MOST ? CODES_MOST : code]++;
}

static void print_answers(const run *self)
{
    for (int id = 0; id < SCRIPT_COUNT; id++) {
        printf("%s:", scripts[id].name);
        for (int code = 0; code <= CODES_MOST; code++)
            if (self->answers[id][code] > 0)
                printf(" %d=%ld", code == CODES_MOST ? -1 : code, self->answers[id][code]);
        printf("\n");
    }
}

/* Those of one batch, which share the clock: the seeds from `first` to `last`. */
static void play_batch(run *self, uint64_t first, uint64_t last)
{
    static sequence all[BATCH];
    static picture pictures[BATCH];
    static verdict out;
    sequence *playing[BATCH];
    dice clock = dice_for(first / BATCH, 2);
    int64_t now_us = CLOCK_BEGIN;
    bool is_calm = dice_chance(&clock, 600);
    for (uint64_t seed = first; seed <= last; seed++) sequence_begin(&all[seed - first], seed);
    for (int at = 0; at < STEPS_MOST; at++) {
        int count = 0;
        now_us += clock_step_us(&clock, is_calm);
        for (uint64_t i = 0; i <= last - first; i++)
            if (at < all[i].length && !all[i].has_failed) playing[count++] = &all[i];
        for (int i = 0; i < count; i++) sequence_plan(playing[i], now_us);
        stage_play(self->stage, playing, count, pictures);
        for (int i = 0; i < count; i++) {
            judge_step(playing[i], &pictures[i], &out);
            count_answer(self, &playing[i]->steps[playing[i]->at]);
            sequence_learn(playing[i], &playing[i]->steps[playing[i]->at]);
            playing[i]->at++;
        }
        self->calls += count;
    }
    stage_clear(self->stage);
    for (uint64_t i = 0; i <= last - first; i++) {
        if (!all[i].has_failed || self->mismatches++ >= MISMATCHES_MOST) continue;
        all[i].length = all[i].at;
        story_shrink(&all[i], self->stage);
        story_tell(&all[i], self->stage);
    }
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void play_all(run *self)
{
    uint64_t end = self->seed + (uint64_t)self->sequences;
    for (uint64_t first = self->seed; first < end;) {
        uint64_t last = first - first % BATCH + BATCH - 1;
        if (last >= end) last = end - 1;
        play_batch(self, first, last);
        first = last + 1;
    }
}

static bool read_settings(run *out, int argc, char **argv)
{
    *out = (run){.seed = 1, .sequences = 1000};
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (has_value && strcmp(argv[i], "--seed") == 0) out->seed = strtoull(argv[++i], NULL, 10);
        else if (has_value && strcmp(argv[i], "--sequences") == 0) out->sequences = atol(argv[++i]);
        else return false;
    }
    return out->sequences > 0;
}

int main(int argc, char **argv)
{
    run self;
    if (!read_settings(&self, argc, argv)) {
        fprintf(stderr, "usage: model --sequences N [--seed S]\n");
        return 2;
    }
    self.stage = stage_open();
    double begin = seconds_now();
    play_all(&self);
    double per_second = (double)self.sequences / (seconds_now() - begin);
    stage_close(self.stage);
    print_answers(&self);
    printf("sequences=%ld calls=%ld mismatches=%ld seed=%llu per_second=%.0f\n", self.sequences,
           self.calls, self.mismatches, (unsigned long long)self.seed, per_second);
    return self.mismatches > 0;
}
