/* SPDX-License-Identifier: MIT
 * faults/checker: sections beside and after one another, with and without a loss of data. */
#include "faults/made_up_log.h"

/* ---- Overlaps ---------------------------------------------------------------------------------*/

static void sections_one_after_the_other_are_fine(void **state)
{
    (void)state;
    write_from(10000, 20000);
    write_from(20000, 30000);
    read_from(30000, 50000);
    read_from(35000, 45000)->fence = 1002;
    write_from(50000, 60000);
    assert_clean();
}

static void locks_of_other_names_do_not_matter(void **state)
{
    (void)state;
    write_from(10000, 20000);
    write_from(15000, 25000)->name = 1;
    assert_clean();
}

static void two_writers_at_once_overlap(void **state)
{
    (void)state;
    write_from(10000, 20000);
    write_from(19999, 30000);
    ASSERT_ONLY(overlaps);
}

static void a_log_out_of_order_is_put_in_order(void **state)
{
    (void)state;
    write_from(19999, 30000)->fence = 1001;
    write_from(10000, 20000)->fence = 1000;
    ASSERT_ONLY(overlaps);
}

static void a_short_section_inside_a_long_one_is_seen_behind_others(void **state)
{
    (void)state;
    read_from(10000, 400000);
    read_from(20000, 30000);
    write_from(40000, 50000);
    ASSERT_ONLY(overlaps);
}

static void a_reader_beside_a_writer_overlaps(void **state)
{
    (void)state;
    write_from(10000, 20000);
    read_from(15000, 25000);
    ASSERT_ONLY(overlaps);
}

static void what_was_promised_to_the_dead_is_kept(void **state)
{
    (void)state;
    section *dead = die_in(write_from(10000, 0));
    write_from(dead->until_us - 1, dead->until_us + 5000);
    ASSERT_ONLY(overlaps);
    pages[1].enter_us = dead->until_us;
    assert_clean();
}

static void who_lost_the_lock_believed_until_the_promise_ended(void **state)
{
    (void)state;
    section *frozen = lose(write_from(10000, 0));
    frozen->leave_us = frozen->lost_us = frozen->told_us = frozen->until_us + 900000;
    frozen->settled_us = frozen->leave_us + 10;
    frozen->stall_us = 900000;
    write_from(frozen->until_us + 10, frozen->until_us + 5000);
    assert_clean();
    pages[1].enter_us = frozen->until_us - 10;
    ASSERT_ONLY(overlaps);
}

static void one_owner_may_be_inside_twice_in_one_mode(void **state)
{
    (void)state;
    die_in(write_from(10000, 0))->owner = 7;
    section *again = write_from(20000, 30000);
    again->owner = 7;
    again->fence = 1000;
    assert_clean();
    again->mode = REDLOCK_SHARED;
    ASSERT_ONLY(overlaps);
}

static void two_owners_exclude_each_other(void **state)
{
    (void)state;
    write_from(10000, 20000)->owner = 7;
    write_from(15000, 25000)->owner = 8;
    ASSERT_ONLY(overlaps);
}

static void no_more_enter_than_there_are_permits(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) read_from(10000 + i, 20000)->permits = 2;
    ASSERT_ONLY(overlaps);
    pages[1].leave_us = 10001;
    pages[1].enter_us = 10000;
    assert_clean();
}

/* ---- Fences -----------------------------------------------------------------------------------*/

static void a_fence_that_falls_is_found(void **state)
{
    (void)state;
    write_from(10000, 20000)->fence = 5;
    write_from(30000, 40000)->fence = 7;
    write_from(50000, 60000)->fence = 6;
    ASSERT_ONLY(falling_fences);
}

static void a_fence_that_stays_is_found(void **state)
{
    (void)state;
    write_from(10000, 20000)->fence = 5;
    write_from(30000, 40000)->fence = 5;
    ASSERT_ONLY(falling_fences);
}

static void readers_share_a_fence(void **state)
{
    (void)state;
    read_from(10000, 40000)->fence = 5;
    read_from(20000, 30000)->fence = 5;
    assert_clean();
    pages[1].fence = 4;
    ASSERT_ONLY(falling_fences);
}

/* A refused upgrade minted the higher one between the two. */
static void of_readers_the_one_that_was_answered_late_may_have_the_lower_fence(void **state)
{
    (void)state;
    read_from(10000, 40000)->fence = 6;
    section *late = read_from(20000, 30000);
    late->fence = 5;
    late->asked_us = 9000;
    assert_clean();
    late->asked_us = 15000;
    ASSERT_ONLY(falling_fences);
}

static void fences_rise_from_day_to_day(void **state)
{
    (void)state;
    floors[0] = 1000;
    write_from(10000, 20000)->fence = 1001;
    assert_clean();
    pages[0].fence = 1000;
    ASSERT_ONLY(falling_fences);
}

static void a_fence_falls_through_a_loss_too(void **state)
{
    (void)state;
    write_from(10000, 20000)->fence = 7;
    lose_data(ALL_NAMES, 25000);
    write_from(30000, 40000)->fence = 6;
    ASSERT_ONLY(falling_fences);
}

/* Its answer was late: the server had granted it before the loss, and the other one after it. */
static void a_fence_of_before_the_loss_may_come_late(void **state)
{
    (void)state;
    write_from(30000, 31000)->fence = 7;
    lose_data(ALL_NAMES, 25000);
    section *late = write_from(35000, 40000);
    late->asked_us = 20000;
    late->fence = 6;
    assert_clean();
    loss_count = 0;
    ASSERT_ONLY(falling_fences);
}

