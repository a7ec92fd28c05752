/* SPDX-License-Identifier: MIT
 * Many locks at once: all or nothing, in an order that cannot deadlock. */
#include "live/stage.h"

#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define FOR(ms) REDLOCK_OPTIONS(.wait_ms = (ms))

static const redlock_name_bytes three[] = {NAME("b"), NAME("c"), NAME("a")};

static redlock_set *take_set(redlock_client *client, const redlock_name_bytes *names, size_t count,
                             const redlock_options *options)
{
    redlock_set *set = NULL;
    EXPECT(redlock_acquire_set(client, names, count, options, &set), REDLOCK_OK);
    assert_non_null(set);
    for (size_t i = 0; i < count; i++) assert_true(redlock_is_held(redlock_set_lock(set, i)));
    return set;
}

static long long held_of_three(stage *the)
{
    return stage_holders(the, "a") + stage_holders(the, "b") + stage_holders(the, "c");
}

static bool has_one_of_three(void *arg) { return held_of_three(arg) == 1; }
static bool has_none_of_three(void *arg) { return held_of_three(arg) == 0; }

static void await_only_the_last(stage *the)
{
    await_holders(the, "a", 0);
    await_holders(the, "b", 0);
    assert_int_equal(stage_holders(the, "c"), 1);
}

static void a_set_holds_all_its_names_until_it_is_released(void **state)
{
    stage *the = *state;
    redlock_set *set = take_set(the->client, three, 3, NULL);
    for (size_t i = 0; i < 3; i++) {
        size_t length;
        const char *bytes = redlock_name(redlock_set_lock(set, i), &length);
        assert_int_equal(length, 1);
        assert_memory_equal(bytes, three[i].bytes, 1);
        expect_taken(the->other, bytes);
    }
    assert_null(redlock_set_lock(set, 3));
    EXPECT(redlock_release_set(set), REDLOCK_OK);
    assert_int_equal(held_of_three(the), 0);
}

static void a_set_that_lacks_one_name_holds_none(void **state)
{
    stage *the = *state;
    redlock_set *set;
    for (int i = 0; i < 3; i++) {
        redlock_lock *other = take(the->other, (const char *)three[i].bytes, NULL);
        EXPECT(redlock_acquire_set(the->client, three, 3, NULL, &set), REDLOCK_BUSY);
        assert_null(set);
        EXPECT(redlock_acquire_set(the->client, three, 3, FOR(30), &set), REDLOCK_TIMED_OUT);
        await_waiters(the, (const char *)three[i].bytes,
                      0);                  /* it leaves the queue in the background ... */
        eventually(has_one_of_three, the); /* ... and gives back what it had */
        EXPECT(redlock_release(other), REDLOCK_OK);
    }
    assert_int_equal(stage_waiters(the, "a") + stage_waiters(the, "b") + stage_waiters(the, "c"),
                     0);
}

static void impossible(redlock_client *client, const redlock_name_bytes *names, size_t count,
                       const redlock_options *options, redlock_status status)
{
    redlock_set *set = (redlock_set *)names;
    assert_string_equal(
        redlock_status_name(redlock_acquire_set(client, names, count, options, &set)),
        redlock_status_name(status));
    assert_null(set);
}

static void a_set_that_makes_no_sense_is_refused_and_holds_nothing(void **state)
{
    stage *the = *state;
    const redlock_name_bytes twice[] = {NAME("a"), NAME("b"), NAME("a")};
    const redlock_name_bytes empty[] = {NAME("a"), {"", 0}}, null[] = {NAME("a"), {NULL, 1}};
    redlock_client *client = the->client;
    impossible(client, twice, 3, NULL, REDLOCK_ERR_ARGUMENT);
    impossible(client, empty, 2, NULL, REDLOCK_ERR_NAME);
    impossible(client, null, 2, NULL, REDLOCK_ERR_NAME);
    impossible(client, three, 0, NULL, REDLOCK_ERR_ARGUMENT);
    impossible(client, three, SIZE_MAX, NULL, REDLOCK_ERR_ARGUMENT);
    impossible(client, NULL, 3, NULL, REDLOCK_ERR_ARGUMENT);
    impossible(NULL, three, 3, NULL, REDLOCK_ERR_ARGUMENT);
    impossible(client, three, 3, REDLOCK_OPTIONS(.ttl_ms = -1), REDLOCK_ERR_TTL);
    impossible(client, three, 3, REDLOCK_OPTIONS(.reentrant = true), REDLOCK_ERR_ARGUMENT);
    impossible(client, three, 3, FOR(INT64_MAX), REDLOCK_ERR_ARGUMENT);
    impossible(client, three, 3, FOR(INT64_MIN), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_acquire_set(client, three, 3, NULL, NULL), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_release_set(NULL), REDLOCK_OK);
    assert_int_equal(held_of_three(the), 0);
    assert_null(redlock_set_lock(NULL, 0));
}

