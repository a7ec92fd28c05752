/* SPDX-License-Identifier: MIT
 * Holds that change: downgrade, upgrade, conversions whose outcome is unknown, and release by
 * force. */
#include "api/act.h"
#include "live/modes_stage.h"

/* ---- Downgrade and upgrade --------------------------------------------------------------------*/

static void a_downgrade_lets_the_waiting_readers_in_at_once(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, name, EXCLUSIVE());
    taker *one = queued(the, the->other, 1, SHARED(PATIENT)),
          *two = queued(the, the->other, 2, SHARED(PATIENT));
    stall began = stall_begin();
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    expect_soon(one, &began);
    expect_soon(two, &began);
    assert_int_equal(redlock_lock_mode(lock), REDLOCK_SHARED);
    assert_true(redlock_is_held(lock));
    assert_int_equal(stage_holders(the, name), 3);
    taker_release(one);
    taker_release(two);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, name);
}

static void a_downgrade_keeps_writers_out(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, name, EXCLUSIVE());
    taker *writer = queued(the, the->other, 1, EXCLUSIVE(PATIENT));
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    assert_int_equal(stage_waiters(the, name), 1);
    assert_int_equal(stage_holders(the, name), 1);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_taker(writer, REDLOCK_OK);
    taker_release(writer);
}

static void the_only_reader_is_upgraded_with_a_new_fence(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, name, SHARED());
    uint64_t before = redlock_fence(lock);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    assert_int_equal(redlock_lock_mode(lock), REDLOCK_EXCLUSIVE);
    assert_true(redlock_fence(lock) > before);
    assert_true(redlock_is_held(lock));
    EXPECT(attempt(the->other, SHARED()), REDLOCK_BUSY);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, name);
}

static void of_two_upgraders_both_are_refused_at_once_and_stay_readers(void **state)
{
    stage *the = *state;
    redlock_lock *one = take(the->client, name, SHARED()), *two = take(the->other, name, SHARED());
    EXPECT(redlock_upgrade(one), REDLOCK_DEADLOCK);
    EXPECT(redlock_upgrade(two), REDLOCK_DEADLOCK);
    assert_true(redlock_is_held(one) && redlock_is_held(two));
    assert_int_equal(redlock_lock_mode(one), REDLOCK_SHARED);
    EXPECT(redlock_release(two), REDLOCK_OK);
    EXPECT(redlock_upgrade(one), REDLOCK_OK);
    EXPECT(redlock_release(one), REDLOCK_OK);
}

static void a_crashed_reader_bars_an_upgrade_no_longer_than_its_lease(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, name, SHARED());
    redlock_lock *brief =
        take(the->other, name, REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .ttl_ms = brief_ms()));
    EXPECT(redlock_upgrade(lock), REDLOCK_DEADLOCK);
    eventually(is_unheld, brief);
    for (patience left = patience_begin(); redlock_upgrade(lock) != REDLOCK_OK; patience_pause())
        assert_false(patience_is_over(&left));
    EXPECT(redlock_release(brief), REDLOCK_LOST);
    assert_true(redlock_is_held(lock));
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void a_converted_hold_goes_on_being_renewed(void **state)
{
    stage *the = *state;
    redlock_lock *lock =
        take(the->client, name,
             REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(300), .auto_renew = true));
    for (int i = 0; i < 20; i++) {
        uint64_t renewed = stats_of(the->client).renewed;
        EXPECT(i % 2 ? redlock_upgrade(lock) : redlock_downgrade(lock), REDLOCK_OK);
        for (patience left = patience_begin();
             stats_of(the->client).renewed == renewed && i % 5 == 0; patience_pause())
            assert_false(patience_is_over(&left));
        assert_true(redlock_is_held(lock));
    }
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(stats_of(the->client).lost, 0);
    expect_free(the->other, name);
}

static void a_conversion_whose_reply_was_lost_is_done(void **state)
{
    stage *the = *state;
    redlock_client *behind = stage_open_through(the);
    redlock_lock *lock = take(behind, name, EXCLUSIVE());
    proxy_drop_reply_to(the->proxy, name);
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    assert_true(proxy_has_dropped(the->proxy));
    proxy_drop_reply_to(the->proxy, name);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    assert_true(proxy_has_dropped(the->proxy));
    assert_int_equal(stage_holders(the, name), 1);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, name);
}

