/* SPDX-License-Identifier: MIT
 * The early warning: on_risk is told once while renewals fail, early enough to do something about
 * it, and never of what is not at risk. */
#include "live/modes_stage.h"

enum { TTL_MS = 900, RENEWALS = 3 };

/* What one user hears of one lock. */
typedef struct ear {
    redlock_lock *lock;
    stall began; /* since the lock was taken, or the server froze */
    _Atomic int risks, losses;
    _Atomic int64_t left_ms, remaining_ms, told_us; /* of the latest risk */
    _Atomic bool was_held, was_lost_first;
    _Atomic bool may_return; /* a slow one lingers until then */
    _Atomic bool has_returned;
    _Atomic int status; /* of what it did in there */
    int risks_first;    /* before it was handed out */
} ear;

static int64_t ttl_ms(void) { return patience_outlasting_ms(TTL_MS); }

static void hears_risk(void *arg, redlock_lock *lock, int64_t left_ms)
{
    ear *self = arg;
    atomic_store(&self->left_ms, left_ms);
    atomic_store(&self->remaining_ms, redlock_remaining_ms(lock));
    atomic_store(&self->was_held, redlock_is_held(lock));
    atomic_store(&self->was_lost_first, atomic_load(&self->losses) > 0);
    atomic_store(&self->told_us, now_us());
    atomic_fetch_add(&self->risks, 1);
}

static void hears_loss(void *arg, redlock_lock *lock)
{
    (void)lock;
    atomic_fetch_add(&((ear *)arg)->losses, 1);
}

#define HEARD(self, risk, ...)                                                                     \
    REDLOCK_OPTIONS(.on_lost = hears_loss, .on_lost_arg = (self), .on_risk = (risk),               \
                    .on_risk_arg = (self), __VA_ARGS__)

static bool is_at_risk(void *arg) { return atomic_load(&((ear *)arg)->risks) > 0; }
static bool is_at_risk_again(void *arg) { return atomic_load(&((ear *)arg)->risks) > 1; }
static bool is_lost(void *arg) { return atomic_load(&((ear *)arg)->losses) > 0; }

static ear listening(void) { return (ear){.began = stall_begin()}; }

static void expect_heard(const ear *self, int risks, int losses)
{
    assert_int_equal(atomic_load(&self->risks), risks);
    assert_int_equal(atomic_load(&self->losses), losses);
}

/* A renewed lock, which no renewal reaches from then on, until that is so. */
static redlock_lock *take_and_freeze(stage *the, ear *self, redlock_risk_fn *risk, int64_t ttl,
                                     bool (*is_so)(void *self))
{
    redlock_lock *lock =
        take(the->client, "r", HEARD(self, risk, .ttl_ms = ttl, .auto_renew = true));
    server_freeze(the->server);
    eventually(is_so, self);
    return lock;
}

/* ---- When it is told --------------------------------------------------------------------------*/

static void a_lock_that_is_not_renewed_is_at_risk_once_and_then_lost(void **state)
{
    stage *the = *state;
    ear seen = listening();
    redlock_lock *lock = take_and_freeze(the, &seen, hears_risk, ttl_ms(), is_lost);
    server_thaw(the->server);
    expect_heard(&seen, 1, 1);
    assert_true(atomic_load(&seen.was_held));
    assert_false(atomic_load(&seen.was_lost_first));
    assert_in_range(atomic_load(&seen.left_ms), 1, ttl_ms() * 3 / 8);
    assert_in_range(atomic_load(&seen.remaining_ms), 0, atomic_load(&seen.left_ms));
    TOOK(&seen.began, atomic_load(&seen.told_us) - seen.began.began_us, ttl_ms() * 600,
         ttl_ms() * 700);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    expect_heard(&seen, 1, 1);
}

static void a_renewal_ends_the_risk_and_the_next_one_is_told_again(void **state)
{
    stage *the = *state;
    ear seen = listening();
    int64_t long_ms = 3 * ttl_ms();
    redlock_lock *lock = take_and_freeze(the, &seen, hears_risk, long_ms, is_at_risk);
    renewals next = {the->client, stats_of(the->client).renewed + RENEWALS};
    server_thaw(the->server);
    eventually(renewals_were_made, &next);
    expect_heard(&seen, 1, 0);
    assert_true(redlock_remaining_ms(lock) > atomic_load(&seen.left_ms));
    server_freeze(the->server);
    eventually(is_at_risk_again, &seen);
    server_thaw(the->server);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_heard(&seen, 2, 0);
}

static void what_is_renewed_in_time_is_never_at_risk(void **state)
{
    stage *the = *state;
    ear seen = listening();
    redlock_lock *lock =
        take(the->client, "r", HEARD(&seen, hears_risk, .ttl_ms = ttl_ms(), .auto_renew = true));
    renewals all = {the->client, 2 * RENEWALS};
    eventually(renewals_were_made, &all);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_heard(&seen, 0, 0);
}

