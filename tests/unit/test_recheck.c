/* SPDX-License-Identifier: MIT
 * engine/recheck: asking again at the end of the lease, staggered, and no later than a jittered
 * cap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/recheck.h"

enum { DRAWS = 200 };
static const int64_t far_ms = 3600000;

/* The least and the most that a cap came to, over many draws of the jitter. */
typedef struct range {
    int64_t least, most;
} range;

static range caps_behind(int64_t claim_ahead_ms, int64_t position, int64_t claim_ms)
{
    range seen = {INT64_MAX, 0};
    uint32_t jitter = 7;

    for (int i = 0; i < DRAWS; i++) {
        int64_t after_us = recheck_after_us(far_ms, position, claim_ms, claim_ahead_ms, &jitter);

        if (after_us < seen.least) seen.least = after_us;
        if (after_us > seen.most) seen.most = after_us;
    }
    return seen;
}

static range caps(int64_t position, int64_t claim_ms) { return caps_behind(0, position, claim_ms); }

static int64_t at_end(int64_t lease_left_ms, int64_t position)
{
    uint32_t jitter = 7;

    return recheck_after_us(lease_left_ms, position, far_ms, 0, &jitter);
}

static void the_first_in_the_queue_asks_when_the_lease_has_surely_ended(void **state)
{
    (void)state;
    assert_int_equal(at_end(500, 1), 501000);
    assert_int_equal(at_end(1, 1), 2000);
}

static void no_lease_that_is_left_means_now_wherever_one_stands(void **state)
{
    (void)state;
    for (int64_t position = 0; position < 100000; position += 777)
        assert_int_equal(at_end(0, position), 0);
}

static void a_position_out_of_range_counts_as_the_first(void **state)
{
    (void)state;
    assert_int_equal(at_end(500, 0), 501000);
    assert_int_equal(at_end(500, -9), 501000);
}

static void those_behind_ask_later_place_by_place(void **state)
{
    (void)state;
    assert_int_equal(at_end(500, 2), 503000);
    assert_int_equal(at_end(500, 33), 501000 + 64000);
    assert_int_equal(at_end(500, 34), 501000 + 64000 + 50);
    for (int64_t position = 2; position < 300; position++)
        assert_true(at_end(500, position) > at_end(500, position - 1));
}

static void the_cap_leaves_an_eighth_of_our_own_claim(void **state)
{
    range seen = caps(1, 2000);

    (void)state;
    assert_true(seen.most <= 1750000);
    assert_true(seen.least > 1750000 - 1750000 / 8);
}

static void the_cap_is_the_claim_of_the_one_ahead_if_that_is_shorter(void **state)
{
    range seen = caps_behind(300, 2, 2000);

    (void)state;
    assert_true(seen.most <= 262500);
    assert_true(seen.least > 262500 - 262500 / 8);
    assert_true(caps_behind(2000, 2, 300).most <= 262500);
    assert_true(caps_behind(1, 2, 2000).least > 4375 - 1);
    assert_true(caps_behind(1, 2, 2000).most <= 5000);
}

static void a_server_that_always_says_now_is_not_asked_in_a_spin(void **state)
{
    static const int64_t pauses_ms[] = {0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 64};

    (void)state;
    for (unsigned urged = 0; urged < 12; urged++)
        assert_int_equal(recheck_pause_us(urged), pauses_ms[urged] * 1000);
    assert_int_equal(recheck_pause_us(UINT32_MAX), 64000);
}

static void the_cap_is_jittered_so_that_waiters_do_not_march_in_step(void **state)
{
    range seen = caps(1, 2000);

    (void)state;
    assert_true(seen.most - seen.least > 1750000 / 16);
}

static void the_cap_is_neither_below_5_ms_nor_above_30_s(void **state)
{
    (void)state;
    assert_true(caps(1, 1).most <= 5000);
    assert_true(caps(1, 1).least > 4375 - 1);
    assert_true(caps(1, far_ms / 2).most <= 30000000);
    assert_true(caps(1, far_ms / 2).least > 26250000);
}

static void the_cap_grows_far_down_the_queue(void **state)
{
    (void)state;
    assert_true(caps(256, 2000).most <= 1750000);
    assert_true(caps(512, 2000).least > 3500000 / 8 * 7 - 1000);
    assert_true(caps(512, 2000).most <= 3500000);
    assert_true(caps(65536, 2000).most <= 30000000);
}

static void no_number_of_a_server_is_too_large(void **state)
{
    static const int64_t most = INT64_C(1) << 53; /* that Lua tells exactly */
    uint32_t jitter = 7;

    (void)state;
    for (int64_t lease_ms = -most; lease_ms <= most; lease_ms += most)
        for (int64_t position = -most; position <= most; position += most)
            assert_true(recheck_after_us(lease_ms, position, 2000, 0, &jitter) <= 30000000);
    assert_true(recheck_after_us(most, INT64_MAX, INT64_C(2592000000), 0, &jitter) > 26250000);
}

static void the_end_of_a_short_lease_comes_before_the_cap(void **state)
{
    uint32_t jitter = 7;

    (void)state;
    assert_int_equal(recheck_after_us(40, 1, 2000, 0, &jitter), 41000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_in_the_queue_asks_when_the_lease_has_surely_ended),
        cmocka_unit_test(no_lease_that_is_left_means_now_wherever_one_stands),
        cmocka_unit_test(a_position_out_of_range_counts_as_the_first),
        cmocka_unit_test(those_behind_ask_later_place_by_place),
        cmocka_unit_test(the_cap_leaves_an_eighth_of_our_own_claim),
        cmocka_unit_test(the_cap_is_the_claim_of_the_one_ahead_if_that_is_shorter),
        cmocka_unit_test(a_server_that_always_says_now_is_not_asked_in_a_spin),
        cmocka_unit_test(the_cap_is_jittered_so_that_waiters_do_not_march_in_step),
        cmocka_unit_test(the_cap_is_neither_below_5_ms_nor_above_30_s),
        cmocka_unit_test(the_cap_grows_far_down_the_queue),
        cmocka_unit_test(no_number_of_a_server_is_too_large),
        cmocka_unit_test(the_end_of_a_short_lease_comes_before_the_cap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