/* Bytes decide, NUL included; and one name may begin another. */
static void names_of_any_bytes_are_told_apart(void **state)
{
    stage *the = *state;
    const redlock_name_bytes names[] = {NAME("a\0b"), NAME("a"), NAME("a\0"), NAME("\xff"),
                                        NAME("ab")};
    redlock_set *set = take_set(the->client, names, 5, NULL);
    assert_int_equal(server_number(the->server, "DBSIZE"), 5);
    EXPECT(redlock_release_set(set), REDLOCK_OK);
}

static void one_deadline_is_over_all_the_names(void **state)
{
    stage *the = *state;
    redlock_set *set;
    redlock_lock *first = take(the->other, "a", NULL), *last = take(the->other, "c", NULL);
    PUNCTUAL(150 * 1000,
             EXPECT(redlock_acquire_set(the->client, three, 3, FOR(150), &set), REDLOCK_TIMED_OUT));
    EXPECT(redlock_release(first), REDLOCK_OK);
    PUNCTUAL(150 * 1000,
             EXPECT(redlock_acquire_set(the->client, three, 3, FOR(150), &set), REDLOCK_TIMED_OUT));
    EXPECT(redlock_release(last), REDLOCK_OK);
    EXPECT(redlock_release_set(take_set(the->client, three, 3, FOR(LONG_MS))), REDLOCK_OK);
}

typedef struct set_taker {
    int64_t began_us, took_us;
    redlock_client *client;
    redlock_options options;
    redlock_set *set;
    redlock_status status;
    pthread_t thread;
} set_taker;

static void *set_taker_run(void *arg)
{
    set_taker *self = arg;
    self->began_us = now_us();
    self->status = redlock_acquire_set(self->client, three, 3, &self->options, &self->set);
    self->took_us = now_us() - self->began_us;
    return NULL;
}

static void set_taker_start(set_taker *self, redlock_client *client, const redlock_options *options)
{
    *self = (set_taker){.client = client, .options = *options};
    assert_int_equal(pthread_create(&self->thread, NULL, set_taker_run, self), 0);
}

static redlock_status set_taker_join(set_taker *self)
{
    pthread_join(self->thread, NULL);
    return self->status;
}

static bool has_been_renewed(void *arg) { return stats_of(arg).renewed >= 8; }

/* Several leases pass before the last name is free. */
static void what_is_held_is_renewed_while_the_rest_is_waited_for(void **state)
{
    stage *the = *state;
    set_taker waits;
    redlock_lock *last = take(the->other, "c", NULL);
    set_taker_start(&waits, the->client,
                    REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(400), .wait_ms = LONG_MS));
    await_waiters(the, "c", 1);
    eventually(has_been_renewed, the->client);
    assert_int_equal(stage_holders(the, "a") + stage_holders(the, "b"), 2);
    expect_taken(the->other, "a");
    EXPECT(redlock_release(last), REDLOCK_OK);
    EXPECT(set_taker_join(&waits), REDLOCK_OK);
    for (size_t i = 0; i < 3; i++) assert_true(redlock_is_held(redlock_set_lock(waits.set, i)));
    assert_int_equal(stats_of(the->client).lost, 0);
    EXPECT(redlock_release_set(waits.set), REDLOCK_OK);
}

