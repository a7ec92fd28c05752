/* SPDX-License-Identifier: MIT
 * One lock, one holder: acquire, release, extend, and what a handle tells, against a real
 * server. */
#include "live/stage.h"

/* ---- Having and not having --------------------------------------------------------------------*/

static void a_free_lock_is_had_at_the_first_try(void **state)
{
    stage *the = *state;
    size_t length;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = 10000));
    assert_in_range(redlock_remaining_ms(lock), 1, 10000 - 100 - 2);
    assert_true(redlock_fence(lock) > 0);
    assert_string_equal(redlock_name(lock, &length), "r");
    assert_int_equal(length, 1);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void a_held_lock_is_busy_for_everybody(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    expect_taken(the->other, "r");
    expect_taken(the->client, "r");
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, "r");
}

static void the_server_keeps_the_lock_for_the_ttl(void **state)
{
    stage *the = *state;
    redlock_inspection *seen;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = 10000));
    EXPECT(redlock_inspect(the->other, "r", 1, &seen, NULL), REDLOCK_OK);
    assert_in_range(seen->parties[0].lease_ms, redlock_remaining_ms(lock), 10000);
    redlock_inspection_free(seen);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void the_default_ttl_is_thirty_seconds(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    assert_in_range(redlock_remaining_ms(lock), 20000, 30000);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* The holder stops believing before the server does. */
static void nobody_has_an_expired_lock_before_its_holder_knows(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = brief_ms())),
                 *next = NULL;
    bool was_held = true;
    for (redlock_status st = REDLOCK_BUSY; st == REDLOCK_BUSY;) {
        was_held = redlock_is_held(lock);
        st = redlock_acquire(the->other, "r", NULL, &next);
        if (st == REDLOCK_OK) was_held = redlock_is_held(lock);
    }
    assert_non_null(next);
    assert_false(was_held);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    EXPECT(redlock_release(next), REDLOCK_OK);
}

/* Pitfall 8. The grant's answer is held until the lease is over. */
static void an_acquire_that_took_longer_than_the_ttl_is_not_held(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    expect_free(through, "warm");
    proxy_hold(the->proxy, true);
    taker *late = taker_start(the, through, "r", REDLOCK_OPTIONS(.ttl_ms = 30));
    await_holders(the, "r", 1);
    redlock_lock *next = take(the->other, "r", REDLOCK_OPTIONS(.wait_ms = 5000));
    proxy_hold(the->proxy, false);
    expect_taker(late, REDLOCK_ERR_TIMEOUT);
    assert_null(late->lock);
    EXPECT(redlock_release(next), REDLOCK_OK);
}

/* Pitfall 9. */
static void a_lock_is_not_held_after_its_validity_without_a_word_to_the_server(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = brief_ms()));
    uint64_t commands = stats_of(the->client).commands;
    server_freeze(the->server);
    eventually(is_unheld, lock);
    assert_int_equal(redlock_remaining_ms(lock), 0);
    assert_int_equal(stats_of(the->client).commands, commands);
    server_thaw(the->server);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
}

/* ---- Losing -----------------------------------------------------------------------------------*/

/* Pitfall 7. */
static void the_release_of_an_expired_lock_leaves_the_new_owner_alone(void **state)
{
    stage *the = *state;
    redlock_lock *old = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = brief_ms()));
    redlock_lock *new = take(the->other, "r", REDLOCK_OPTIONS(.wait_ms = 5000));
    EXPECT(redlock_extend(old, 1000), REDLOCK_LOST);
    EXPECT(redlock_release(old), REDLOCK_LOST);
    expect_taken(the->client, "r");
    EXPECT(redlock_release(new), REDLOCK_OK);
}

static void the_release_of_a_lock_that_was_taken_over_leaves_the_new_owner_alone(void **state)
{
    stage *the = *state;
    redlock_lock *old = take(the->client, "r", NULL);
    server_number(the->server, "DEL redlock:{r}");
    redlock_lock *new = take(the->other, "r", NULL);
    EXPECT(redlock_release(old), REDLOCK_LOST);
    expect_taken(the->client, "r");
    EXPECT(redlock_release(new), REDLOCK_OK);
}

static void the_release_of_a_deleted_lock_says_that_it_was_lost(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    server_number(the->server, "DEL redlock:{r}");
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    assert_int_equal(server_number(the->server, "EXISTS redlock:{r}"), 0);
}

/* ---- Extending --------------------------------------------------------------------------------*/

static void an_extension_makes_the_lease_longer(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = 1000));
    EXPECT(redlock_extend(lock, 60000), REDLOCK_OK);
    assert_in_range(redlock_remaining_ms(lock), 50000, 60000);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* Pitfall 5. */
static void an_extension_never_makes_the_lease_shorter(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = 60000));
    EXPECT(redlock_extend(lock, 10), REDLOCK_OK);
    assert_in_range(redlock_remaining_ms(lock), 50000, 60000);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* Pitfall 7. */
static void an_extension_never_brings_a_lost_lock_back(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    server_number(the->server, "DEL redlock:{r}");
    EXPECT(redlock_extend(lock, 60000), REDLOCK_LOST);
    assert_false(redlock_is_held(lock));
    assert_int_equal(redlock_remaining_ms(lock), 0);
    assert_int_equal(server_number(the->server, "EXISTS redlock:{r}"), 0);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
}

/* ---- Fences -----------------------------------------------------------------------------------*/