static void what_is_not_to_be_renewed_is_lost_without_a_warning(void **state)
{
    stage *the = *state;
    ear once = listening(), longest = listening();
    redlock_lock *short_one =
        take(the->client, "r", HEARD(&once, hears_risk, .ttl_ms = ttl_ms() / 3));
    redlock_lock *long_one = take(the->client, "s",
                                  HEARD(&longest, hears_risk, .ttl_ms = ttl_ms(),
                                        .auto_renew = true, .max_hold_ms = ttl_ms() * 3 / 2));
    eventually(is_lost, &once);
    eventually(is_lost, &longest);
    expect_heard(&once, 0, 1);
    expect_heard(&longest, 0, 1);
    EXPECT(redlock_release(short_one), REDLOCK_LOST);
    EXPECT(redlock_release(long_one), REDLOCK_LOST);
}

/* Its first renewal would make it whole. */
static void a_claim_is_at_risk_without_auto_renew(void **state)
{
    stage *the = *state;
    ear seen = listening();
    redlock_lock *lock = take(the->other, "r", EXCLUSIVE());
    taker *next =
        queued(the, the->client, 1,
               HEARD(&seen, hears_risk, .ttl_ms = LONG_MS, .claim_ms = ttl_ms(), .wait_ms = -1));
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_taker(next, REDLOCK_OK);
    server_freeze(the->server);
    eventually(is_at_risk, &seen);
    server_thaw(the->server);
    assert_in_range(atomic_load(&seen.left_ms), 1, ttl_ms() / 2);
    expect_heard(&seen, 1, 0);
}

static void a_lock_that_was_released_is_not_at_risk(void **state)
{
    stage *the = *state;
    ear released = listening(), kept = listening();
    redlock_lock *lock = take(the->client, "r",
                              HEARD(&released, hears_risk, .ttl_ms = ttl_ms(), .auto_renew = true));
    redlock_lock *other =
        take(the->client, "s",
             HEARD(&kept, hears_risk, .ttl_ms = ttl_ms() + ttl_ms() / 3, .auto_renew = true));
    server_freeze(the->server);
    EXPECT(redlock_release_async(lock, NULL, NULL), REDLOCK_OK);
    eventually(is_at_risk, &kept);
    server_thaw(the->server);
    (void)redlock_release(other); /* in time or not */
    expect_heard(&released, 0, 0);
}

static void each_lock_of_a_set_is_told(void **state)
{
    static const redlock_name_bytes names[] = {{"a", 1}, {"b", 1}};
    stage *the = *state;
    ear seen = listening();
    redlock_set *set;
    EXPECT(redlock_acquire_set(the->client, names, 2,
                               HEARD(&seen, hears_risk, .ttl_ms = ttl_ms(), .auto_renew = true),
                               &set),
           REDLOCK_OK);
    server_freeze(the->server);
    eventually(is_at_risk_again, &seen);
    server_thaw(the->server);
    (void)redlock_release_set(set); /* in time or not */
    assert_int_equal(atomic_load(&seen.risks), 2);
}

static void has_it(void *arg, redlock_status status, redlock_lock *lock)
{
    ear *self = arg;
    atomic_store(&self->status, (int)status);
    self->risks_first = atomic_load(&self->risks);
    self->lock = lock;
}

static bool has_been_acquired(void *client) { return stats_of(client).acquired == 1; }

/* The keeper has looked at the clock since: it has told another lock that it is at risk. */
static void nobody_hears_of_it_before_the_lock_is_handed_out(void **state)
{
    stage *the = *state;
    ear seen = listening(), beside = listening();
    redlock_client *client = stage_open(the, server_uri(the->server),
                                        REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_DELIVER));
    EXPECT(redlock_acquire_async(
               client, "r", 1, HEARD(&seen, hears_risk, .ttl_ms = 3 * ttl_ms(), .auto_renew = true),
               has_it, &seen, NULL),
           REDLOCK_OK);
    eventually(has_been_acquired, client);
    redlock_lock *other =
        take(client, "s", HEARD(&beside, hears_risk, .ttl_ms = 3 * ttl_ms(), .auto_renew = true));
    server_freeze(the->server);
    eventually(is_at_risk, &beside);
    expect_heard(&seen, 0, 0);
    EXPECT(redlock_process(client), REDLOCK_OK);
    assert_int_equal(atomic_load(&seen.status), REDLOCK_OK);
    assert_int_equal(seen.risks_first, 0);
    eventually(is_at_risk, &seen);
    server_thaw(the->server);
    EXPECT(redlock_release(seen.lock), REDLOCK_OK);
    EXPECT(redlock_release(other), REDLOCK_OK);
}

/* ---- What goes on while it runs ---------------------------------------------------------------*/

