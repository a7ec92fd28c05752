/* SPDX-License-Identifier: MIT
 * Reentrant holds: entering again, the other mode inside, whose hold it is, and its loss. */
#include "live/modes_stage.h"

/* ---- Entering again ---------------------------------------------------------------------------*/

static void a_nested_acquire_and_release_send_nothing(void **state)
{
    stage *the = *state;
    redlock_lock *outer = take(the->client, name, OWN());
    uint64_t commands = stats_of(the->client).commands;
    for (int i = 0; i < 100; i++) {
        redlock_lock *inner = take(the->client, name, OWN());
        assert_ptr_equal(inner, outer);
        EXPECT(redlock_release(inner), REDLOCK_OK);
    }
    assert_int_equal(stats_of(the->client).commands, commands);
    EXPECT(redlock_release(outer), REDLOCK_OK);
    expect_free(the->other, name);
}

static void only_the_last_release_of_many_gives_the_lock_back(void **state)
{
    enum { DEPTH = 5 };
    stage *the = *state;
    redlock_lock *entries[DEPTH];
    for (int i = 0; i < DEPTH; i++) entries[i] = take(the->client, name, OWN());
    for (int i = 0; i < DEPTH; i++) {
        assert_int_equal(stage_holders(the, name), 1);
        assert_true(redlock_is_held(entries[i]));
        expect_taken(the->other, name);
        EXPECT(redlock_release(entries[i]), REDLOCK_OK);
    }
    expect_free(the->other, name);
}