/* An upgrade that the server made, and of which nobody heard in time. */
static redlock_lock *upgraded_unheard(stage *the)
{
    redlock_client *behind =
        stage_open(the, proxy_uri(the->proxy),
                   REDLOCK_CLIENT_OPTIONS(LOGGED(the), .timeout_ms = patience_outlasting_ms(300)));
    redlock_lock *lock = take(behind, name, EXCLUSIVE());
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK); /* the server knows the script now */
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    proxy_hold(the->proxy, true);
    EXPECT(redlock_upgrade(lock), REDLOCK_ERR_TIMEOUT);
    proxy_hold(the->proxy, false);
    assert_true(redlock_is_held(lock));
    EXPECT(attempt(the->other, SHARED()), REDLOCK_BUSY);
    return lock;
}

static void a_conversion_of_unknown_outcome_may_be_repeated(void **state)
{
    stage *the = *state;
    redlock_lock *lock = upgraded_unheard(the);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    assert_int_equal(redlock_lock_mode(lock), REDLOCK_EXCLUSIVE);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, name);
}

static void a_conversion_of_unknown_outcome_may_be_turned_back(void **state)
{
    stage *the = *state;
    redlock_lock *lock = upgraded_unheard(the);
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    EXPECT(attempt(the->other, SHARED()), REDLOCK_OK);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, name);
}

/* The server executes the downgrade minutes after it was given up: after the upgrade that followed
 * it. */
static void a_downgrade_that_was_cut_is_void_once_an_upgrade_followed(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, name, EXCLUSIVE());
    long long named = (long long)redlock_fence(lock);
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    char holder[HOLDER_SIZE];
    snprintf(holder, sizeof holder, "%.*s", (int)lock->holder_length, lock_holder(lock));
    const script *late = &scripts[SCRIPT_DOWNGRADE];
    redisReply *told = server_command(the->server, "EVAL %b 1 redlock:{%s} %s 30000 5000 1 %lld",
                                      late->source, late->source_length, name, holder, named);
    assert_int_equal(told->element[0]->integer, CONVERT_STALE);
    freeReplyObject(told);
    EXPECT(attempt(the->other, SHARED()), REDLOCK_BUSY);
    assert_int_equal(redlock_lock_mode(lock), REDLOCK_EXCLUSIVE);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void what_is_in_doubt_is_believed_to_be_shared(void **state)
{
    stage *the = *state;
    redlock_client *behind =
        stage_open(the, proxy_uri(the->proxy),
                   REDLOCK_CLIENT_OPTIONS(LOGGED(the), .timeout_ms = patience_outlasting_ms(300)));
    redlock_lock *lock = take(behind, name, EXCLUSIVE());
    proxy_blackhole(the->proxy, true);
    EXPECT(redlock_downgrade(lock), REDLOCK_ERR_TIMEOUT);
    proxy_blackhole(the->proxy, false);
    assert_int_equal(redlock_lock_mode(lock), REDLOCK_SHARED);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    assert_int_equal(redlock_lock_mode(lock), REDLOCK_EXCLUSIVE);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, name);
}

static void a_hold_whose_conversion_is_unknown_is_extended_and_released(void **state)
{
    stage *the = *state;
    redlock_lock *lock = upgraded_unheard(the);
    EXPECT(redlock_extend(lock, 2 * LONG_MS), REDLOCK_OK);
    assert_true(redlock_is_held(lock));
    EXPECT(redlock_release(lock), REDLOCK_OK);
    await_holders(the, name, 0);
}

static void a_hold_whose_conversion_is_unknown_is_released_though_a_reply_is_lost(void **state)
{
    stage *the = *state;
    redlock_lock *lock = upgraded_unheard(the);
    proxy_drop_reply_to(the->proxy, name);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_true(proxy_has_dropped(the->proxy));
    await_holders(the, name, 0);
}

static void a_hold_whose_conversion_is_unknown_does_not_outlive_its_client(void **state)
{
    stage *the = *state;
    redlock_lock *lock = upgraded_unheard(the);
    stage_close(the, the->clients[2]);
    assert_int_equal(stage_holders(the, name), 0);
    EXPECT(redlock_release(lock), REDLOCK_ERR_CLOSED);
}

static void a_lost_hold_and_one_with_permits_are_not_converted(void **state)
{
    stage *the = *state;
    redlock_lock *lost = take(the->client, name, EXCLUSIVE());
    server_number(the->server, "DEL redlock:{r}");
    EXPECT(redlock_downgrade(lost), REDLOCK_LOST);
    assert_false(redlock_is_held(lost));
    EXPECT(redlock_upgrade(lost), REDLOCK_LOST);
    EXPECT(redlock_release(lost), REDLOCK_LOST);
    redlock_lock *limited = take(the->client, name, SHARED(.permits = 3));
    EXPECT(redlock_upgrade(limited), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_release(limited), REDLOCK_OK);
    EXPECT(redlock_upgrade(NULL), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_downgrade(NULL), REDLOCK_ERR_ARGUMENT);
}

