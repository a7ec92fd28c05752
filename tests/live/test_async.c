/* SPDX-License-Identifier: MIT
 * Asynchronous operations, on each host: completed exactly once, later, in the right place; whatever a completion does,
 * whatever the server does. */
#include <semaphore.h>

#include "live/async_stage.h"

/* ---- Once, later, and where the host says -----------------------------------------------------*/

static void an_operation_completes_once_and_where_the_host_says(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on), *refused = deed_new(on), *longer = deed_new(on), *given = deed_new(on);
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
    EXPECT(redlock_acquire_async(on->client, "r", 1, NULL, NULL, never, NULL), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_acquire_async(NULL, "r", 1, NULL, deed_acquired, never, NULL), REDLOCK_ERR_ARGUMENT);
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
        if (on->host != REDLOCK_HOST_KEEPER) is_refused = is_refused && redlock_process(on->client) == REDLOCK_ERR_FORKED;
        _exit(is_refused ? 0 : 1);
    }
    int outcome = -1;
    assert_int_equal(waitpid(child, &outcome, 0), child);
    assert_int_equal(outcome, 0);
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
    redlock_status status[] = {redlock_acquire(client, "s", REDLOCK_OPTIONS(.wait_ms = 5000), &none),
                               redlock_release(self->lock),
                               redlock_extend(self->lock, 60000),
                               redlock_downgrade(self->lock),
                               redlock_upgrade(self->lock),
                               redlock_acquire_set(client, &name, 1, NULL, &set),
                               redlock_inspect(client, "r", 1, &seen, NULL),
                               redlock_force_release(client, "r", 1, NULL, NULL)};
    size_t *allowed = self->arg;
    for (size_t i = 0; i < sizeof status / sizeof *status; i++) *allowed += status[i] != REDLOCK_ERR_IN_CALLBACK;
    if (self->on->host == REDLOCK_HOST_MANUAL) *allowed += redlock_process(client) != REDLOCK_ERR_IN_CALLBACK;
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

/* Blocking calls, submissions and statistics of others go on while a completion runs: no lock of ours is held. */
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

/* ---- Closing ----------------------------------------------------------------------------------*/

static void close_it(deed *self)
{
    redlock_client *client = self->on->client;
    if (self->on->host == REDLOCK_HOST_KEEPER) self->on->client = NULL;
    self->status = redlock_close(client) == REDLOCK_OK ? self->status : REDLOCK_ERR_SYSTEM;
}

static bool has_so_many_descriptors(void *arg) { return open_descriptors() == *(int *)arg; }
static bool is_closed(void *arg) { return ((loop *)arg)->client == NULL; }