static uint64_t next_fence(redlock_client *client, uint64_t last)
{
    redlock_lock *lock = take(client, "r", REDLOCK_OPTIONS(.wait_ms = 5000));
    uint64_t fence = redlock_fence(lock);
    assert_true(fence > last);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    return fence;
}

/* Pitfall 13. */
static void fences_rise_whatever_happens_to_the_key(void **state)
{
    stage *the = *state;
    uint64_t last = next_fence(the->client, 0);
    last = next_fence(the->other, last);
    redlock_lock *expired = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = brief_ms()));
    assert_true(redlock_fence(expired) > last);
    last = next_fence(the->other, redlock_fence(expired));
    EXPECT(redlock_release(expired), REDLOCK_LOST);
    freeReplyObject(server_command(the->server, "FLUSHALL"));
    last = next_fence(the->client, last);
    server_restart(the->server);
    next_fence(the->client, last);
}

/* The key's fence is ahead of the server's clock, as it is after that clock stepped back. */
static void a_lingering_key_remembers_a_fence_that_the_clock_has_not_reached(void **state)
{
    stage *the = *state;
    uint64_t ahead = next_fence(the->client, 0) + 1000000000;
    set_last_fence(the->server, "r", ahead);
    assert_int_equal(next_fence(the->client, ahead), ahead + 1);
    assert_int_equal(next_fence(the->other, ahead + 1), ahead + 2);
}

static bool is_gone(void *arg)
{
    stage *the = arg;
    return server_number(the->server, "EXISTS redlock:{r}") == 0;
}

/* Pitfall 13: no immortal keys. */
static void a_freed_key_lingers_as_long_as_it_was_told_and_no_longer(void **state)
{
    stage *the = *state;
    redlock_client *brief =
        stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(.linger_ms = 50));
    redlock_client *none =
        stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(.linger_ms = -1));
    uint64_t last = next_fence(the->client, 0);
    assert_in_range(server_number(the->server, "PTTL redlock:{r}"), 1, 5000);
    last = next_fence(none, last);
    assert_true(is_gone(the));
    last = next_fence(brief, last);
    eventually(is_gone, the);
    next_fence(the->client, last);
}

/* ---- Names ------------------------------------------------------------------------------------*/

typedef struct bytes {
    const char *at;
    size_t length;
} bytes;

#define BYTES(text)                                                                                \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }

/* Pitfalls 33 and 40: names are bytes, and no two of them are one. */
static void different_names_never_exclude_each_other(void **state)
{
    static const bytes names[] = {
        BYTES("a"),        BYTES("{a}"),   BYTES("{a}:1"),     BYTES("a{a}"), BYTES("{}a"),
        BYTES("}a"),       BYTES("{{a}}"), BYTES("%7Ba%7D"),   BYTES("=a"),   BYTES("a\0"),
        BYTES("a\0b"),     BYTES("a\0c"),  BYTES("\0"),        BYTES("a b"),  BYTES("a\n"),
        BYTES("\xff\xfe"), BYTES("f"),     BYTES("redlock:a"), BYTES("{"),    BYTES("}"),
        BYTES("{}")};
    enum { COUNT = sizeof names / sizeof *names };
    stage *the = *state;
    redlock_lock *locks[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        EXPECT(redlock_acquire_bytes(the->client, names[i].at, names[i].length, NULL, &locks[i]),
               REDLOCK_OK);
    assert_int_equal(server_number(the->server, "DBSIZE"), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        size_t length;
        redlock_lock *none;
        EXPECT(redlock_acquire_bytes(the->other, names[i].at, names[i].length, NULL, &none),
               REDLOCK_BUSY);
        assert_memory_equal(redlock_name(locks[i], &length), names[i].at, names[i].length);
        assert_int_equal(length, names[i].length);
        EXPECT(redlock_release(locks[i]), REDLOCK_OK);
    }
}

static void a_prefix_keeps_applications_apart(void **state)
{
    stage *the = *state;
    redlock_client *apart =
        stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(.key_prefix = "app:"));
    redlock_lock *lock = take(apart, "r", NULL);
    expect_free(the->client, "r");
    assert_int_equal(server_number(the->server, "EXISTS app:{r}"), 1);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_free_lock_is_had_at_the_first_try),
        ON_STAGE(a_held_lock_is_busy_for_everybody),
        ON_STAGE(the_server_keeps_the_lock_for_the_ttl),
        ON_STAGE(the_default_ttl_is_thirty_seconds),
        ON_STAGE(nobody_has_an_expired_lock_before_its_holder_knows),
        ON_STAGE(an_acquire_that_took_longer_than_the_ttl_is_not_held),
        ON_STAGE(a_lock_is_not_held_after_its_validity_without_a_word_to_the_server),
        ON_STAGE(the_release_of_an_expired_lock_leaves_the_new_owner_alone),
        ON_STAGE(the_release_of_a_lock_that_was_taken_over_leaves_the_new_owner_alone),
        ON_STAGE(the_release_of_a_deleted_lock_says_that_it_was_lost),
        ON_STAGE(an_extension_makes_the_lease_longer),
        ON_STAGE(an_extension_never_makes_the_lease_shorter),
        ON_STAGE(an_extension_never_brings_a_lost_lock_back),
        ON_STAGE(fences_rise_whatever_happens_to_the_key),
        ON_STAGE(a_lingering_key_remembers_a_fence_that_the_clock_has_not_reached),
        ON_STAGE(a_freed_key_lingers_as_long_as_it_was_told_and_no_longer),
        ON_STAGE(different_names_never_exclude_each_other),
        ON_STAGE(a_prefix_keeps_applications_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
