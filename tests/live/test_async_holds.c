/* SPDX-License-Identifier: MIT
 * What becomes of holds that are taken asynchronously: lost, extended, entered again, given back;
 * and of operations whose answer is lost or whose memory is refused. */
#include "live/async_stage.h"

/* ---- Holds ------------------------------------------------------------------------------------*/

typedef struct watcher {
    loop *on;
    deed *release;
    pid_t thread;
    _Atomic int told;
} watcher;

static void release_inside(void *arg, redlock_lock *lock)
{
    watcher *self = arg;
    self->thread = thread_id();
    deed_release(self->release, lock);
    atomic_fetch_add(&self->told, 1);
}

static void a_lost_lock_is_released_inside_on_lost(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on), *given = deed_new(on);
    watcher seen = {.on = on, .release = given};
    deed_acquire(taken, "r",
                 REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(300), .auto_renew = true,
                                 .on_lost = release_inside, .on_lost_arg = &seen));
    COMPLETES(taken, REDLOCK_OK);
    server_number(the->stage->server, "DEL redlock:{r}");
    COMPLETES(given, REDLOCK_LOST);
    assert_int_equal(seen.told, 1);
    assert_true((seen.thread == on->thread) == (on->host == REDLOCK_HOST_MANUAL));
    expect_free(the->stage->other, "r");
}

static void a_deleted_lock_is_neither_extended_nor_released(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on), *longer = deed_new(on), *given = deed_new(on);
    deed_acquire(taken, "r", NULL);
    COMPLETES(taken, REDLOCK_OK);
    EXPECT(redlock_extend_async(taken->lock, 0, deed_done, longer), REDLOCK_ERR_TTL);
    server_number(the->stage->server, "DEL redlock:{r}");
    deed_extend(longer, taken->lock, 60000);
    COMPLETES(longer, REDLOCK_LOST);
    assert_false(redlock_is_held(taken->lock));
    deed_release(given, taken->lock);
    COMPLETES(given, REDLOCK_LOST);
}

/* The holder that it asks for is one that the server does not have any more, and the lock is held
 * all the same. */
static void an_extension_that_a_conversion_overtook_loses_nothing(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on), *longer = deed_new(on), *again = deed_new(on),
         *given = deed_new(on);
    deed_acquire(taken, "r", REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .ttl_ms = LONG_MS));
    COMPLETES(taken, REDLOCK_OK);
    deed_extend(longer, taken->lock, 2 * LONG_MS); /* which waits for the loop to turn */
    EXPECT(redlock_upgrade(taken->lock), REDLOCK_OK);
    COMPLETES(longer, REDLOCK_OK);
    assert_true(redlock_is_held(taken->lock));
    deed_extend(again, taken->lock, 2 * LONG_MS);
    COMPLETES(again, REDLOCK_OK);
    deed_release(given, taken->lock);
    COMPLETES(given, REDLOCK_OK);
}

/* The holder's own and each answer's arrival keep apart what is renewed and what is released at the
 * same time. */
static void an_extension_that_is_under_way_survives_the_release(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    for (int i = 0; i < 40; i++) {
        deed *taken = deed_new(on), *longer = deed_new(on), *given = deed_new(on);
        deed_acquire(taken, "r", NULL);
        COMPLETES(taken, REDLOCK_OK);
        if (i % 2) server_number(the->stage->server, "SCRIPT FLUSH");
        deed_extend(longer, taken->lock, 60000);
        if (i % 4 < 2) deed_release(given, taken->lock);
        else EXPECT(redlock_release(taken->lock), REDLOCK_OK);
        loop_until(on, deed_is_done, longer);
        if (i % 4 < 2) COMPLETES(given, REDLOCK_OK);
    }
}

