/* SPDX-License-Identifier: MIT
 * Asynchronous operations, on each host: completed exactly once, later, in the right place;
 * whatever a completion does, whatever the server does. */
#include <semaphore.h>

#include "live/async_stage.h"

/* ---- Once, later, and where the host says -----------------------------------------------------*/

static void an_operation_completes_once_and_where_the_host_says(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on), *refused = deed_new(on), *longer = deed_new(on),
         *given = deed_new(on);
    deed_acquire(taken, "r", REDLOCK_OPTIONS(.ttl_ms = 5000));
    COMPLETES(taken, REDLOCK_OK);
    assert_true(redlock_is_held(taken->lock));
    assert_true(redlock_fence(taken->lock) > 0);
    deed_acquire(refused, "r", NULL);
    COMPLETES(refused, REDLOCK_BUSY);
    assert_null(refused->lock);
    deed_extend(longer, taken->lock, 60000);
    COMPLETES(longer, REDLOCK_OK);
    assert_in_range(redlock_remaining_ms(taken->lock), 50000, 60000);
    deed_release(given, taken->lock);
    COMPLETES(given, REDLOCK_OK);
    expect_free(the->stage->other, "r");
}

static void a_release_needs_no_completion(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on), *behind = deed_new(on);
    deed_acquire(taken, "r", NULL);
    COMPLETES(taken, REDLOCK_OK);
    EXPECT(redlock_release_async(taken->lock, NULL, NULL), REDLOCK_OK);
    deed_acquire(behind, "r", REDLOCK_OPTIONS(.wait_ms = 5000));
    COMPLETES(behind, REDLOCK_OK);
    deed_release(deed_new(on), behind->lock);
}

static void what_is_refused_at_once_never_completes(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *never = deed_new(on);
    redlock_detail detail;
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    EXPECT(redlock_acquire_async(on->client, "r", 1, NULL, NULL, never, NULL),
           REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_acquire_async(NULL, "r", 1, NULL, deed_acquired, never, NULL),
           REDLOCK_ERR_ARGUMENT);
    EXPECT(deed_submit(never, "", NULL), REDLOCK_ERR_NAME);
    EXPECT(deed_submit(never, "r", REDLOCK_OPTIONS(.ttl_ms = -1)), REDLOCK_ERR_TTL);
    EXPECT(deed_submit(never, "r", REDLOCK_OPTIONS(.detail = &detail)), REDLOCK_ERR_ARGUMENT);
    EXPECT(deed_submit(never, "r", REDLOCK_OPTIONS(.canceller = canceller)), REDLOCK_ERR_ARGUMENT);
    assert_int_equal(never->id, 0);
    EXPECT(redlock_release_async(NULL, deed_done, never), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_extend_async(NULL, 1, deed_done, never), REDLOCK_ERR_ARGUMENT);
    redlock_canceller_close(canceller);
    async_close(the);
    assert_int_equal(never->completions, 0);
}

static void a_child_of_fork_submits_nothing(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on);
    deed_acquire(taken, "r", NULL);
    COMPLETES(taken, REDLOCK_OK);
    pid_t child = fork();
    if (child == 0) {
        bool is_refused = deed_submit(deed_new(on), "s", NULL) == REDLOCK_ERR_FORKED &&
                          redlock_extend_async(taken->lock, 1, NULL, NULL) == REDLOCK_ERR_FORKED &&
                          redlock_release_async(taken->lock, NULL, NULL) == REDLOCK_ERR_FORKED;
        if (on->host != REDLOCK_HOST_KEEPER)
            is_refused = is_refused && redlock_process(on->client) == REDLOCK_ERR_FORKED;
        _exit(is_refused ? 0 : 1);
    }
    expect_exit(child, 0);
    deed_release(deed_new(on), taken->lock);
}

/* ---- What a completion may do -----------------------------------------------------------------*/

/* Submits, cancels, extends, releases and reads, all from inside. */
static void go_on(deed *self)
{
    deed *more = self->arg;
    redlock_stats stats;
    redlock_stats_read(self->on->client, &stats, sizeof stats);
    deed_submit(&more[0], "s", REDLOCK_OPTIONS(.ttl_ms = 1000));
    deed_submit(&more[1], "r", REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER));
    redlock_cancel_async(self->on->client, more[1].id);
    redlock_extend_async(self->lock, 50000, deed_done, &more[2]);
    deed_submit(&more[3], "r", REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER));
}

