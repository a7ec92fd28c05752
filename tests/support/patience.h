/* SPDX-License-Identifier: MIT
 * Waiting for what another process or thread does: polled every few milliseconds, never slept for,
 * and never longer than 20 s (30 s under valgrind or a sanitizer): what is left for its lease, of
 * 30 s by default, is not waited for. */
#ifndef REDLOCK_TESTS_PATIENCE_H
#define REDLOCK_TESTS_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct patience {
    int64_t end_ms;
} patience;

patience patience_begin(void);
bool patience_is_over(const patience *self);
void patience_pause(void);
/* What has to take its time: an outage, a rest. Never for something that is awaited. */
void let_pass_ms(int64_t ms);

/* Runs below valgrind or with a sanitizer: everything takes several times as long. */
bool patience_is_instrumented(void);
bool patience_is_below_valgrind(void);

/* A lease or timeout that has to outlast what is done within it: so long, or several times as long
 * where everything takes several times as long. */
int64_t patience_outlasting_ms(int64_t ms);

/* Polls `is_so(arg)` until it is true; fails the test when that takes too long. */
void eventually_at(bool (*is_so)(void *arg), void *arg, const char *what, const char *file,
                   int line);
#define eventually(is_so, arg) eventually_at((is_so), (arg), #is_so, __FILE__, __LINE__)

#endif