/* The loop turns again when the lease is over, and finds the answer. */
static void an_extension_that_is_answered_late_brings_no_belief_back(void **state)
{
    async_stage *the = *state;
    const char *by_proxy = proxy_uri(the->stage->proxy);
    loop *on = async_open(the, by_proxy, REDLOCK_CLIENT_OPTIONS(COUNTED_BY(&the->account)));
    redlock_client *beside = stage_open(the->stage, by_proxy, NULL);
    deed *taken = deed_new(on), *longer = deed_new(on);
    teach(the->stage, SCRIPT_RENEW);
    deed_acquire(taken, "r", REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(300)));
    COMPLETES(taken, REDLOCK_OK);
    proxy_hold(the->stage->proxy, true);
    long long before = server_calls(the->stage->server, "evalsha");
    deed_extend(longer, taken->lock, LONG_MS);
    loop_until(on, has_served_one_more, (&(call_count){the->stage->server, before}));
    eventually(is_unheld, taken->lock);
    proxy_hold(the->stage->proxy, false);
    EXPECT(redlock_release(take(beside, "s", NULL)), REDLOCK_OK); /* all answers have passed */
    COMPLETES(longer, REDLOCK_LOST);
    assert_false(redlock_is_held(taken->lock));
    deed *given = deed_new(on);
    deed_release(given, taken->lock);
    COMPLETES(given, REDLOCK_LOST);
}

#define MINE(...) REDLOCK_OPTIONS(.reentrant = true, .owner = "job/7", __VA_ARGS__)

static void a_hold_is_entered_again(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deeds entries = deeds_new(on, 3);
    deed_acquire(&entries.first[0], "r", MINE(.ttl_ms = 20000));
    COMPLETES(&entries.first[0], REDLOCK_OK);
    uint64_t commands = stats_of(on->client).commands;
    deed_acquire(&entries.first[1], "r", MINE(.ttl_ms = 20000));
    COMPLETES(&entries.first[1], REDLOCK_OK);
    assert_int_equal(stats_of(on->client).commands, commands);
    deed_acquire(&entries.first[2], "r", MINE(.ttl_ms = 60000)); /* extends */
    COMPLETES(&entries.first[2], REDLOCK_OK);
    assert_in_range(redlock_remaining_ms(entries.first[0].lock), 50000, 60000);
    assert_ptr_equal(entries.first[0].lock, entries.first[1].lock);
    assert_ptr_equal(entries.first[0].lock, entries.first[2].lock);
    for (int i = 0; i < 3; i++) {
        expect_taken(the->stage->other, "r");
        deed *given = deed_new(on);
        deed_release(given, entries.first[0].lock);
        COMPLETES(given, REDLOCK_OK);
    }
    expect_free(the->stage->other, "r");
}

static void a_shared_hold_is_upgraded_by_entering_it_exclusively(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *reads = deed_new(on), *in_vain = deed_new(on), *writes = deed_new(on);
    deed_acquire(reads, "r", MINE(.mode = REDLOCK_SHARED));
    COMPLETES(reads, REDLOCK_OK);
    redlock_lock *other = take(the->stage->other, "r", REDLOCK_OPTIONS(.mode = REDLOCK_SHARED));
    deed_acquire(in_vain, "r", MINE(.wait_ms = 5000));
    COMPLETES(in_vain, REDLOCK_DEADLOCK);
    EXPECT(redlock_release(other), REDLOCK_OK);
    deed_acquire(writes, "r", MINE(.wait_ms = 5000));
    COMPLETES(writes, REDLOCK_OK);
    assert_int_equal(redlock_lock_mode(writes->lock), REDLOCK_EXCLUSIVE);
    deed_release(deed_new(on), writes->lock);
    deed *given = deed_new(on);
    deed_release(given, reads->lock);
    COMPLETES(given, REDLOCK_OK);
    expect_free(the->stage->other, "r");
}

/* The server upgraded, and the answer was lost. */
static void an_upgrade_that_nobody_heard_of_is_released(void **state)
{
    async_stage *the = *state;
    proxy *wire = the->stage->proxy;
    loop *on = async_open(the, proxy_uri(wire),
                          REDLOCK_CLIENT_OPTIONS(.timeout_ms = patience_outlasting_ms(300)));
    deed *writes = deed_new(on), *given = deed_new(on);
    static const char *const names[] = {"s", "r"}; /* the first one makes the script known */
    deed *reads[2] = {deed_new(on), deed_new(on)}, *first = deed_new(on);
    for (int i = 0; i < 2; i++) {
        deed_acquire(reads[i], names[i], MINE(.mode = REDLOCK_SHARED, .ttl_ms = 60000));
        COMPLETES(reads[i], REDLOCK_OK);
    }
    deed_acquire(first, "s", MINE());
    COMPLETES(first, REDLOCK_OK);
    proxy_hold(wire, true);
    deed_acquire(writes, "r", MINE());
    COMPLETES(writes, REDLOCK_ERR_TIMEOUT);
    proxy_hold(wire, false);
    deed_release(given, reads[1]->lock);
    loop_until(on, deed_is_done, given);
    loop_until(on, has_holders, (&(expected){the->stage, "r", 0}));
    for (int entries = 0; entries < 2; entries++) {
        deed *left = deed_new(on);
        deed_release(left, reads[0]->lock);
        COMPLETES(left, REDLOCK_OK);
    }
}