static void release_it(deed *self)
{
    redlock_lock *held = self->lock;
    self->lock = NULL;
    deed_release(self->arg, held);
}

static void give_on(deed *self)
{
    redlock_lock *held = self->lock;
    self->lock = NULL;
    redlock_release_async(held, NULL, NULL);
}

static void a_completion_submits_and_cancels_and_releases(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *first = deed_new(on), *end = deed_new(on);
    deeds more = deeds_new(on, 4);
    first->then = go_on;
    first->arg = more.first;
    more.first[3].then = release_it;
    more.first[3].arg = end;
    deed_acquire(first, "r", NULL);
    COMPLETES(first, REDLOCK_OK);
    COMPLETES(&more.first[0], REDLOCK_OK);
    COMPLETES(&more.first[1], REDLOCK_CANCELLED);
    COMPLETES(&more.first[2], REDLOCK_OK);
    deed_release(deed_new(on), first->lock);
    COMPLETES(&more.first[3], REDLOCK_OK);
    COMPLETES(end, REDLOCK_OK);
    deed_release(deed_new(on), more.first[0].lock);
}

static void block(deed *self)
{
    redlock_client *client = self->on->client;
    redlock_lock *none = NULL;
    redlock_set *set = NULL;
    redlock_inspection *seen = NULL;
    redlock_name_bytes name = {"s", 1};
    redlock_status status[] = {
        redlock_acquire(client, "s", REDLOCK_OPTIONS(.wait_ms = 5000), &none),
        redlock_release(self->lock),
        redlock_extend(self->lock, 60000),
        redlock_downgrade(self->lock),
        redlock_upgrade(self->lock),
        redlock_acquire_set(client, &name, 1, NULL, &set),
        redlock_inspect(client, "r", 1, &seen, NULL),
        redlock_force_release(client, "r", 1, NULL, NULL)};
    size_t *allowed = self->arg;
    for (size_t i = 0; i < sizeof status / sizeof *status; i++)
        *allowed += status[i] != REDLOCK_ERR_IN_CALLBACK;
    if (self->on->host != REDLOCK_HOST_KEEPER)
        *allowed += redlock_process(client) != REDLOCK_ERR_IN_CALLBACK;
}

static void a_completion_may_not_block(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on);
    size_t allowed = 0;
    taken->then = block;
    taken->arg = &allowed;
    redlock_lock *other = take(the->stage->other, "s", NULL);
    deed_acquire(taken, "r", NULL);
    COMPLETES(taken, REDLOCK_OK);
    assert_int_equal(allowed, 0);
    assert_true(redlock_is_held(taken->lock));
    deed_release(deed_new(on), taken->lock);
    EXPECT(redlock_release(other), REDLOCK_OK);
}

typedef struct pause {
    sem_t may_end;
    bool has_ended_well;
} pause_in_callback;

static void stay(deed *self)
{
    pause_in_callback *here = self->arg;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    here->has_ended_well = sem_timedwait(&here->may_end, &until) == 0;
}

static bool is_running(void *arg) { return ((deed *)arg)->at_us != 0; }

/* Blocking calls, submissions and statistics of others go on while a completion runs: no lock of
 * ours is held. */
static void a_slow_completion_delays_nobody_else(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *slow = deed_new(on), *second = deed_new(on);
    pause_in_callback here = {.has_ended_well = false};
    sem_init(&here.may_end, 0, 0);
    slow->then = stay;
    slow->arg = &here;
    redlock_lock *before = take(on->client, "before", REDLOCK_OPTIONS(.auto_renew = true));
    deed_acquire(slow, "r", NULL);
    eventually(is_running, slow);
    redlock_lock *during = take(on->client, "during", REDLOCK_OPTIONS(.auto_renew = true));
    EXPECT(redlock_extend(before, 60000), REDLOCK_OK);
    EXPECT(redlock_release(before), REDLOCK_OK);
    EXPECT(redlock_release(during), REDLOCK_OK);
    assert_int_equal(stats_of(on->client).released, 2);
    deed_acquire(second, "s", NULL);
    redlock_cancel_async(on->client, 999999);
    sem_post(&here.may_end);
    COMPLETES(second, REDLOCK_OK);
    assert_true(here.has_ended_well);
    deed_release(deed_new(on), second->lock);
    deed_release(deed_new(on), slow->lock);
    sem_destroy(&here.may_end);
}

/* ---- Cancelling -------------------------------------------------------------------------------*/

