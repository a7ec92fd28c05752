/* SPDX-License-Identifier: MIT
 * A guest in its process: forks, callbacks, threads and signals. */
#include "live/stage.h"

/* ---- Fork -------------------------------------------------------------------------------------*/

/* The number of the first call that answers anything else. */
static int call_everything(redlock_client *client, redlock_lock *lock)
{
    redlock_lock *none;
    redlock_inspection *seen;
    if (redlock_acquire(client, "s", NULL, &none) != REDLOCK_ERR_FORKED) return 1;
    if (redlock_acquire(client, "s", FOR_EVER, &none) != REDLOCK_ERR_FORKED) return 2;
    if (redlock_extend(lock, 60000) != REDLOCK_ERR_FORKED) return 3;
    if (redlock_inspect(client, "r", 1, &seen, NULL) != REDLOCK_ERR_FORKED) return 4;
    if (redlock_release(lock) != REDLOCK_ERR_FORKED) return 5;
    if (redlock_close(client) != REDLOCK_ERR_FORKED) return 6;
    return 0;
}

static int live_in_the_child(stage *the, redlock_lock *lock)
{
    redlock_client *own;
    redlock_lock *none;
    int failed = call_everything(the->client, lock);
    if (failed != 0) return failed;
    if (redlock_open(server_uri(the->server), NULL, &own) != REDLOCK_OK) return 10;
    if (redlock_acquire(own, "r", NULL, &none) != REDLOCK_BUSY) return 11;
    return redlock_close(own) == REDLOCK_OK ? 0 : 12;
}

/* Pitfalls 6 and 41. */
static void a_child_is_told_and_touches_nothing_of_its_parent(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.auto_renew = true));
    long long calls = server_calls(the->server, "evalsha");
    redlock_stats before = stats_of(the->client);
    pid_t child = fork();
    if (child == 0) _exit(live_in_the_child(the, lock));
    expect_exit(child, 0);
    assert_int_equal(server_calls(the->server, "evalsha") - calls, 1); /* of its own client */
    assert_true(redlock_is_held(lock));
    expect_taken(the->other, "r");
    EXPECT(redlock_extend(lock, 60000), REDLOCK_OK);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(stats_of(the->client).connections_lost, before.connections_lost);
}