/* What it took first is older than that when the last name is free. */
static void the_maximum_hold_of_a_set_counts_from_when_all_is_held(void **state)
{
    stage *the = *state;
    set_taker waits;
    int64_t ttl_ms = patience_outlasting_ms(400);
    redlock_lock *last = take(the->other, "c", NULL);
    set_taker_start(&waits, the->client,
                    REDLOCK_OPTIONS(.ttl_ms = ttl_ms, .wait_ms = LONG_MS, .auto_renew = true,
                                    .max_hold_ms = ttl_ms));
    await_waiters(the, "c", 1);
    eventually(has_been_renewed, the->client);
    EXPECT(redlock_release(last), REDLOCK_OK);
    EXPECT(set_taker_join(&waits), REDLOCK_OK);
    for (size_t i = 0; i < 3; i++) eventually(is_unheld, redlock_set_lock(waits.set, i));
    EXPECT(redlock_release_set(waits.set), REDLOCK_LOST);
}

static void a_set_without_renewal_ends_with_its_leases(void **state)
{
    stage *the = *state;
    redlock_set *set = take_set(the->client, three, 3, REDLOCK_OPTIONS(.ttl_ms = brief_ms()));
    for (size_t i = 0; i < 3; i++) eventually(is_unheld, redlock_set_lock(set, i));
    redlock_set *next = take_set(the->other, three, 3, FOR(LONG_MS));
    EXPECT(redlock_release_set(set), REDLOCK_LOST);
    for (size_t i = 0; i < 3; i++) assert_true(redlock_is_held(redlock_set_lock(next, i)));
    EXPECT(redlock_release_set(next), REDLOCK_OK);
}

static void a_set_with_renewal_outlives_its_leases(void **state)
{
    stage *the = *state;
    redlock_set *set =
        take_set(the->client, three, 3,
                 REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(300), .auto_renew = true));
    eventually(has_been_renewed, the->client);
    assert_int_equal(held_of_three(the), 3);
    EXPECT(redlock_release_set(set), REDLOCK_OK);
    assert_int_equal(stats_of(the->client).lost, 0);
}

static void one_lost_lock_of_a_set_keeps_none_of_the_others(void **state)
{
    stage *the = *state;
    redlock_set *set = take_set(the->client, three, 3, NULL);
    server_number(the->server, "DEL redlock:{b}");
    EXPECT(redlock_release_set(set), REDLOCK_LOST);
    assert_int_equal(held_of_three(the), 0);
}

static void a_cancelled_set_holds_nothing(void **state)
{
    stage *the = *state;
    set_taker waits;
    redlock_canceller *canceller;
    redlock_lock *last = take(the->other, "c", NULL);
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    set_taker_start(&waits, the->client,
                    REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .canceller = canceller));
    await_waiters(the, "c", 1);
    redlock_cancel(canceller);
    EXPECT(set_taker_join(&waits), REDLOCK_CANCELLED);
    assert_null(waits.set);
    await_only_the_last(the);
    EXPECT(redlock_release(last), REDLOCK_OK);
    await_holders(the, "c", 0); /* it leaves the queue in the background */
    redlock_canceller_close(canceller);
}

/* ---- The limits of all ------------------------------------------------------------------------*/