static void a_cancel_before_the_start_completes_it(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *one = deed_new(on);
    redlock_lock *busy = take(the->stage->other, "r", NULL);
    deed_acquire(one, "r", FOR_EVER);
    redlock_cancel_async(on->client, one->id);
    COMPLETES(one, REDLOCK_CANCELLED);
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 0}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
    expect_free(the->stage->other, "r");
}

static void a_cancel_in_the_queue_leaves_it(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deeds waiters = deeds_new(on, 10);
    redlock_lock *busy = take(the->stage->other, "r", NULL);
    for (size_t i = 0; i < waiters.count; i++) {
        if (i % 2) waiters.first[i].then = give_on;
        deed_acquire(&waiters.first[i], "r", FOR_EVER);
    }
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 10}));
    for (size_t i = 0; i < waiters.count; i += 2)
        redlock_cancel_async(on->client, waiters.first[i].id);
    for (size_t i = 0; i < waiters.count; i += 2) COMPLETES(&waiters.first[i], REDLOCK_CANCELLED);
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 5}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
    for (size_t i = 1; i < waiters.count; i += 2) COMPLETES(&waiters.first[i], REDLOCK_OK);
}

static void a_late_cancel_does_no_harm(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on), *next = deed_new(on);
    deed_acquire(taken, "r", NULL);
    COMPLETES(taken, REDLOCK_OK);
    deed_acquire(next, "s", REDLOCK_OPTIONS(.wait_ms = 5000));
    assert_true(next->id != taken->id);
    redlock_cancel_async(on->client, taken->id);
    redlock_cancel_async(on->client, 0);
    redlock_cancel_async(on->client, UINT64_MAX);
    COMPLETES(next, REDLOCK_OK);
    assert_true(redlock_is_held(taken->lock));
    deed_release(deed_new(on), taken->lock);
    deed_release(deed_new(on), next->lock);
}

/* Whichever comes first, the lock never idles. */
static void a_cancel_that_meets_the_grant_leaves_no_lock_behind(void **state)
{
    enum { ROUNDS = 50 };
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    for (int i = 0; i < ROUNDS; i++) {
        redlock_lock *busy =
            take(the->stage->other, "r",
                 REDLOCK_OPTIONS(.wait_ms = 1500, .claim_ms = LONG_MS, .ttl_ms = LONG_MS));
        deed *one = deed_new(on);
        deed_acquire(one, "r", FOR_EVER);
        loop_until(on, has_waiters, (&(expected){the->stage, "r", 1}));
        EXPECT(redlock_release(busy), REDLOCK_OK);
        redlock_cancel_async(on->client, one->id);
        loop_until(on, deed_is_done, one);
        assert_true(one->status == REDLOCK_OK || one->status == REDLOCK_CANCELLED);
        if (one->status == REDLOCK_OK) deed_release(deed_new(on), one->lock);
        loop_until(on, has_holders, (&(expected){the->stage, "r", 0}));
    }
}

/* ---- Deadlines --------------------------------------------------------------------------------*/

static void wait_out(loop *on, int64_t wait_ms)
{
    deed *one = deed_new(on);
    deed_acquire(one, "r", REDLOCK_OPTIONS(.wait_ms = wait_ms));
    COMPLETES(one, REDLOCK_TIMED_OUT);
}

static void a_wait_ends_at_its_deadline(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    redlock_lock *busy = take(the->stage->other, "r", NULL);
    PUNCTUAL(100000, wait_out(on, 100));
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 0}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

static void ask_in_vain(loop *on)
{
    deed *one = deed_new(on);
    deed_acquire(one, "r", NULL);
    COMPLETES(one, REDLOCK_ERR_TIMEOUT);
}

