/* SPDX-License-Identifier: MIT
 * The line through what befalls those in it: frozen and killed processes bar nobody for longer
 * than one claim, owners enter together, and a place is kept through a restart of the server and
 * through cut connections. */
#include "live/crew_stage.h"

static const char *const name = CREW_NAME;

enum { CLAIM_MS = 1000, SLACK_MS = 400 };

/* ---- Frozen and killed processes --------------------------------------------------------------*/

/* From the release until the next is let in, behind the threads of a frozen process. */
static int64_t pass_the_frozen_us(stage *the, int threads)
{
    redlock_lock *lock = take(the->client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    pid_t frozen = crew_start(the, CREW(.threads = threads, .claim_ms = CLAIM_MS));
    await_waiters(the, name, threads);
    taker *next = queued(the, the->other, threads + 1,
                         REDLOCK_OPTIONS(.wait_ms = LONG_MS, .claim_ms = CLAIM_MS));
    actor_freeze(frozen);
    int64_t from_us = server_now_us(the->server);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_taker(next, REDLOCK_OK);
    int64_t took_us = let_in_us(next->lock) - from_us;
    actor_kill(the, frozen);
    taker_release(next);
    return took_us;
}

static void a_frozen_process_delays_the_next_by_one_claim_however_many_wait_in_it(void **state)
{
    stall began = stall_begin();
    int64_t took_us = pass_the_frozen_us(*state, 8);
    print_message("  after %lld us\n", (long long)took_us);
    TOOK(&began, took_us, CLAIM_MS * 1000 - 1000, (CLAIM_MS + SLACK_MS) * 1000);
}

/* A reader holds, and one with permits = 1 stands in front of another: until that one is in. */
static int64_t pass_the_limited_us(stage *the, bool is_killed)
{
    redlock_lock *lock =
        take(the->client, name, REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .ttl_ms = LONG_MS));
    int listening = subscribers_now(the->server);
    pid_t first =
        crew_start(the, CREW(.threads = 1, .mode = "s", .permits = 1, .claim_ms = CLAIM_MS));
    await_waiters(the, name, 1);
    if (is_killed) actor_kill(the, first);
    else actor_freeze(first);
    if (is_killed) eventually(has_subscribers, (&(subscribed){the->server, listening}));
    int64_t from_us = server_now_us(the->server);
    taker *next = taker_start(the, the->other, name,
                              REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .permits = 5,
                                              .ttl_ms = LONG_MS, .wait_ms = LONG_MS));
    expect_taker(next, REDLOCK_OK);
    assert_int_equal(stage_holders(the, name), 2);
    int64_t took_us = (reader_ends_ms(the, true) - LONG_MS) * 1000 - from_us;
    if (!is_killed) actor_kill(the, first);
    taker_release(next);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    return took_us;
}

static void a_killed_waiter_with_one_permit_bars_no_reader(void **state)
{
    stall began = stall_begin();
    int64_t took_us = pass_the_limited_us(*state, true);
    print_message("  after %lld us\n", (long long)took_us);
    TOOK(&began, took_us, INT64_MIN, SLACK_MS * 1000);
}

static void a_frozen_waiter_with_one_permit_bars_no_reader_for_longer_than_its_claim(void **state)
{
    stall began = stall_begin();
    int64_t took_us = pass_the_limited_us(*state, false);
    print_message("  after %lld us\n", (long long)took_us);
    TOOK(&began, took_us, INT64_MIN, (CLAIM_MS + SLACK_MS) * 1000);
}

/* ---- Owners -----------------------------------------------------------------------------------*/

static bool both_know(void *arg) { return stage_holders(arg, CREW_DONE) == 2; }

/* Let in by one step: to the millisecond, their leases end together. */
static void two_processes_of_one_owner_enter_together_past_who_stands_between(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    crew_start(the, CREW(.threads = 1, .owner = "x"));
    await_waiters(the, name, 1);
    taker *between = queued(the, the->other, 2, FOR_EVER);
    crew_start(the, CREW(.threads = 1, .owner = "x"));
    await_waiters(the, name, 3);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(stage_holders(the, name), 2);
    assert_int_equal(stage_waiters(the, name), 1);
    redisReply *both =
        server_command(the->server, "ZRANGEBYSCORE redlock:{r} 1 19999999999999 WITHSCORES");
    assert_int_equal(both->elements, 4);
    assert_string_equal(both->element[1]->str, both->element[3]->str);
    freeReplyObject(both);
    eventually(both_know, the);
    assert_false(taker_is_done(between));
    for (int i = 0; i < 2; i++) actor_kill(the, the->actors[i]);
    EXPECT(redlock_force_release(the->client, name, 1, NULL, NULL), REDLOCK_OK);
    expect_taker(between, REDLOCK_OK);
    taker_release(between);
}

/* ---- Places that are kept ---------------------------------------------------------------------*/

enum { LINE = 8 };

/* One after the other, in the order of `line`, from the release of `lock` on; each holds alone. */
static void expect_order(redlock_lock *lock, taker *const *line, int count)
{
    EXPECT(redlock_release(lock), REDLOCK_OK);
    for (int i = 0; i < count; i++) {
        expect_taker(line[i], REDLOCK_OK);
        for (int later = i + 1; later < count; later++) assert_false(taker_is_done(line[later]));
        taker_release(line[i]);
    }
}

static void out_of_reach(stage *the)
{
    proxy_refuse(the->proxy, true);
    proxy_cut(the->proxy);
}

/* Whoever comes back to an empty server, in whatever order, stands where it stood. */
static void the_line_keeps_its_order_when_the_server_comes_back_empty(void **state)
{
    stage *the = *state;
    taker *line[LINE];
    redlock_client *behind[] = {stage_open_through(the), stage_open_through(the)};
    redlock_lock *old = take(the->client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    for (int i = 0; i < LINE; i++) line[i] = queued(the, behind[i % 2], i + 1, FOR_EVER);
    out_of_reach(the);
    server_restart(the->server);
    redlock_lock *lock = take(the->other, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    proxy_refuse(the->proxy, false);
    await_waiters(the, name, LINE);
    expect_order(lock, line, LINE);
    redlock_release(
        old); /* whoever has nobody to ask cannot say whether its first attempt was the one */
}

/* It was dropped as dead by the first release, and stands before whoever came after it at the
 * second. */
static void who_was_cut_off_and_dropped_comes_back_to_its_place(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    taker *cut_off = queued(the, stage_open_through(the), 1, FOR_EVER);
    taker *second = queued(the, the->other, 2, FOR_EVER),
          *third = queued(the, the->other, 3, FOR_EVER);
    out_of_reach(the);
    eventually(has_subscribers, (&(subscribed){the->server, 2}));
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_taker(second, REDLOCK_OK);
    assert_int_equal(stage_waiters(the, name), 1);
    proxy_refuse(the->proxy, false);
    await_waiters(the, name, 2);
    redlock_lock *held = second->lock;
    second->lock = NULL;
    expect_order(held, (taker *const[]){cut_off, third}, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_frozen_process_delays_the_next_by_one_claim_however_many_wait_in_it),
        ON_STAGE(a_killed_waiter_with_one_permit_bars_no_reader),
        ON_STAGE(a_frozen_waiter_with_one_permit_bars_no_reader_for_longer_than_its_claim),
        ON_STAGE(two_processes_of_one_owner_enter_together_past_who_stands_between),
        ON_STAGE(the_line_keeps_its_order_when_the_server_comes_back_empty),
        ON_STAGE(who_was_cut_off_and_dropped_comes_back_to_its_place),
    };
    CREW_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