/* Two are held, the third is waited for, and nobody answers any more. */
static void a_set_is_back_in_time_whatever_it_holds_and_gives_it_back_later(void **state)
{
    stage *the = *state;
    int64_t wait_ms = patience_outlasting_ms(400);
    set_taker waits;
    redlock_lock *last = take(the->other, "c", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    stall began = stall_begin();
    set_taker_start(&waits, the->client, REDLOCK_OPTIONS(.ttl_ms = LONG_MS, .wait_ms = wait_ms));
    await_waiters(the, "c", 1);
    server_freeze(the->server);
    EXPECT(set_taker_join(&waits), REDLOCK_TIMED_OUT);
    TOOK(&began, waits.took_us, wait_ms * 1000, wait_ms * 1000);
    assert_null(waits.set);
    server_thaw(the->server);
    await_only_the_last(the);
    await_waiters(the, "c", 0);
    EXPECT(redlock_release(last), REDLOCK_OK);
}

enum { TOO_MANY = 16 };

static void try_too_many(redlock_client *client, const redlock_name_bytes *names)
{
    redlock_set *set;
    EXPECT(redlock_acquire_set(client, names, TOO_MANY, NULL, &set), REDLOCK_ERR_TIMEOUT);
    assert_null(set);
}

/* Each of them in its own time would be sixteen round trips of a tenth of it and more. */
static void a_set_that_does_not_wait_has_one_timeout_for_all(void **state)
{
    stage *the = *state;
    int64_t timeout_ms = patience_outlasting_ms(200), pause_ms = patience_outlasting_ms(20);
    redlock_name_bytes names[TOO_MANY];
    for (int i = 0; i < TOO_MANY; i++) names[i] = (redlock_name_bytes){&"abcdefghijklmnop"[i], 1};
    redlock_client *hasty =
        stage_open(the, proxy_uri(the->proxy),
                   REDLOCK_CLIENT_OPTIONS(.timeout_ms = timeout_ms, .spin_us = -1, LOGGED(the)));
    EXPECT(redlock_release(take(hasty, "z", NULL)), REDLOCK_OK);
    proxy_slow(the->proxy, 16384, (int)pause_ms * 1000);
    PUNCTUAL(timeout_ms * 1000, try_too_many(hasty, names));
    proxy_slow(the->proxy, 0, 0);
    eventually(has_none_of_three, the);
}

static void shared_sets_are_held_at_once(void **state)
{
    stage *the = *state;
    const redlock_options *shared = REDLOCK_OPTIONS(.mode = REDLOCK_SHARED);
    redlock_set *set, *one = take_set(the->client, three, 3, shared),
                      *two = take_set(the->other, three, 3, shared);
    EXPECT(redlock_acquire_set(the->other, three, 3, NULL, &set), REDLOCK_BUSY);
    EXPECT(redlock_release_set(one), REDLOCK_OK);
    EXPECT(redlock_release_set(two), REDLOCK_OK);
}

/* ---- Opposite orders --------------------------------------------------------------------------*/

enum { ROUNDS = 200 };

typedef struct rounds {
    redlock_client *client;
    bool backwards;
    int done;
    pthread_t thread;
} rounds;

static void *take_rounds(void *arg)
{
    static const redlock_name_bytes there[] = {NAME("a"), NAME("b"), NAME("c")},
                                    back[] = {NAME("c"), NAME("b"), NAME("a")};
    rounds *self = arg;
    for (int i = 0; i < ROUNDS && self->done == i; i++) {
        redlock_set *set;
        redlock_status status =
            redlock_acquire_set(self->client, self->backwards ? back : there, 3, FOR(10000), &set);
        self->done += status == REDLOCK_OK && redlock_release_set(set) == REDLOCK_OK;
    }
    return NULL;
}

static void opposite_orders_never_deadlock(void **state)
{
    stage *the = *state;
    rounds two[] = {{.client = the->client}, {.client = the->other, .backwards = true}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&two[i].thread, NULL, take_rounds, &two[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(two[i].thread, NULL);
    assert_int_equal(two[0].done, ROUNDS);
    assert_int_equal(two[1].done, ROUNDS);
    assert_int_equal(held_of_three(the), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_set_holds_all_its_names_until_it_is_released),
        ON_STAGE(a_set_that_lacks_one_name_holds_none),
        ON_STAGE(a_set_that_makes_no_sense_is_refused_and_holds_nothing),
        ON_STAGE(names_of_any_bytes_are_told_apart),
        ON_STAGE(one_deadline_is_over_all_the_names),
        ON_STAGE(what_is_held_is_renewed_while_the_rest_is_waited_for),
        ON_STAGE(the_maximum_hold_of_a_set_counts_from_when_all_is_held),
        ON_STAGE(a_set_without_renewal_ends_with_its_leases),
        ON_STAGE(a_set_with_renewal_outlives_its_leases),
        ON_STAGE(one_lost_lock_of_a_set_keeps_none_of_the_others),
        ON_STAGE(a_cancelled_set_holds_nothing),
        ON_STAGE(a_set_is_back_in_time_whatever_it_holds_and_gives_it_back_later),
        ON_STAGE(a_set_that_does_not_wait_has_one_timeout_for_all),
        ON_STAGE(shared_sets_are_held_at_once),
        ON_STAGE(opposite_orders_never_deadlock),
    };
    ACTOR_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
