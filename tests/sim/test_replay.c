/* SPDX-License-Identifier: MIT
 * The simulator itself: a seed replays exactly, whatever ran before; a broken promise is seen, and
 * made shorter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "sim/limits.h"
#include "sim/schedules/schedule.h"
#include "sim/schedules/shrink.h"
#include "sim/server/interpreter.h"
#include "sim/trace.h"
#include "sim/world/events.h"

enum { SEEDS = 300, FIRST_SEED = 7000 };

bool is_traced;
const script_limits limits = {SIM_PORTION_MOST, SIM_QUEUE_MOST};
static plan current;

void trace_line(const char *format, ...) { (void)format; }

static uint64_t digest_of(int seed)
{
    plan_make(&current, (uint64_t)(FIRST_SEED + seed));
    const char *broken = schedule_run(&current);
    if (broken != NULL) fail_msg("seed %d: %s", FIRST_SEED + seed, broken);
    return events_digest();
}

static void a_seed_replays_exactly_whatever_ran_before(void **state)
{
    (void)state;
    static uint64_t first[SEEDS];
    for (int i = 0; i < SEEDS; i++) first[i] = digest_of(i);
    for (int i = SEEDS - 1; i >= 0; i--)
        if (digest_of(i) != first[i]) fail_msg("seed %d does not replay", FIRST_SEED + i);
}

static void seeds_differ(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (int i = 0; i < SEEDS; i++) {
        uint64_t digest = digest_of(i);
        assert_true(digest != last);
        last = digest;
    }
}

static int clients_left(const plan *of)
{
    int count = 0;
    for (int i = 0; i < of->client_count; i++) count += !of->clients[i].is_left_out;
    return count;
}

static int faults_left(const plan *of)
{
    int count = 0;
    for (int i = 0; i < of->fault_count; i++) count += !of->faults[i].is_left_out;
    return count;
}

/* A calm schedule in which nobody may fail, and a server that serves nobody after all. */
static void make_broken(plan *out)
{
    uint64_t seed = 1;
    do plan_make(out, seed++);
    while (!out->is_calm || out->client_count < 3);
    out->fault_count = 2;
    out->faults[0] = (fault){.kind = FAULT_FLUSH, .at_us = 1000};
    out->faults[1] = (fault){.kind = FAULT_READ_ONLY, .at_us = 0, .span_us = 6000000};
    for (int i = 0; i < out->client_count; i++) out->clients[i].jobs[0].wait_ms = 0;
}

static void a_broken_promise_is_seen_and_made_shorter(void **state)
{
    (void)state;
    make_broken(&current);
    assert_non_null(schedule_run(&current));
    shrink(&current);
    assert_int_equal(clients_left(&current), 1);
    assert_int_equal(faults_left(&current), 1);
    assert_non_null(schedule_run(&current));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_replays_exactly_whatever_ran_before),
        cmocka_unit_test(seeds_differ),
        cmocka_unit_test(a_broken_promise_is_seen_and_made_shorter),
    };
    interpreter_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    interpreter_close();
    return failed;
}