static void a_child_that_ends_leaves_the_parents_locks_alone(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    pid_t child = fork();
    if (child == 0) _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    expect_taken(the->other, "r");
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* ---- Callbacks --------------------------------------------------------------------------------*/

typedef struct listener {
    redlock_client *client;
    _Atomic int calls;
    _Atomic bool has_begun, has_ended, is_releasing;
    redlock_status acquired, extended, released, inspected;
    bool was_held;
} listener;

static void call_back(void *arg, redlock_lock *lock)
{
    listener *self = arg;
    redlock_lock *none;
    redlock_inspection *seen;
    self->acquired = redlock_acquire(self->client, "s", NULL, &none);
    self->extended = redlock_extend(lock, 60000);
    self->released = redlock_release(lock);
    self->inspected = redlock_inspect(self->client, "r", 1, &seen, NULL);
    self->was_held = redlock_is_held(lock);
    atomic_fetch_add(&self->calls, 1);
}

static bool was_called(void *arg) { return atomic_load(&((listener *)arg)->calls) > 0; }

/* Pitfall 42. */
static void a_callback_may_look_and_is_refused_whatever_blocks(void **state)
{
    stage *the = *state;
    listener self = {.client = the->client};
    redlock_lock *lock =
        take(the->client, "r",
             REDLOCK_OPTIONS(.ttl_ms = brief_ms(), .on_lost = call_back, .on_lost_arg = &self));
    eventually(was_called, &self);
    EXPECT(self.acquired, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(self.extended, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(self.released, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(self.inspected, REDLOCK_ERR_IN_CALLBACK);
    assert_false(self.was_held);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    assert_int_equal(atomic_load(&self.calls), 1);
    EXPECT(redlock_release(take(the->client, "r", FOR_EVER)), REDLOCK_OK);
}

/* What is let go of inside a callback: by the doors that keep the handle, and by those that
 * cannot. */
typedef struct doors {
    redlock_lock *by_hand, *by_attribute, *by_scope;
    redlock_set *set;
    redlock_status cleared, scoped, set_released;
    _Atomic bool are_passed;
} doors;

static void pass_every_door(void *arg, redlock_lock *lost)
{
    doors *self = arg;
    (void)lost;
    self->cleared = redlock_release_and_clear(&self->by_hand);
    {
        REDLOCK_AUTO redlock_lock *mine = self->by_attribute;
    }
    redlock_scope scope = {.lock = self->by_scope, .status = &self->scoped};
    redlock_scope_end(&scope);
    self->set_released = redlock_release_set(self->set);
    atomic_store(&self->are_passed, true);
}

static bool are_passed(void *arg) { return atomic_load(&((doors *)arg)->are_passed); }

static void nothing_is_dropped_unreleased_inside_a_callback(void **state)
{
    stage *the = *state;
    const redlock_name_bytes names[] = {{"e", 1}, {"f", 1}};
    doors self = {.by_hand = take(the->client, "a", NULL),
                  .by_attribute = take(the->client, "b", NULL),
                  .by_scope = take(the->client, "c", NULL)};
    EXPECT(redlock_acquire_set(the->client, names, 2, NULL, &self.set), REDLOCK_OK);
    redlock_lock *lost = take(
        the->client, "r",
        REDLOCK_OPTIONS(.ttl_ms = brief_ms(), .on_lost = pass_every_door, .on_lost_arg = &self));
    eventually(are_passed, &self);
    EXPECT(self.cleared, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(self.scoped, REDLOCK_OK);
    EXPECT(self.set_released, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(redlock_release(take(the->other, "b", FOR_EVER)), REDLOCK_OK);
    EXPECT(redlock_release(take(the->other, "c", FOR_EVER)), REDLOCK_OK);
    EXPECT(redlock_release_and_clear(&self.by_hand), REDLOCK_OK);
    assert_null(self.by_hand);
    EXPECT(redlock_release_set(self.set), REDLOCK_OK);
    EXPECT(redlock_release(lost), REDLOCK_LOST);
}

static void count_call(void *arg, redlock_lock *lock)
{
    (void)lock;
    atomic_fetch_add(&((listener *)arg)->calls, 1);
}

/* The keeper has looked at the clock after the lease ended: it has told another lock that it is
 * lost. */
static void a_released_lock_is_never_reported_lost(void **state)
{
    stage *the = *state;
    listener released = {.client = the->client}, kept = {.client = the->client};
    redlock_lock *lock = take(
        the->client, "r",
        REDLOCK_OPTIONS(.ttl_ms = brief_ms(), .on_lost = count_call, .on_lost_arg = &released));
    EXPECT(redlock_release(lock), REDLOCK_OK);
    lock = take(
        the->client, "s",
        REDLOCK_OPTIONS(.ttl_ms = brief_ms() * 3 / 2, .on_lost = count_call, .on_lost_arg = &kept));
    eventually(was_called, &kept);
    assert_int_equal(atomic_load(&released.calls), 0);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    assert_int_equal(atomic_load(&kept.calls), 1);
}

/* Stays in the callback for long after the release was called, so that one that did not wait would
 * be seen. */
static void linger_in_callback(void *arg, redlock_lock *lock)
{
    listener *self = arg;
    (void)lock;
    atomic_store(&self->has_begun, true);
    for (patience left = patience_begin();
         !atomic_load(&self->is_releasing) && !patience_is_over(&left);)
        patience_pause();
    for (int i = 0; i < 20; i++) patience_pause();
    atomic_store(&self->has_ended, true);
}

static bool has_begun(void *arg) { return atomic_load(&((listener *)arg)->has_begun); }

/* Pitfall 42. */
static void a_release_waits_for_the_callback_that_runs(void **state)
{
    stage *the = *state;
    listener self = {.client = the->client};
    redlock_lock *lock = take(
        the->client, "r",
        REDLOCK_OPTIONS(.ttl_ms = brief_ms(), .on_lost = linger_in_callback, .on_lost_arg = &self));
    eventually(has_begun, &self);
    atomic_store(&self.is_releasing, true);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    assert_true(atomic_load(&self.has_ended));
}

/* ---- Threads ----------------------------------------------------------------------------------*/

enum { WORKERS = 8, NAMES = 4 };

typedef struct workshop {
    redlock_client *clients[2];
    int pairs;
    _Atomic int inside[NAMES], done[NAMES], overlaps, failures;
} workshop;

typedef struct worker {
    workshop *shop;
    pthread_t thread;
    unsigned number;
} worker;

static void work_once(workshop *shop, redlock_client *client, unsigned name)
{
    redlock_lock *lock;
    char text[2] = {(char)('a' + name), '\0'};
    if (redlock_acquire(client, text, FOR_EVER, &lock) != REDLOCK_OK) {
        atomic_fetch_add(&shop->failures, 1);
        return;
    }
    if (atomic_exchange(&shop->inside[name], 1) != 0) atomic_fetch_add(&shop->overlaps, 1);
    atomic_fetch_add(&shop->done[name], 1);
    atomic_store(&shop->inside[name], 0);
    if (redlock_release(lock) != REDLOCK_OK) atomic_fetch_add(&shop->failures, 1);
}

static void *worker_run(void *arg)
{
    worker *self = arg;
    workshop *shop = self->shop;
    for (int i = 0; i < shop->pairs; i++)
        work_once(shop, shop->clients[self->number % 2], (self->number + (unsigned)i) % NAMES);
    return NULL;
}

static void many_threads_share_clients_and_exclude_each_other(void **state)
{
    stage *the = *state;
    workshop shop = {.clients = {the->client, the->other},
                     .pairs = patience_is_instrumented() ? 50 : 200};
    worker workers[WORKERS];
    int done = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.shop = &shop, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < NAMES; i++) done += atomic_load(&shop.done[i]);
    assert_int_equal(atomic_load(&shop.failures), 0);
    assert_int_equal(atomic_load(&shop.overlaps), 0);
    assert_int_equal(done, WORKERS * shop.pairs);
    for (int i = 0; i < NAMES; i++)
        assert_int_equal(stage_waiters(the, (char[]){(char)('a' + i), '\0'}), 0);
}

/* ---- Signals ----------------------------------------------------------------------------------*/

static volatile sig_atomic_t signals;

static void note_signal(int number)
{
    (void)number;
    signals++;
}

static timer_t storm_begin(void)
{
    struct sigaction action = {.sa_handler = note_signal}; /* no SA_RESTART */
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec often = {.it_value.tv_nsec = 500000, .it_interval.tv_nsec = 500000};
    timer_t timer;
    signals = 0;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &often, NULL), 0);
    return timer;
}

static void time_out(redlock_client *client, int64_t wait_ms)
{
    redlock_lock *lock;
    EXPECT(redlock_acquire(client, "held", REDLOCK_OPTIONS(.wait_ms = wait_ms), &lock),
           REDLOCK_TIMED_OUT);
}

/* Pitfall 44. */
static void a_storm_of_signals_breaks_nothing(void **state)
{
    stage *the = *state;
    redlock_lock *held = take(the->other, "held", NULL);
    teach(the, SCRIPT_CANCEL); /* a wait has a few milliseconds to leave the queue */
    time_out(the->client, 20);
    uint64_t lost = stats_of(the->client).connections_lost;
    timer_t storm = storm_begin();
    for (int i = 0; i < 200 || signals < 20; i++) expect_free(the->client, "r");
    PUNCTUAL(100 * 1000, time_out(the->client, 100));
    timer_delete(storm);
    signal(SIGUSR1, SIG_DFL);
    assert_int_equal(stats_of(the->client).connections_lost, lost);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

static redlock_canceller *signalled;

static void cancel_by_signal(int number)
{
    (void)number;
    redlock_cancel(signalled);
}

static void a_signal_handler_may_cancel(void **state)
{
    stage *the = *state;
    EXPECT(redlock_canceller_open(&signalled), REDLOCK_OK);
    redlock_lock *held = take(the->other, "r", NULL);
    signal(SIGUSR2, cancel_by_signal);
    taker *waiter =
        taker_start(the, the->client, "r", REDLOCK_OPTIONS(.wait_ms = -1, .canceller = signalled));
    await_waiters(the, "r", 1);
    pthread_kill(waiter->thread, SIGUSR2);
    expect_taker(waiter, REDLOCK_CANCELLED);
    signal(SIGUSR2, SIG_DFL);
    EXPECT(redlock_release(held), REDLOCK_OK);
    redlock_canceller_close(signalled);
}

/* Pitfall 31: with the default disposition it would end this program. */
static void a_server_that_dies_raises_no_sigpipe(void **state)
{
    stage *the = *state;
    signal(SIGPIPE, SIG_DFL);
    redlock_client *hasty =
        stage_open(the, server_uri(the->server),
                   REDLOCK_CLIENT_OPTIONS(.timeout_ms = brief_ms(), LOGGED(the)));
    redlock_lock *one = take(hasty, "a", REDLOCK_OPTIONS(.auto_renew = true)),
                 *two = take(hasty, "b", NULL), *none;
    server_kill(the->server);
    assert_true(redlock_acquire(hasty, "c", NULL, &none) < 0);
    assert_true(redlock_extend(one, 60000) < 0);
    assert_true(redlock_release(one) < 0);
    assert_true(redlock_release(two) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_child_is_told_and_touches_nothing_of_its_parent),
        ON_STAGE(a_child_that_ends_leaves_the_parents_locks_alone),
        ON_STAGE(a_callback_may_look_and_is_refused_whatever_blocks),
        ON_STAGE(nothing_is_dropped_unreleased_inside_a_callback),
        ON_STAGE(a_released_lock_is_never_reported_lost),
        ON_STAGE(a_release_waits_for_the_callback_that_runs),
        ON_STAGE(many_threads_share_clients_and_exclude_each_other),
        ON_STAGE(a_storm_of_signals_breaks_nothing),
        ON_STAGE(a_signal_handler_may_cancel),
        ON_STAGE(a_server_that_dies_raises_no_sigpipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