static void a_completion_closes_the_client(void **state)
{
    async_stage *the = *state;
    redlock_lock *busy = take(the->stage->other, "busy", NULL);
    assert_int_equal(stage_waiters(the->stage, "busy"), 0);
    int descriptors = open_descriptors();
    loop *on = async_open_plain(the);
    deeds waiters = deeds_new(on, 10);
    deed *closer = deed_new(on);
    for (size_t i = 0; i < waiters.count; i++) deed_acquire(&waiters.first[i], "busy", FOR_EVER);
    closer->then = close_it;
    deed_acquire(closer, "r", NULL);
    loop_until(on, deed_is_done, closer);
    loop_until(on, is_closed, on);
    loop_until(on, deeds_are_done, &waiters);
    for (size_t i = 0; i < waiters.count; i++) assert_int_equal(waiters.first[i].status, REDLOCK_ERR_CLOSED);
    EXPECT(redlock_release_async(closer->lock, NULL, NULL), REDLOCK_ERR_CLOSED);
    eventually(is_all_given_back, &the->account);
    eventually(has_waiters, (&(expected){the->stage, "busy", 0}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
    expect_free(the->stage->other, "r");
    eventually(has_so_many_descriptors, &descriptors);
}

static void a_close_completes_what_is_pending(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deeds waiters = deeds_new(on, 100);
    redlock_lock *busy = take(the->stage->other, "r", NULL);
    for (size_t i = 0; i < waiters.count; i++) deed_acquire(&waiters.first[i], "r", FOR_EVER);
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 100}));
    async_close(the);
    for (size_t i = 0; i < waiters.count; i++) {
        assert_int_equal(waiters.first[i].completions, 1);
        EXPECT(waiters.first[i].status, REDLOCK_ERR_CLOSED);
    }
    eventually(has_waiters, (&(expected){the->stage, "r", 0}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

/* Not even begun: nothing was sent, and it is complete all the same. */
static void a_close_completes_what_has_not_begun(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *never = deed_new(on);
    for (int i = 0; i < 20; i++) {
        deed *one = deed_new(on);
        deed_acquire(one, "r", NULL);
        if (i == 0) never = one;
    }
    async_close(the);
    assert_int_equal(never->completions, 1);
    if (on->host == REDLOCK_HOST_MANUAL) EXPECT(never->status, REDLOCK_ERR_CLOSED);
    if (never->status == REDLOCK_OK) EXPECT(redlock_release(never->lock), REDLOCK_ERR_CLOSED);
    for (size_t i = 0; i < kept_count; i++)
        if (kept_deeds[i] != never && kept_deeds[i]->status == REDLOCK_OK && kept_deeds[i]->lock != NULL)
            redlock_release(kept_deeds[i]->lock);
    expect_free(the->stage->other, "r");
}

/* Well within the timeout, and handed to the next. */
static void a_release_that_is_pending_at_the_close_reaches_the_server(void **state)
{
    enum { LOCKS = 50 };
    async_stage *the = *state;
    loop *on = async_open(the, server_uri(the->stage->server), REDLOCK_CLIENT_OPTIONS(.timeout_ms = 20000));
    deeds held = deeds_new(on, LOCKS), given = deeds_new(on, LOCKS);
    char name[16];
    for (size_t i = 0; i < LOCKS; i++) {
        snprintf(name, sizeof name, "r%zu", i);
        deed_acquire(&held.first[i], name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    }
    deeds_expect(&held, REDLOCK_OK);
    taker *next = taker_start(the->stage, the->stage->other, "r7", FOR_EVER);
    await_waiters(the->stage, "r7", 1);
    int64_t from_us = now_us();
    for (size_t i = 0; i < LOCKS; i++) deed_release(&given.first[i], held.first[i].lock);
    async_close(the);
    assert_in_range(now_us() - from_us, 0, 10000 * 1000);
    for (size_t i = 0; i < LOCKS; i++) assert_int_equal(given.first[i].completions, 1);
    for (size_t i = 0; i < LOCKS; i++) EXPECT(given.first[i].status, REDLOCK_OK);
    expect_taker(next, REDLOCK_OK);
    taker_release(next);
    for (size_t i = 0; i < LOCKS; i++) {
        snprintf(name, sizeof name, "r%zu", i);
        assert_int_equal(stage_holders(the->stage, name), 0);
    }
}

static void a_close_of_a_frozen_server_takes_the_timeout_and_completes_all(void **state)
{
    async_stage *the = *state;
    loop *on = async_open(the, server_uri(the->stage->server), REDLOCK_CLIENT_OPTIONS(.timeout_ms = 300));
    deed *held = deed_new(on), *given = deed_new(on), *asks = deed_new(on);
    deed_acquire(held, "r", NULL);
    COMPLETES(held, REDLOCK_OK);
    server_freeze(the->stage->server);
    deed_release(given, held->lock);
    deed_acquire(asks, "s", NULL);
    loop_for(on, 50);
    int64_t from_us = now_us();
    async_close(the);
    assert_in_range(now_us() - from_us, 0, 300 * 1000 + 5 * late_us());
    server_thaw(the->stage->server);
    assert_int_equal(given->completions, 1);
    assert_true(given->status < 0);
    assert_int_equal(asks->completions, 1);
    EXPECT(asks->status, REDLOCK_ERR_CLOSED);
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
    for (size_t i = 0; i < waiters.count; i += 2) redlock_cancel_async(on->client, waiters.first[i].id);
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
        redlock_lock *busy = take(the->stage->other, "r", REDLOCK_OPTIONS(.wait_ms = 1500, .claim_ms = LONG_MS, .ttl_ms = LONG_MS));
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

static void a_question_ends_at_the_timeout_and_is_undone(void **state)
{
    async_stage *the = *state;
    loop *on = async_open(the, server_uri(the->stage->server), REDLOCK_CLIENT_OPTIONS(.timeout_ms = 150));
    deed *first = deed_new(on);
    deed_acquire(first, "s", NULL); /* connects */
    COMPLETES(first, REDLOCK_OK);
    server_freeze(the->stage->server);
    PUNCTUAL(150000, ask_in_vain(on));
    server_thaw(the->stage->server);
    loop_until(on, has_holders, (&(expected){the->stage, "r", 0}));
    deed_release(deed_new(on), first->lock);
}

static void a_dead_server_is_told_at_the_timeout(void **state)
{
    async_stage *the = *state;
    loop *on = async_open(the, server_uri(the->stage->server), REDLOCK_CLIENT_OPTIONS(.timeout_ms = 150));
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
        for (size_t i = 1; i < WAITERS; i++) assert_true(waiters.first[i - 1].order < waiters.first[i].order);
    }
}

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
                 REDLOCK_OPTIONS(.ttl_ms = 300, .auto_renew = true, .on_lost = release_inside, .on_lost_arg = &seen));
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

/* The holder's own and each answer's arrival keep apart what is renewed and what is released at the same time. */
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

static void a_lost_hold_is_not_entered_again(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *first = deed_new(on), *again = deed_new(on), *given = deed_new(on);
    deed_acquire(first, "r", MINE(.ttl_ms = 60));
    COMPLETES(first, REDLOCK_OK);
    loop_until(on, is_unheld, first->lock);
    deed_acquire(again, "r", MINE(.ttl_ms = 60));
    COMPLETES(again, REDLOCK_LOST);
    deed_release(given, first->lock);
    COMPLETES(given, REDLOCK_LOST);
}

/* The outer hold is given back while an entry that will fail is under way: that entry is the last one then. */
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
    loop *on = async_open(the, proxy_uri(the->stage->proxy), REDLOCK_CLIENT_OPTIONS(.timeout_ms = 5000));
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
        ON_EVERY_HOST(an_operation_completes_once_and_where_the_host_says),
        ON_EVERY_HOST(a_release_needs_no_completion),
        ON_EVERY_HOST(what_is_refused_at_once_never_completes),
        ON_EVERY_HOST(a_child_of_fork_submits_nothing),
        ON_EVERY_HOST(a_completion_submits_and_cancels_and_releases),
        ON_HOST(a_completion_may_not_block, on_the_keeper),
        ON_HOST(a_completion_may_not_block, by_hand),
        ON_HOST(a_slow_completion_delays_nobody_else, on_the_keeper),
        ON_EVERY_HOST(a_completion_closes_the_client),
        ON_EVERY_HOST(a_close_completes_what_is_pending),
        ON_EVERY_HOST(a_close_completes_what_has_not_begun),
        ON_EVERY_HOST(a_release_that_is_pending_at_the_close_reaches_the_server),
        ON_EVERY_HOST(a_close_of_a_frozen_server_takes_the_timeout_and_completes_all),
        ON_EVERY_HOST(a_cancel_before_the_start_completes_it),
        ON_EVERY_HOST(a_cancel_in_the_queue_leaves_it),
        ON_EVERY_HOST(a_late_cancel_does_no_harm),
        ON_EVERY_HOST(a_cancel_that_meets_the_grant_leaves_no_lock_behind),
        ON_EVERY_HOST(a_wait_ends_at_its_deadline),
        ON_EVERY_HOST(a_question_ends_at_the_timeout_and_is_undone),
        ON_EVERY_HOST(a_dead_server_is_told_at_the_timeout),
        ON_EVERY_HOST(waiters_of_one_name_are_served_in_the_order_of_submission),
        ON_EVERY_HOST(a_lost_lock_is_released_inside_on_lost),
        ON_EVERY_HOST(a_deleted_lock_is_neither_extended_nor_released),
        ON_EVERY_HOST(an_extension_that_is_under_way_survives_the_release),
        ON_EVERY_HOST(a_hold_is_entered_again),
        ON_EVERY_HOST(a_shared_hold_is_upgraded_by_entering_it_exclusively),
        ON_EVERY_HOST(a_lost_hold_is_not_entered_again),
        ON_EVERY_HOST(an_entry_that_fails_last_gives_the_lock_back),
        ON_EVERY_HOST(a_lost_reply_is_asked_for_again),
        ON_EVERY_HOST(acquire_survives_a_lack_of_memory),
        ON_EVERY_HOST(a_wait_survives_a_lack_of_memory),
        ON_EVERY_HOST(extend_survives_a_lack_of_memory),
        ON_EVERY_HOST(release_survives_a_lack_of_memory),
    };
    /* clang-format on */
    return cmocka_run_group_tests_name("live async", tests, NULL, NULL);
}
