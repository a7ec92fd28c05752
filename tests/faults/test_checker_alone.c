/* SPDX-License-Identifier: MIT
 * faults/checker: what one section says for itself, and what the resource says. */
#include "faults/made_up_log.h"

/* ---- Overstays --------------------------------------------------------------------------------*/

static void a_loss_that_is_told_in_time_is_fine(void **state)
{
    (void)state;
    lose(write_from(10000, 0));
    assert_clean();
}

static void a_section_that_outlives_its_promise_unaware_overstays(void **state)
{
    (void)state;
    section *unaware = write_from(10000, 0);
    unaware->leave_us = unaware->until_us + LATENESS_US + 1;
    unaware->settled_us = unaware->leave_us + 10;
    ASSERT_ONLY(overstays);
}

static void who_was_stopped_may_leave_late(void **state)
{
    (void)state;
    section *stopped = lose(write_from(10000, 0));
    stopped->leave_us = stopped->lost_us = stopped->told_us = stopped->until_us + 2000000;
    stopped->settled_us = stopped->leave_us + 10;
    stopped->stall_us = 2000000;
    assert_clean();
    stopped->stall_us = 1000000;
    ASSERT_ONLY(overstays);
}

static void word_of_the_loss_that_comes_late_is_an_overstay(void **state)
{
    (void)state;
    section *late = lose(write_from(10000, 0));
    late->told_us = late->until_us + LATENESS_US + 1;
    late->settled_us = late->told_us + 10;
    ASSERT_ONLY(overstays);
}

static void word_of_the_loss_that_never_comes_is_an_overstay(void **state)
{
    (void)state;
    section *untold = lose(write_from(10000, 0));
    untold->told_us = 0;
    untold->settled_us = untold->until_us + LATENESS_US + 1;
    ASSERT_ONLY(overstays);
}

static void a_lost_lock_that_is_released_as_if_it_were_not_is_an_overstay(void **state)
{
    (void)state;
    lose(write_from(10000, 0))->released = REDLOCK_OK;
    ASSERT_ONLY(overstays);
}

static void a_promise_longer_than_the_lease_is_an_overstay(void **state)
{
    (void)state;
    write_from(10000, 20000)->most_left_ms = TTL_MS + 1;
    ASSERT_ONLY(overstays);
}

/* ---- Robberies --------------------------------------------------------------------------------*/

static void a_lock_lost_before_its_promise_ended_was_robbed(void **state)
{
    (void)state;
    section *robbed = lose(write_from(10000, 0));
    robbed->leave_us = robbed->lost_us = robbed->told_us = robbed->until_us - 1;
    ASSERT_ONLY(robberies);
}

static void a_release_that_finds_nothing_in_time_was_robbed(void **state)
{
    (void)state;
    write_from(10000, 20000)->released = REDLOCK_LOST;
    ASSERT_ONLY(robberies);
}

static void data_loss_excuses_a_robbery_of_that_name(void **state)
{
    (void)state;
    write_from(10000, 20000)->released = REDLOCK_LOST;
    lose_data(0, 15000);
    assert_excused();
    losses[0].name = 1;
    ASSERT_ONLY(robberies);
}

/* ---- The resource -----------------------------------------------------------------------------*/

static void an_older_write_after_a_newer_one_is_stale(void **state)
{
    (void)state;
    section *older = lose(write_from(10000, 0));
    section *newer = write_from(older->until_us + 5000, older->until_us + 9000);
    older->first_written_us = 11000;
    older->last_written_us = older->until_us + 6000;
    newer->first_written_us = older->until_us + 7000;
    newer->last_written_us = older->until_us + 8000;
    assert_clean();
    older->last_written_us = newer->first_written_us + 1;
    ASSERT_ONLY(stale_writes);
}

static void a_stale_write_is_seen_behind_others(void **state)
{
    (void)state;
    section *older = lose(write_from(10000, 0));
    read_from(older->until_us + 3000, older->until_us + 4000);
    section *newer = write_from(older->until_us + 6000, older->until_us + 9000);
    older->first_written_us = 11000;
    older->last_written_us = older->until_us + 8000;
    newer->first_written_us = newer->last_written_us = older->until_us + 7000;
    ASSERT_ONLY(stale_writes);
}

static void no_loss_excuses_a_stale_write(void **state)
{
    (void)state;
    section *older = write_from(10000, 40000);
    lose_data(ALL_NAMES, 12000);
    section *newer = write_from(15000, 25000);
    older->first_written_us = 11000;
    older->last_written_us = 21000;
    newer->first_written_us = newer->last_written_us = 20000;
    findings found = judge();
    assert_int_equal(found.stale_writes, 1);
    assert_int_equal(found.excused, 1);
    assert_int_equal(sum(&found), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_FRESH_LOG(a_loss_that_is_told_in_time_is_fine),
        ON_A_FRESH_LOG(a_section_that_outlives_its_promise_unaware_overstays),
        ON_A_FRESH_LOG(who_was_stopped_may_leave_late),
        ON_A_FRESH_LOG(word_of_the_loss_that_comes_late_is_an_overstay),
        ON_A_FRESH_LOG(word_of_the_loss_that_never_comes_is_an_overstay),
        ON_A_FRESH_LOG(a_lost_lock_that_is_released_as_if_it_were_not_is_an_overstay),
        ON_A_FRESH_LOG(a_promise_longer_than_the_lease_is_an_overstay),
        ON_A_FRESH_LOG(a_lock_lost_before_its_promise_ended_was_robbed),
        ON_A_FRESH_LOG(a_release_that_finds_nothing_in_time_was_robbed),
        ON_A_FRESH_LOG(data_loss_excuses_a_robbery_of_that_name),
        ON_A_FRESH_LOG(an_older_write_after_a_newer_one_is_stale),
        ON_A_FRESH_LOG(a_stale_write_is_seen_behind_others),
        ON_A_FRESH_LOG(no_loss_excuses_a_stale_write),
    };
    return cmocka_run_group_tests_name("faults checker, section by section", tests, NULL, NULL);
}