static void an_owner_with_a_slash_is_converted_like_any_other(void **state)
{
    stage *the = *state;
    redlock_lock *lock =
        take(the->client, name, EXCLUSIVE(.reentrant = true, .owner = "jobs/7 @ night%"));
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, name);
}

static redlock_status judge_upgrade(redlock_lock *lock, int64_t fence, int64_t lease_ms)
{
    request state = {.state = REQUEST_SENT};
    exchange asks = {.question = {.script = SCRIPT_UPGRADE}};
    act self = act_about(&act_upgrade, lock);
    self.asks = &asks;
    self.state = &state;
    answer lie = {.kind = ANSWER_CODE, .code = CONVERT_DONE, .value = {fence, 1, lease_ms}};
    assert_false(conversion_is_judged(&self, &lie));
    return self.status;
}

static void an_upgrade_with_absurd_numbers_is_not_believed(void **state)
{
    stage *the = *state;
    static const int64_t numbers[][2] = {
        {0, LONG_MS}, {-1, LONG_MS}, {INT64_MAX, LONG_MS}, {77, 0}, {77, INT64_MAX}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        redlock_lock *lock = take(the->client, name, SHARED());
        uint64_t before = redlock_fence(lock);
        EXPECT(judge_upgrade(lock, numbers[i][0], numbers[i][1]), REDLOCK_ERR_PROTOCOL);
        assert_int_equal(redlock_lock_mode(lock), REDLOCK_SHARED);
        assert_int_equal(redlock_fence(lock), before);
        assert_in_range(redlock_remaining_ms(lock), 1, LONG_MS);
        EXPECT(redlock_release(lock), REDLOCK_OK);
        expect_free(the->other, name);
    }
}

/* ---- Force ------------------------------------------------------------------------------------*/

static void a_forced_release_takes_the_lock_from_everyone_and_hands_it_on(void **state)
{
    stage *the = *state;
    size_t removed = 9;
    redlock_lock *one = take(the->client, name, SHARED()), *two = take(the->client, name, SHARED());
    taker *writer = queued(the, the->other, 1, EXCLUSIVE(PATIENT));
    EXPECT(redlock_force_release(the->other, name, 1, &removed, NULL), REDLOCK_OK);
    assert_int_equal(removed, 2);
    expect_taker(writer, REDLOCK_OK);
    assert_true(redlock_fence(writer->lock) > redlock_fence(two));
    EXPECT(redlock_extend(one, 2 * LONG_MS), REDLOCK_LOST);
    EXPECT(redlock_release(one), REDLOCK_LOST);
    EXPECT(redlock_release(two), REDLOCK_LOST);
    taker_release(writer);
    EXPECT(redlock_force_release(the->other, name, 1, &removed, NULL), REDLOCK_OK);
    assert_int_equal(removed, 0);
    expect_free(the->client, name);
}

static void a_forced_release_whose_reply_was_lost_takes_nothing_from_the_next(void **state)
{
    stage *the = *state;
    redlock_client *behind = stage_open_through(the);
    size_t removed;
    redlock_lock *lock = take(the->client, name, EXCLUSIVE());
    taker *next = queued(the, the->other, 1, EXCLUSIVE(PATIENT));
    EXPECT(redlock_force_release(behind, "z", 1, &removed, NULL),
           REDLOCK_OK); /* the server knows the script now */
    char fence[24];     /* what the second request names, after it has looked */
    snprintf(fence, sizeof fence, "%llu", (unsigned long long)redlock_fence(lock));
    proxy_drop_reply_to(the->proxy, fence);
    EXPECT(redlock_force_release(behind, name, 1, &removed, NULL), REDLOCK_OK);
    assert_true(proxy_has_dropped(the->proxy));
    expect_taker(next, REDLOCK_OK);
    assert_true(redlock_is_held(next->lock));
    assert_int_equal(stage_holders(the, name), 1);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    taker_release(next);
}