/* As the server has it. */
static int64_t lease_ms(stage *the)
{
    redlock_inspection *seen;
    EXPECT(redlock_inspect(the->other, name, 1, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->party_count, 1);
    int64_t lease = seen->parties[0].lease_ms;
    redlock_inspection_free(seen);
    return lease;
}

/* Pitfall 5 */
static void an_inner_ttl_never_shortens_the_lease_nor_adds_to_it(void **state)
{
    stage *the = *state;
    redlock_lock *outer = take(the->client, name, OWN(.ttl_ms = LONG_MS));
    for (int i = 0; i < 3; i++) take(the->client, name, OWN(.ttl_ms = 2000));
    assert_in_range(redlock_remaining_ms(outer), LONG_MS / 2, LONG_MS);
    assert_in_range(lease_ms(the), LONG_MS / 2, LONG_MS);
    for (int i = 0; i < 3; i++) take(the->client, name, OWN(.ttl_ms = LONG_MS));
    assert_in_range(lease_ms(the), LONG_MS / 2, LONG_MS);
    EXPECT(redlock_extend(outer, 2000), REDLOCK_OK);
    assert_in_range(lease_ms(the), LONG_MS / 2, LONG_MS);
    for (int i = 0; i < 7; i++) EXPECT(redlock_release(outer), REDLOCK_OK);
    expect_free(the->other, name);
}

static void a_longer_inner_ttl_extends_the_lease_and_stays(void **state)
{
    stage *the = *state;
    redlock_lock *outer = take(the->client, name, OWN(.ttl_ms = 5000));
    redlock_lock *inner = take(the->client, name, OWN(.ttl_ms = LONG_MS));
    assert_ptr_equal(inner, outer);
    assert_true(redlock_remaining_ms(outer) > LONG_MS / 2);
    EXPECT(redlock_release(inner), REDLOCK_OK);
    assert_true(redlock_remaining_ms(outer) > LONG_MS / 2);
    assert_int_equal(stage_holders(the, name), 1);
    EXPECT(redlock_release(outer), REDLOCK_OK);
}

static void other_names_and_plain_holds_are_no_nested_entries(void **state)
{
    stage *the = *state;
    redlock_lock *own = take(the->client, name, OWN()), *other = take(the->client, "s", OWN());
    assert_true(own != other);
    expect_taken(the->client, name);
    EXPECT(redlock_release(own), REDLOCK_OK);
    redlock_lock *plain = take(the->client, name, NULL);
    EXPECT(attempt(the->client, OWN()), REDLOCK_BUSY);
    EXPECT(redlock_release(plain), REDLOCK_OK);
    EXPECT(redlock_release(other), REDLOCK_OK);
}

/* ---- The other mode inside --------------------------------------------------------------------*/

static void shared_inside_exclusive_stays_exclusive(void **state)
{
    stage *the = *state;
    redlock_lock *outer = take(the->client, name, OWN()),
                 *inner = take(the->client, name, OWN_SHARED());
    assert_ptr_equal(inner, outer);
    assert_int_equal(redlock_lock_mode(inner), REDLOCK_EXCLUSIVE);
    EXPECT(attempt(the->other, OWN_SHARED()), REDLOCK_BUSY);
    EXPECT(redlock_release(inner), REDLOCK_OK);
    EXPECT(redlock_release(outer), REDLOCK_OK);
}

static void exclusive_inside_shared_is_an_upgrade(void **state)
{
    stage *the = *state;
    redlock_lock *outer = take(the->client, name, OWN_SHARED());
    uint64_t fence = redlock_fence(outer);
    redlock_lock *inner = take(the->client, name, OWN(PATIENT));
    assert_ptr_equal(inner, outer);
    assert_int_equal(redlock_lock_mode(outer), REDLOCK_EXCLUSIVE);
    assert_true(redlock_fence(outer) > fence);
    EXPECT(redlock_release(inner), REDLOCK_OK);
    EXPECT(redlock_release(outer), REDLOCK_OK);
    expect_free(the->other, name);
}

/* Pitfall 22 */
static void exclusive_inside_shared_beside_others_is_a_deadlock_at_once(void **state)
{
    stage *the = *state;
    redlock_lock *outer = take(the->client, name, OWN_SHARED()),
                 *beside = take(the->other, name, OWN_SHARED());
    EXPECT(attempt(the->client, OWN(PATIENT)), REDLOCK_DEADLOCK);
    assert_true(redlock_is_held(outer));
    assert_int_equal(redlock_lock_mode(outer), REDLOCK_SHARED);
    EXPECT(redlock_release(outer), REDLOCK_OK);
    assert_int_equal(stage_holders(the, name), 1);
    EXPECT(redlock_release(beside), REDLOCK_OK);
}

/* Pitfall 22 */
static void plain_re_entry_by_the_same_thread_is_a_deadlock_at_once(void **state)
{
    stage *the = *state;
    redlock_lock *outer = take(the->client, name, NULL);
    uint64_t commands = stats_of(the->client).commands;
    EXPECT(attempt(the->client, REDLOCK_OPTIONS(PATIENT, .ttl_ms = LONG_MS)), REDLOCK_DEADLOCK);
    assert_int_equal(stats_of(the->client).commands, commands);
    EXPECT(attempt(the->client, NULL), REDLOCK_BUSY);
    EXPECT(redlock_release(outer), REDLOCK_OK);
    EXPECT(attempt(the->client, REDLOCK_OPTIONS(PATIENT, .ttl_ms = LONG_MS)), REDLOCK_OK);
}

static void a_thread_that_held_a_lost_lock_may_wait_for_it_again(void **state)
{
    stage *the = *state;
    redlock_lock *brief = take(the->client, name, REDLOCK_OPTIONS(.ttl_ms = brief_ms()));
    eventually(is_unheld, brief);
    EXPECT(attempt(the->client, REDLOCK_OPTIONS(.wait_ms = LONG_MS)), REDLOCK_OK);
    EXPECT(redlock_release(brief), REDLOCK_LOST);
}

/* ---- Whose it is ------------------------------------------------------------------------------*/

static void another_thread_is_not_the_owner(void **state)
{
    stage *the = *state;
    redlock_lock *mine = take(the->client, name, OWN());
    expect_taker(taker_start(the, the->client, name, OWN()), REDLOCK_BUSY);
    taker *theirs = queued(the, the->client, 1, OWN(PATIENT));
    EXPECT(redlock_release(mine), REDLOCK_OK);
    expect_taker(theirs, REDLOCK_OK);
    EXPECT(attempt(the->client, OWN()), REDLOCK_BUSY);
    taker_release(theirs);
}

static void another_client_is_not_the_owner_either(void **state)
{
    stage *the = *state;
    redlock_lock *mine = take(the->client, name, OWN());
    EXPECT(attempt(the->other, OWN()), REDLOCK_BUSY);
    EXPECT(redlock_release(mine), REDLOCK_OK);
}

static void an_adopted_hold_belongs_to_the_thread_that_adopted_it(void **state)
{
    stage *the = *state;
    taker *gave = taker_start(the, the->client, name, OWN());
    expect_taker(gave, REDLOCK_OK);
    EXPECT(attempt(the->client, OWN()), REDLOCK_BUSY);
    redlock_adopt(gave->lock);
    redlock_lock *inner = take(the->client, name, OWN());
    assert_ptr_equal(inner, gave->lock);
    EXPECT(redlock_release(inner), REDLOCK_OK);
    expect_taker(taker_start(the, the->client, name, OWN()), REDLOCK_BUSY);
    taker_release(gave);
}

static void an_adopted_plain_hold_is_a_deadlock_for_its_new_thread_only(void **state)
{
    stage *the = *state;
    taker *gave = taker_start(the, the->client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    redlock_lock *kept = take(the->client, "s", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    expect_taker(gave, REDLOCK_OK);
    EXPECT(attempt(the->client, REDLOCK_OPTIONS(.wait_ms = 20)), REDLOCK_TIMED_OUT);
    redlock_adopt(gave->lock);
    EXPECT(attempt(the->client, REDLOCK_OPTIONS(PATIENT)), REDLOCK_DEADLOCK);
    taker_release(gave);
    EXPECT(redlock_release(kept), REDLOCK_OK);
    redlock_adopt(NULL);
}

/* ---- Loss -------------------------------------------------------------------------------------*/

static void a_lost_outer_hold_is_told_to_every_inner_one(void **state)
{
    stage *the = *state;
    redlock_lock *outer = take(the->client, name, OWN(.ttl_ms = brief_ms())),
                 *inner = take(the->client, name, OWN(.ttl_ms = brief_ms() / 2));
    redlock_lock *none;
    eventually(is_unheld, outer);
    EXPECT(redlock_acquire(the->client, name, OWN(), &none), REDLOCK_LOST);
    assert_null(none);
    EXPECT(redlock_release(inner), REDLOCK_LOST);
    EXPECT(redlock_acquire(the->client, name, OWN(), &none), REDLOCK_LOST);
    EXPECT(redlock_release(outer), REDLOCK_LOST);
    EXPECT(attempt(the->client, OWN(PATIENT)), REDLOCK_OK);
}

static void a_hold_that_was_taken_away_is_found_out_by_an_entry_that_extends(void **state)
{
    stage *the = *state;
    redlock_lock *outer = take(the->client, name, OWN(.ttl_ms = 5000)), *none;
    server_number(the->server, "DEL redlock:{r}");
    redlock_lock *next = take(the->other, name, NULL);
    EXPECT(redlock_acquire(the->client, name, OWN(.ttl_ms = LONG_MS), &none), REDLOCK_LOST);
    assert_null(none);
    assert_false(redlock_is_held(outer));
    EXPECT(redlock_release(outer), REDLOCK_LOST);
    assert_true(redlock_is_held(next));
    EXPECT(redlock_release(next), REDLOCK_OK);
}

typedef struct loss {
    _Atomic int told;
    redlock_status release;
    redlock_client *client;
} loss;

static void note_loss(void *arg, redlock_lock *lock)
{
    loss *self = arg;
    redlock_lock *none;
    self->release = redlock_acquire(self->client, redlock_name(lock, NULL), OWN(), &none);
    atomic_fetch_add(&self->told, 1);
}

static bool was_told(void *arg) { return atomic_load(&((loss *)arg)->told) > 0; }

static void a_loss_is_told_once_however_deep_the_hold(void **state)
{
    stage *the = *state;
    loss seen = {.client = the->client};
    redlock_lock *outer = take(the->client, name,
                               OWN(.ttl_ms = patience_outlasting_ms(300), .auto_renew = true,
                                   .on_lost = note_loss, .on_lost_arg = &seen));
    redlock_lock *inner = take(the->client, name, OWN());
    server_number(the->server, "DEL redlock:{r}");
    eventually(was_told, &seen);
    EXPECT(seen.release, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(redlock_release(inner), REDLOCK_LOST);
    EXPECT(redlock_release(outer), REDLOCK_LOST);
    assert_int_equal(seen.told, 1);
    assert_int_equal(stats_of(the->client).lost, 1);
}

/* ---- Limits -----------------------------------------------------------------------------------*/

static void enter_in_vain(redlock_client *client, const redlock_options *options)
{
    EXPECT(attempt(client, options), REDLOCK_ERR_TIMEOUT);
}

static int64_t hasty_ms(void) { return patience_outlasting_ms(150); }

/* On a server that is frozen from here on. */
static redlock_lock *held_by_the_hasty(stage *the, redlock_client **hasty, int64_t ttl_ms)
{
    *hasty = stage_open(the, server_uri(the->server),
                        REDLOCK_CLIENT_OPTIONS(.timeout_ms = hasty_ms(), LOGGED(the)));
    redlock_lock *outer = take(*hasty, name, OWN_SHARED(.ttl_ms = ttl_ms));
    server_freeze(the->server);
    return outer;
}

static void an_entry_that_upgrades_or_extends_ends_by_its_wait_or_by_the_timeout(void **state)
{
    stage *the = *state;
    redlock_client *hasty;
    redlock_lock *outer = held_by_the_hasty(the, &hasty, 30000);
    int64_t timeout_ms = hasty_ms(), wait_ms = 2 * timeout_ms;
    PUNCTUAL(wait_ms * 1000,
             enter_in_vain(hasty, OWN_SHARED(.ttl_ms = LONG_MS, .wait_ms = wait_ms)));
    PUNCTUAL(timeout_ms * 1000, enter_in_vain(hasty, OWN_SHARED(.ttl_ms = LONG_MS, .wait_ms = 50)));
    PUNCTUAL(wait_ms * 1000, enter_in_vain(hasty, OWN(.ttl_ms = LONG_MS, .wait_ms = wait_ms)));
    PUNCTUAL(timeout_ms * 1000, enter_in_vain(hasty, OWN(.ttl_ms = LONG_MS)));
    server_thaw(the->server);
    EXPECT(redlock_release(outer), REDLOCK_OK);
}

/* Over a link on which each of the two takes most of the time: there is enough for the upgrade
 * only. */
static void an_upgrade_and_an_extension_share_one_timeout(void **state)
{
    stage *the = *state;
    int64_t timeout_ms = patience_outlasting_ms(100);
    redlock_client *hasty =
        stage_open(the, proxy_uri(the->proxy),
                   REDLOCK_CLIENT_OPTIONS(.timeout_ms = timeout_ms, .spin_us = -1, LOGGED(the)));
    redlock_lock *outer = take(hasty, name, OWN_SHARED(.ttl_ms = 30000));
    proxy_slow(the->proxy, 16384, (int)timeout_ms * 750);
    PUNCTUAL(timeout_ms * 1000, enter_in_vain(hasty, OWN(.ttl_ms = 2 * LONG_MS)));
    proxy_slow(the->proxy, 0, 0);
    EXPECT(redlock_release(outer), REDLOCK_OK);
}

static void an_entry_for_ever_ends_with_the_lease_or_the_canceller(void **state)
{
    stage *the = *state;
    redlock_client *hasty;
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    redlock_lock *outer = held_by_the_hasty(the, &hasty, patience_outlasting_ms(500));
    redlock_cancel(canceller);
    const redlock_options *cancelled =
        OWN_SHARED(PATIENT, .ttl_ms = LONG_MS, .canceller = canceller);
    EXPECT(attempt(hasty, cancelled), REDLOCK_CANCELLED);
    assert_true(redlock_is_held(outer));
    EXPECT(attempt(hasty, OWN_SHARED(PATIENT, .ttl_ms = LONG_MS)), REDLOCK_LOST);
    server_thaw(the->server);
    EXPECT(redlock_release(outer), REDLOCK_LOST);
    redlock_canceller_close(canceller);
}

/* ---- Many threads -----------------------------------------------------------------------------*/

enum { THREADS = 8, NAMES = 3, ROUNDS = 60 };

typedef struct crowd {
    redlock_client *client;
    _Atomic int inside[NAMES];
    _Atomic int wrong;
} crowd;

static void nest(crowd *self, int which, int depth)
{
    static const char *const names[NAMES] = {"a", "b", "c"};
    redlock_lock *lock;
    redlock_status status =
        redlock_acquire(self->client, names[which], OWN(PATIENT, .ttl_ms = 30000), &lock);
    if (status != REDLOCK_OK) {
        self->wrong++;
        return;
    }
    if (++self->inside[which] != depth + 1) self->wrong++; /* mine alone, however deep */
    if (depth < 3) nest(self, which, depth + 1);
    self->inside[which]--;
    if (redlock_release(lock) != REDLOCK_OK) self->wrong++;
}

static void *hammer(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) nest(arg, i % NAMES, 0);
    return NULL;
}

static void many_threads_of_one_client_nest_and_exclude_each_other(void **state)
{
    stage *the = *state;
    pthread_t threads[THREADS];
    crowd all = {.client = the->client};
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &all), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(all.wrong, 0);
    assert_int_equal(stats_of(the->client).acquired, THREADS * ROUNDS);
    assert_int_equal(stats_of(the->client).released, THREADS * ROUNDS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_nested_acquire_and_release_send_nothing),
        ON_STAGE(only_the_last_release_of_many_gives_the_lock_back),
        ON_STAGE(an_inner_ttl_never_shortens_the_lease_nor_adds_to_it),
        ON_STAGE(a_longer_inner_ttl_extends_the_lease_and_stays),
        ON_STAGE(other_names_and_plain_holds_are_no_nested_entries),
        ON_STAGE(shared_inside_exclusive_stays_exclusive),
        ON_STAGE(exclusive_inside_shared_is_an_upgrade),
        ON_STAGE(exclusive_inside_shared_beside_others_is_a_deadlock_at_once),
        ON_STAGE(plain_re_entry_by_the_same_thread_is_a_deadlock_at_once),
        ON_STAGE(a_thread_that_held_a_lost_lock_may_wait_for_it_again),
        ON_STAGE(another_thread_is_not_the_owner),
        ON_STAGE(another_client_is_not_the_owner_either),
        ON_STAGE(an_adopted_hold_belongs_to_the_thread_that_adopted_it),
        ON_STAGE(an_adopted_plain_hold_is_a_deadlock_for_its_new_thread_only),
        ON_STAGE(a_lost_outer_hold_is_told_to_every_inner_one),
        ON_STAGE(a_hold_that_was_taken_away_is_found_out_by_an_entry_that_extends),
        ON_STAGE(a_loss_is_told_once_however_deep_the_hold),
        ON_STAGE(an_entry_that_upgrades_or_extends_ends_by_its_wait_or_by_the_timeout),
        ON_STAGE(an_upgrade_and_an_extension_share_one_timeout),
        ON_STAGE(an_entry_for_ever_ends_with_the_lease_or_the_canceller),
        ON_STAGE(many_threads_of_one_client_nest_and_exclude_each_other),
    };
    ACTOR_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