/* The server was rolled back to when the first one was inside, and let the third one in beside
 * it. */
static void a_fence_may_be_shared_with_ghosts_after_a_loss(void **state)
{
    (void)state;
    read_from(10000, 20000)->fence = 5;
    write_from(30000, 40000)->fence = 7;
    lose_data(0, 45000);
    section *beside = read_from(50000, 60000);
    beside->fence = 5;
    assert_excused();
    beside->mode = REDLOCK_EXCLUSIVE;
    ASSERT_ONLY(falling_fences);
    beside->owner = 7;
    assert_excused();
    loss_count = 0;
    ASSERT_ONLY(falling_fences);
}

static void a_fence_rises_above_the_highest_not_above_the_last(void **state)
{
    (void)state;
    write_from(10000, 20000)->fence = 7;
    lose_data(0, 25000);
    read_from(30000, 40000)->fence = 5;
    write_from(50000, 60000)->fence = 8;
    assert_excused();
    pages[2].fence = 6;
    findings found = judge();
    assert_int_equal(found.falling_fences, 1);
}

/* ---- Where data was lost ----------------------------------------------------------------------*/

static void data_loss_excuses_an_overlap_across_it(void **state)
{
    (void)state;
    write_from(10000, 20000);
    lose_data(ALL_NAMES, 12000);
    write_from(15000, 25000);
    assert_excused();
}

static void data_loss_excuses_no_overlap_beyond_the_lease(void **state)
{
    (void)state;
    section *renewed = write_from(10000, 5000000);
    renewed->until_us = 5000000;
    lose_data(ALL_NAMES, 12000);
    section *later = write_from(12010 + TTL_MS * 1000, 12010 + TTL_MS * 1000 + 9000);
    assert_excused();
    later->enter_us++;
    ASSERT_ONLY(overlaps);
}

static void data_loss_excuses_nobody_who_came_after_it(void **state)
{
    (void)state;
    lose_data(ALL_NAMES, 5000);
    write_from(10000, 20000);
    write_from(15000, 25000);
    ASSERT_ONLY(overlaps);
}

static void data_loss_excuses_nobody_who_came_before_it(void **state)
{
    (void)state;
    write_from(10000, 20000);
    write_from(15000, 25000);
    lose_data(ALL_NAMES, 30000);
    ASSERT_ONLY(overlaps);
}

static void data_loss_of_another_name_excuses_nothing(void **state)
{
    (void)state;
    write_from(10000, 20000);
    lose_data(1, 12000);
    write_from(15000, 25000);
    ASSERT_ONLY(overlaps);
}

static void who_entered_before_a_loss_takes_no_permit_from_those_after(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) read_from(10000 + i, 40000)->permits = 2;
    lose_data(0, 20000);
    for (int i = 0; i < 2; i++) read_from(30000 + i, 40000)->permits = 2;
    assert_clean();
    read_from(30003, 40000)->permits = 2;
    ASSERT_ONLY(overlaps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_FRESH_LOG(sections_one_after_the_other_are_fine),
        ON_A_FRESH_LOG(locks_of_other_names_do_not_matter),
        ON_A_FRESH_LOG(two_writers_at_once_overlap),
        ON_A_FRESH_LOG(a_log_out_of_order_is_put_in_order),
        ON_A_FRESH_LOG(a_short_section_inside_a_long_one_is_seen_behind_others),
        ON_A_FRESH_LOG(a_reader_beside_a_writer_overlaps),
        ON_A_FRESH_LOG(what_was_promised_to_the_dead_is_kept),
        ON_A_FRESH_LOG(who_lost_the_lock_believed_until_the_promise_ended),
        ON_A_FRESH_LOG(one_owner_may_be_inside_twice_in_one_mode),
        ON_A_FRESH_LOG(two_owners_exclude_each_other),
        ON_A_FRESH_LOG(no_more_enter_than_there_are_permits),
        ON_A_FRESH_LOG(a_fence_that_falls_is_found),
        ON_A_FRESH_LOG(a_fence_that_stays_is_found),
        ON_A_FRESH_LOG(readers_share_a_fence),
        ON_A_FRESH_LOG(of_readers_the_one_that_was_answered_late_may_have_the_lower_fence),
        ON_A_FRESH_LOG(fences_rise_from_day_to_day),
        ON_A_FRESH_LOG(a_fence_falls_through_a_loss_too),
        ON_A_FRESH_LOG(a_fence_of_before_the_loss_may_come_late),
        ON_A_FRESH_LOG(a_fence_may_be_shared_with_ghosts_after_a_loss),
        ON_A_FRESH_LOG(a_fence_rises_above_the_highest_not_above_the_last),
        ON_A_FRESH_LOG(data_loss_excuses_an_overlap_across_it),
        ON_A_FRESH_LOG(data_loss_excuses_no_overlap_beyond_the_lease),
        ON_A_FRESH_LOG(data_loss_excuses_nobody_who_came_after_it),
        ON_A_FRESH_LOG(data_loss_excuses_nobody_who_came_before_it),
        ON_A_FRESH_LOG(data_loss_of_another_name_excuses_nothing),
        ON_A_FRESH_LOG(who_entered_before_a_loss_takes_no_permit_from_those_after),
    };
    return cmocka_run_group_tests_name("faults checker", tests, NULL, NULL);
}