static void a_lost_hold_is_not_entered_again(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *first = deed_new(on), *again = deed_new(on), *given = deed_new(on);
    deed_acquire(first, "r", MINE(.ttl_ms = brief_ms()));
    COMPLETES(first, REDLOCK_OK);
    loop_until(on, is_unheld, first->lock);
    deed_acquire(again, "r", MINE(.ttl_ms = brief_ms()));
    COMPLETES(again, REDLOCK_LOST);
    deed_release(given, first->lock);
    COMPLETES(given, REDLOCK_LOST);
}

/* The outer hold is given back while an entry that will fail is under way: that entry is the last
 * one then. */
static void an_entry_that_fails_last_gives_the_lock_back(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *reads = deed_new(on), *upgrades = deed_new(on), *given = deed_new(on);
    redlock_lock *other = take(the->stage->other, "r", REDLOCK_OPTIONS(.mode = REDLOCK_SHARED));
    deed_acquire(reads, "r", MINE(.mode = REDLOCK_SHARED, .auto_renew = true));
    COMPLETES(reads, REDLOCK_OK);
    deed_acquire(upgrades, "r", MINE(.wait_ms = 5000));
    deed_release(given, reads->lock);
    COMPLETES(upgrades, REDLOCK_DEADLOCK);
    COMPLETES(given, REDLOCK_OK);
    EXPECT(redlock_release(other), REDLOCK_OK);
    loop_until(on, has_holders, (&(expected){the->stage, "r", 0}));
}

/* ---- Answers that are lost --------------------------------------------------------------------*/

static void a_lost_reply_is_asked_for_again(void **state)
{
    async_stage *the = *state;
    loop *on =
        async_open(the, proxy_uri(the->stage->proxy), REDLOCK_CLIENT_OPTIONS(.timeout_ms = 5000));
    deed *warm = deed_new(on), *taken = deed_new(on), *longer = deed_new(on), *given = deed_new(on);
    deed_acquire(warm, "s", NULL);
    COMPLETES(warm, REDLOCK_OK);
    proxy_drop_reply_to(the->stage->proxy, "{r}");
    deed_acquire(taken, "r", NULL);
    COMPLETES(taken, REDLOCK_OK);
    assert_true(proxy_has_dropped(the->stage->proxy));
    proxy_drop_reply_to(the->stage->proxy, "{r}");
    deed_extend(longer, taken->lock, 60000);
    COMPLETES(longer, REDLOCK_OK);
    proxy_drop_reply_to(the->stage->proxy, "{r}");
    deed_release(given, taken->lock);
    COMPLETES(given, REDLOCK_OK);
    assert_true(proxy_has_dropped(the->stage->proxy));
    assert_int_equal(stage_holders(the->stage, "r"), 0);
    deed_release(deed_new(on), warm->lock);
}

/* ---- Out of memory ----------------------------------------------------------------------------*/

typedef redlock_status short_step(loop *on, deed *what, deed *held);

static redlock_status acquires_short(loop *on, deed *what, deed *held)
{
    (void)on, (void)held;
    return deed_submit(what, "r", REDLOCK_OPTIONS(.auto_renew = true));
}

static redlock_status queues_short(loop *on, deed *what, deed *held)
{
    (void)on, (void)held;
    return deed_submit(what, "busy", REDLOCK_OPTIONS(.wait_ms = 200));
}

static redlock_status extends_short(loop *on, deed *what, deed *held)
{
    (void)on;
    return redlock_extend_async(held->lock, 60000, deed_done, what);
}