static void what_is_no_lock_is_refused_and_left_alone(void **state)
{
    stage *the = *state;
    redlock_lock *lock;
    redlock_inspection *seen;
    server_number(the->server, "ZADD redlock:{r} 5 bob");
    EXPECT(redlock_acquire(the->client, name, EXCLUSIVE(), &lock), REDLOCK_ERR_LAYOUT);
    EXPECT(redlock_acquire(the->client, name, SHARED(PATIENT), &lock), REDLOCK_ERR_LAYOUT);
    EXPECT(redlock_force_release(the->client, name, 1, NULL, NULL), REDLOCK_ERR_LAYOUT);
    EXPECT(redlock_inspect(the->client, name, 1, &seen, NULL), REDLOCK_ERR_LAYOUT);
    assert_int_equal(server_number(the->server, "ZCARD redlock:{r}"), 1);
    assert_int_equal(server_number(the->server, "PTTL redlock:{r}"), -1);
}

static void a_forced_release_is_told_to_who_is_renewed(void **state)
{
    stage *the = *state;
    redlock_lock *lock =
        take(the->client, name,
             REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(300), .auto_renew = true));
    EXPECT(redlock_force_release(the->other, name, 1, NULL, NULL), REDLOCK_OK);
    expect_free(the->other, name);
    eventually(is_unheld, lock);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    EXPECT(redlock_force_release(the->other, "", 0, NULL, NULL), REDLOCK_ERR_NAME);
    EXPECT(redlock_force_release(NULL, name, 1, NULL, NULL), REDLOCK_ERR_ARGUMENT);
}

/* ---- Extended by another thread meanwhile -----------------------------------------------------*/

typedef struct extender {
    redlock_lock *lock;
    _Atomic bool is_over;
    int extended, failed;
} extender;

static void *extend_on_and_on(void *arg)
{
    extender *self = arg;
    while (!atomic_load(&self->is_over)) {
        if (redlock_extend(self->lock, LONG_MS) == REDLOCK_OK) self->extended++;
        else self->failed++;
    }
    return NULL;
}

/* The holder that one thread asks for is not the one that the other has just made of it. */
static void a_hold_that_is_converted_is_extended_all_the_same(void **state)
{
    enum { CONVERSIONS = 300 };
    stage *the = *state;
    extender beside = {.lock = take(the->client, name, SHARED())};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, extend_on_and_on, &beside), 0);
    int refused = 0;
    for (int i = 0; i < CONVERSIONS; i++) {
        refused += redlock_upgrade(beside.lock) != REDLOCK_OK;
        refused += redlock_downgrade(beside.lock) != REDLOCK_OK;
    }
    atomic_store(&beside.is_over, true);
    pthread_join(thread, NULL);
    assert_int_equal(refused, 0);
    assert_int_equal(beside.failed, 0);
    assert_true(beside.extended > 0);
    EXPECT(redlock_release(beside.lock), REDLOCK_OK);
    expect_free(the->other, name);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_downgrade_lets_the_waiting_readers_in_at_once),
        ON_STAGE(a_downgrade_keeps_writers_out),
        ON_STAGE(the_only_reader_is_upgraded_with_a_new_fence),
        ON_STAGE(an_upgrade_with_absurd_numbers_is_not_believed),
        ON_STAGE(of_two_upgraders_both_are_refused_at_once_and_stay_readers),
        ON_STAGE(a_crashed_reader_bars_an_upgrade_no_longer_than_its_lease),
        ON_STAGE(a_converted_hold_goes_on_being_renewed),
        ON_STAGE(a_conversion_whose_reply_was_lost_is_done),
        ON_STAGE(a_conversion_of_unknown_outcome_may_be_repeated),
        ON_STAGE(a_conversion_of_unknown_outcome_may_be_turned_back),
        ON_STAGE(a_downgrade_that_was_cut_is_void_once_an_upgrade_followed),
        ON_STAGE(what_is_in_doubt_is_believed_to_be_shared),
        ON_STAGE(a_hold_whose_conversion_is_unknown_is_extended_and_released),
        ON_STAGE(a_hold_whose_conversion_is_unknown_is_released_though_a_reply_is_lost),
        ON_STAGE(a_hold_whose_conversion_is_unknown_does_not_outlive_its_client),
        ON_STAGE(a_hold_that_is_converted_is_extended_all_the_same),
        ON_STAGE(a_lost_hold_and_one_with_permits_are_not_converted),
        ON_STAGE(an_owner_with_a_slash_is_converted_like_any_other),
        ON_STAGE(a_forced_release_takes_the_lock_from_everyone_and_hands_it_on),
        ON_STAGE(a_forced_release_whose_reply_was_lost_takes_nothing_from_the_next),
        ON_STAGE(what_is_no_lock_is_refused_and_left_alone),
        ON_STAGE(a_forced_release_is_told_to_who_is_renewed),
    };
    ACTOR_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