/* Over a link whose round trip takes 20 ms and more; the first one opens the inbox there, too. */
static void a_free_lock_is_got_by_the_shortest_wait_over_a_slow_link(void **state)
{
    async_stage *the = *state;
    proxy_slow(the->stage->proxy, 16384, 20000);
    loop *on =
        async_open(the, proxy_uri(the->stage->proxy), REDLOCK_CLIENT_OPTIONS(.timeout_ms = 5000));
    for (int i = 0; i < 2; i++) {
        deed *brief = deed_new(on), *given = deed_new(on);
        deed_acquire(brief, "r", REDLOCK_OPTIONS(.wait_ms = 1));
        COMPLETES(brief, REDLOCK_OK);
        deed_release(given, brief->lock);
        COMPLETES(given, REDLOCK_OK);
    }
    redlock_lock *held = take(the->stage->other, "r", NULL);
    deed *in_vain = deed_new(on);
    deed_acquire(in_vain, "r", REDLOCK_OPTIONS(.wait_ms = 1));
    COMPLETES(in_vain, REDLOCK_TIMED_OUT);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

static void a_question_ends_at_the_timeout_and_is_undone(void **state)
{
    async_stage *the = *state;
    int64_t timeout_ms = patience_outlasting_ms(150);
    loop *on = async_open(the, server_uri(the->stage->server),
                          REDLOCK_CLIENT_OPTIONS(.timeout_ms = timeout_ms));
    deed *first = deed_new(on);
    deed_acquire(first, "s", NULL); /* connects */
    COMPLETES(first, REDLOCK_OK);
    server_freeze(the->stage->server);
    PUNCTUAL(timeout_ms * 1000, ask_in_vain(on));
    server_thaw(the->stage->server);
    loop_until(on, has_holders, (&(expected){the->stage, "r", 0}));
    deed_release(deed_new(on), first->lock);
}

static void a_dead_server_is_told_at_the_timeout(void **state)
{
    async_stage *the = *state;
    loop *on = async_open(the, server_uri(the->stage->server),
                          REDLOCK_CLIENT_OPTIONS(.timeout_ms = brief_ms()));
    deed *tries = deed_new(on), *waits = deed_new(on);
    server_kill(the->stage->server);
    deed_acquire(tries, "r", NULL);
    deed_acquire(waits, "r", REDLOCK_OPTIONS(.wait_ms = 300));
    COMPLETES(tries, REDLOCK_ERR_CONNECT);
    COMPLETES(waits, REDLOCK_ERR_CONNECT);
    server_restart(the->stage->server);
}

/* ---- Order ------------------------------------------------------------------------------------*/

/* Submitted before there is a connection, and once more after. */
static void waiters_of_one_name_are_served_in_the_order_of_submission(void **state)
{
    enum { WAITERS = 200 };
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    for (int round = 0; round < 2; round++) {
        redlock_lock *busy = take(the->stage->other, "r", REDLOCK_OPTIONS(.wait_ms = 5000));
        deeds waiters = deeds_new(on, WAITERS);
        for (size_t i = 0; i < WAITERS; i++) {
            waiters.first[i].then = give_on;
            deed_acquire(&waiters.first[i], "r", FOR_EVER);
        }
        loop_until(on, has_waiters, (&(expected){the->stage, "r", WAITERS}));
        EXPECT(redlock_release(busy), REDLOCK_OK);
        deeds_expect(&waiters, REDLOCK_OK);
        for (size_t i = 1; i < WAITERS; i++)
            assert_true(waiters.first[i - 1].order < waiters.first[i].order);
        /* The last one is still to be sent. */
        loop_until(on, has_holders, (&(expected){the->stage, "r", 0}));
    }
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        ON_EVERY_HOST(an_operation_completes_once_and_where_the_host_says),
        ON_EVERY_HOST(a_release_needs_no_completion),
        ON_EVERY_HOST(what_is_refused_at_once_never_completes),
        ON_EVERY_HOST(a_child_of_fork_submits_nothing),
        ON_EVERY_HOST(a_completion_submits_and_cancels_and_releases),
        ON_EVERY_HOST(a_completion_may_not_block),
        ON_HOST(a_slow_completion_delays_nobody_else, on_the_keeper),
        ON_EVERY_HOST(a_cancel_before_the_start_completes_it),
        ON_EVERY_HOST(a_cancel_in_the_queue_leaves_it),
        ON_EVERY_HOST(a_late_cancel_does_no_harm),
        ON_EVERY_HOST(a_cancel_that_meets_the_grant_leaves_no_lock_behind),
        ON_EVERY_HOST(a_wait_ends_at_its_deadline),
        ON_EVERY_HOST(a_free_lock_is_got_by_the_shortest_wait_over_a_slow_link),
        ON_EVERY_HOST(a_question_ends_at_the_timeout_and_is_undone),
        ON_EVERY_HOST(a_dead_server_is_told_at_the_timeout),
        ON_EVERY_HOST(waiters_of_one_name_are_served_in_the_order_of_submission),
    };
    /* clang-format on */
    return cmocka_run_group_tests_name("live async", tests, NULL, NULL);
}