static void lingers(void *arg, redlock_lock *lock, int64_t left_ms)
{
    ear *self = arg;
    hears_risk(arg, lock, left_ms);
    for (patience left = patience_begin();
         !atomic_load(&self->may_return) && !patience_is_over(&left);)
        patience_pause();
    for (int i = 0; i < 20; i++) patience_pause();
    atomic_store(&self->has_returned, true);
}

static void a_release_waits_for_an_on_risk_that_runs(void **state)
{
    stage *the = *state;
    ear seen = listening();
    redlock_lock *lock = take_and_freeze(the, &seen, lingers, ttl_ms(), is_at_risk);
    server_thaw(the->server);
    atomic_store(&seen.may_return, true);
    redlock_release(lock); /* in time or not */
    assert_true(atomic_load(&seen.has_returned));
    assert_int_equal(atomic_load(&seen.losses), 0);
}

static void a_loss_is_told_behind_an_on_risk_that_outlasts_the_lease(void **state)
{
    stage *the = *state;
    ear seen = listening();
    redlock_lock *lock = take_and_freeze(the, &seen, lingers, ttl_ms(), is_at_risk);
    eventually(is_unheld, lock);
    expect_heard(&seen, 1, 0);
    atomic_store(&seen.may_return, true);
    eventually(is_lost, &seen);
    server_thaw(the->server);
    assert_true(atomic_load(&seen.has_returned));
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    expect_heard(&seen, 1, 1);
}

static void is_extended(void *arg, redlock_status status)
{
    atomic_store(&((ear *)arg)->status, (int)status);
}

static void extends(void *arg, redlock_lock *lock, int64_t left_ms)
{
    ear *self = arg;
    redlock_status refused = redlock_extend(lock, LONG_MS);
    if (refused != REDLOCK_ERR_IN_CALLBACK) atomic_store(&self->status, (int)refused);
    else if (redlock_extend_async(lock, LONG_MS, is_extended, self) != REDLOCK_OK)
        atomic_store(&self->status, REDLOCK_ERR_SYSTEM);
    hears_risk(arg, lock, left_ms);
}

static bool is_longer(void *lock) { return redlock_remaining_ms(lock) > LONG_MS / 2; }

static void inside_it_a_lock_may_be_extended_asynchronously(void **state)
{
    stage *the = *state;
    ear seen = listening();
    redlock_lock *lock = take_and_freeze(the, &seen, extends, 3 * ttl_ms(), is_at_risk);
    server_thaw(the->server);
    eventually(is_longer, lock);
    assert_int_equal(atomic_load(&seen.status), REDLOCK_OK);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_heard(&seen, 1, 0);
}

/* ---- Hosts ------------------------------------------------------------------------------------*/

/* A MANUAL client hears inside redlock_process only; and nothing of a risk where it came too
 * late. */
static void a_manual_client_hears_of_it_inside_process_only(void **state)
{
    stage *the = *state;
    ear seen = listening(), late = listening();
    redlock_client *client = stage_open(the, server_uri(the->server),
                                        REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL));
    redlock_lock *lock =
        take(client, "r", HEARD(&seen, hears_risk, .ttl_ms = 3 * ttl_ms(), .auto_renew = true));
    redlock_lock *brief =
        take(client, "s", HEARD(&late, hears_risk, .ttl_ms = ttl_ms() / 3, .auto_renew = true));
    server_freeze(the->server);
    while (redlock_remaining_ms(lock) > ttl_ms() * 4 / 5) patience_pause();
    expect_heard(&seen, 0, 0);
    EXPECT(redlock_process(client), REDLOCK_OK);
    server_thaw(the->server);
    expect_heard(&seen, 1, 0);
    expect_heard(&late, 0, 1);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    EXPECT(redlock_release(brief), REDLOCK_LOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_lock_that_is_not_renewed_is_at_risk_once_and_then_lost),
        ON_STAGE(a_renewal_ends_the_risk_and_the_next_one_is_told_again),
        ON_STAGE(what_is_renewed_in_time_is_never_at_risk),
        ON_STAGE(what_is_not_to_be_renewed_is_lost_without_a_warning),
        ON_STAGE(a_claim_is_at_risk_without_auto_renew),
        ON_STAGE(a_lock_that_was_released_is_not_at_risk),
        ON_STAGE(each_lock_of_a_set_is_told),
        ON_STAGE(nobody_hears_of_it_before_the_lock_is_handed_out),
        ON_STAGE(a_release_waits_for_an_on_risk_that_runs),
        ON_STAGE(a_loss_is_told_behind_an_on_risk_that_outlasts_the_lease),
        ON_STAGE(inside_it_a_lock_may_be_extended_asynchronously),
        ON_STAGE(a_manual_client_hears_of_it_inside_process_only),
    };
    return cmocka_run_group_tests_name("live risk", tests, NULL, NULL);
}