static redlock_status releases_short(loop *on, deed *what, deed *held)
{
    (void)on;
    redlock_status status = redlock_release_async(held->lock, deed_done, what);
    if (status != REDLOCK_ERR_MEMORY) held->lock = NULL;
    return status;
}

/* True when nothing was refused: all allocations of the step are behind us. */
static bool run_short(async_stage *the, short_step *step, long n)
{
    loop *on = async_open(the, server_uri(the->stage->server),
                          REDLOCK_CLIENT_OPTIONS(.timeout_ms = 1000, COUNTED_BY(&the->account)));
    deed *held = deed_new(on), *what = deed_new(on);
    if (step == extends_short || step == releases_short) {
        deed_acquire(held, "held", NULL);
        COMPLETES(held, REDLOCK_OK);
    }
    atomic_store(&the->account.has_refused, false);
    atomic_store(&the->account.until, n);
    redlock_status status = step(on, what, held);
    if (status == REDLOCK_OK) loop_until(on, deed_is_done, what);
    else assert_int_equal(what->completions, 0);
    atomic_store(&the->account.until, 0);
    bool has_refused = atomic_load(&the->account.has_refused);
    redlock_status outcome = status == REDLOCK_OK ? what->status : status;
    redlock_status good = step == queues_short ? REDLOCK_TIMED_OUT : REDLOCK_OK;
    if (outcome != good && !(has_refused && outcome == REDLOCK_ERR_MEMORY))
        fail_msg("allocation %ld: %s", n, redlock_status_name(outcome));
    if (what->lock != NULL && step == acquires_short) deed_release(deed_new(on), what->lock);
    if (held->lock != NULL) deed_release(deed_new(on), held->lock);
    loop_until(on, has_holders, (&(expected){the->stage, "r", 0}));
    loop_until(on, has_holders, (&(expected){the->stage, "held", 0}));
    loop_until(on, has_waiters, (&(expected){the->stage, "busy", 0}));
    async_close(the);
    assert_true(is_all_given_back(&the->account));
    return !has_refused;
}

static void survives(async_stage *the, short_step *step)
{
    redlock_lock *busy = take(the->stage->other, "busy", NULL);
    for (int from_then_on = 0; from_then_on <= 1; from_then_on++) {
        the->account.from_then_on = from_then_on;
        long n = 1;
        while (!run_short(the, step, n)) assert_true(++n < 60);
    }
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

static void acquire_survives_a_lack_of_memory(void **state) { survives(*state, acquires_short); }
static void a_wait_survives_a_lack_of_memory(void **state) { survives(*state, queues_short); }
static void extend_survives_a_lack_of_memory(void **state) { survives(*state, extends_short); }
static void release_survives_a_lack_of_memory(void **state) { survives(*state, releases_short); }

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        ON_EVERY_HOST(a_lost_lock_is_released_inside_on_lost),
        ON_EVERY_HOST(a_deleted_lock_is_neither_extended_nor_released),
        ON_EVERY_HOST(an_extension_that_is_under_way_survives_the_release),
        ON_EVERY_HOST(a_hold_is_entered_again),
        ON_EVERY_HOST(a_shared_hold_is_upgraded_by_entering_it_exclusively),
        ON_HOST(an_extension_that_a_conversion_overtook_loses_nothing, by_hand),
        ON_HOST(an_extension_that_is_answered_late_brings_no_belief_back, by_hand),
        ON_EVERY_HOST(an_upgrade_that_nobody_heard_of_is_released),
        ON_EVERY_HOST(a_lost_hold_is_not_entered_again),
        ON_EVERY_HOST(an_entry_that_fails_last_gives_the_lock_back),
        ON_EVERY_HOST(a_lost_reply_is_asked_for_again),
        ON_EVERY_HOST(acquire_survives_a_lack_of_memory),
        ON_EVERY_HOST(a_wait_survives_a_lack_of_memory),
        ON_EVERY_HOST(extend_survives_a_lack_of_memory),
        ON_EVERY_HOST(release_survives_a_lack_of_memory),
    };
    /* clang-format on */
    return cmocka_run_group_tests_name("live async holds", tests, NULL, NULL);
}
