/* SPDX-License-Identifier: MIT
 * Clients and handles from the first call to the last: opening, closing, forking, callbacks, threads, signals. */
#include <dirent.h>

#include "live/stage.h"

static const redlock_options *for_ever(void)
{
    static const redlock_options options = {.struct_size = sizeof options, .wait_ms = REDLOCK_WAIT_FOREVER};
    return &options;
}

/* ---- Opening ----------------------------------------------------------------------------------*/

static void an_open_client_has_sent_nothing_yet(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    assert_int_equal(proxy_accepted(the->proxy), 0);
    expect_free(through, "r");
    assert_int_equal(proxy_accepted(the->proxy), 1);
}

static void a_client_that_connects_now_keeps_that_connection_for_the_first_call(void **state)
{
    stage *the = *state;
    redlock_client *eager = stage_open(the, proxy_uri(the->proxy), REDLOCK_CLIENT_OPTIONS(.connect_now = true));
    assert_int_equal(stats_of(eager).connections, 1);
    expect_free(eager, "r");
    assert_int_equal(proxy_accepted(the->proxy), 1);
}

static void an_open_that_cannot_connect_gives_no_client(void **state)
{
    stage *the = *state;
    redlock_client *client = the->client;
    redlock_detail detail;
    server_kill(the->server);
    EXPECT(
        redlock_open(server_uri(the->server), REDLOCK_CLIENT_OPTIONS(.connect_now = true, .detail = &detail), &client),
        REDLOCK_ERR_CONNECT);
    assert_null(client);
    assert_true(detail.text[0] != '\0');
}

static void a_client_over_tcp_selects_its_database(void **state)
{
    stage *the = *state;
    char uri[128];
    snprintf(uri, sizeof uri, "%s/3", proxy_tcp_uri(the->proxy));
    redlock_lock *lock = take(stage_open(the, uri, NULL), "r", NULL);
    expect_free(the->client, "r");
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* ---- Closing ----------------------------------------------------------------------------------*/

static void a_close_releases_what_is_held(void **state)
{
    stage *the = *state;
    redlock_client *closing = stage_open(the, server_uri(the->server), NULL);
    redlock_lock *one = take(closing, "a", NULL), *two = take(closing, "b", REDLOCK_OPTIONS(.auto_renew = true));
    stage_close(the, closing);
    expect_free(the->other, "a");
    expect_free(the->other, "b");
    EXPECT(redlock_release(one), REDLOCK_ERR_CLOSED);
    EXPECT(redlock_release(two), REDLOCK_ERR_CLOSED);
}

/* The server has given it away: whoever still believes would overlap with the next holder. */
static void a_handle_after_the_close_is_readable_and_not_held(void **state)
{
    stage *the = *state;
    redlock_client *closing = stage_open(the, server_uri(the->server), NULL);
    redlock_lock *lock = take(closing, "r", NULL);
    uint64_t fence = redlock_fence(lock);
    stage_close(the, closing);
    assert_false(redlock_is_held(lock));
    assert_int_equal(redlock_remaining_ms(lock), 0);
    assert_int_equal(redlock_fence(lock), fence);
    assert_string_equal(redlock_name(lock, NULL), "r");
    EXPECT(redlock_extend(lock, 60000), REDLOCK_ERR_CLOSED);
    EXPECT(redlock_release(lock), REDLOCK_ERR_CLOSED);
}

static void a_close_hands_the_lock_to_the_next_waiter(void **state)
{
    stage *the = *state;
    redlock_client *closing = stage_open(the, server_uri(the->server), NULL);
    redlock_lock *lock = take(closing, "r", NULL);
    taker *next = taker_start(the, the->other, "r", for_ever());
    await_waiters(the, "r", 1);
    stage_close(the, closing);
    expect_taker(next, REDLOCK_OK);
    taker_release(next);
    redlock_release(lock);
}

static void a_close_ends_every_wait_and_leaves_nothing_in_the_queue(void **state)
{
    enum { WAITERS = 4 };
    stage *the = *state;
    taker *waiters[WAITERS];
    redlock_client *closing = stage_open(the, server_uri(the->server), NULL);
    redlock_lock *lock = take(the->client, "r", NULL);
    for (int i = 0; i < WAITERS; i++) waiters[i] = taker_start(the, closing, "r", for_ever());
    await_waiters(the, "r", WAITERS);
    stage_close(the, closing);
    for (int i = 0; i < WAITERS; i++) expect_taker(waiters[i], REDLOCK_ERR_CLOSED);
    await_waiters(the, "r", 0);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, "r");
}

static void a_close_takes_no_longer_than_the_timeout(void **state)
{
    enum { TIMEOUT_MS = 200 };
    stage *the = *state;
    for (int is_dead = 0; is_dead < 2; is_dead++) {
        redlock_client *closing =
            stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(.timeout_ms = TIMEOUT_MS, LOGGED(the)));
        redlock_lock *lock = take(closing, "r", REDLOCK_OPTIONS(.auto_renew = true));
        if (is_dead) server_kill(the->server);
        else server_freeze(the->server);
        int64_t from_us = now_us();
        stage_close(the, closing);
        assert_in_range(now_us() - from_us, 0, TIMEOUT_MS * 1000 + 5 * late_us());
        EXPECT(redlock_release(lock), REDLOCK_ERR_CLOSED);
        server_restart(the->server);
    }
}

/* ---- What is left behind ----------------------------------------------------------------------*/

static int open_descriptors(void)
{
    int count = 0;
    DIR *all = opendir("/proc/self/fd");
    assert_non_null(all);
    while (readdir(all) != NULL) count++;
    closedir(all);
    return count;
}

static _Atomic long blocks;

static void *allocate_counted(void *arg, size_t size)
{
    (void)arg;
    atomic_fetch_add(&blocks, 1);
    return malloc(size);
}

static void release_counted(void *arg, void *memory)
{
    (void)arg;
    if (memory != NULL) atomic_fetch_sub(&blocks, 1);
    free(memory);
}

#define COUNTED .allocator = {allocate_counted, release_counted, NULL}

static void rounds_of_everything_leave_neither_descriptors_nor_memory(void **state)
{
    stage *the = *state;
    int descriptors = open_descriptors(), rounds = patience_is_instrumented() ? 100 : 1000;
    long before = atomic_load(&blocks);
    for (int i = 0; i < rounds; i++) {
        redlock_client *client = stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(COUNTED));
        redlock_lock *none;
        redlock_lock *lock = take(client, "r", REDLOCK_OPTIONS(.auto_renew = i % 2 == 0));
        if (i % 16 == 0) EXPECT(redlock_acquire(client, "r", REDLOCK_OPTIONS(.wait_ms = 20), &none), REDLOCK_TIMED_OUT);
        EXPECT(redlock_release(lock), REDLOCK_OK);
        stage_close(the, client);
        assert_int_equal(atomic_load(&blocks), before);
    }
    assert_int_equal(open_descriptors(), descriptors);
}

/* The undo of what is owed is given up by the close, and its client with it. */
static void a_close_with_an_undo_that_cannot_be_told_leaves_nothing(void **state)
{
    stage *the = *state;
    int descriptors = open_descriptors();
    long before = atomic_load(&blocks);
    redlock_client *client =
        stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(COUNTED, .timeout_ms = 100, LOGGED(the)));
    redlock_lock *lock = take(client, "r", NULL), *none;
    server_freeze(the->server);
    EXPECT(redlock_release(lock), REDLOCK_ERR_TIMEOUT);
    EXPECT(redlock_acquire(client, "s", NULL, &none), REDLOCK_ERR_TIMEOUT);
    stage_close(the, client);
    assert_int_equal(atomic_load(&blocks), before);
    assert_int_equal(open_descriptors(), descriptors);
    server_thaw(the->server);
}

static void a_handle_that_outlives_its_client_takes_the_last_memory_with_it(void **state)
{
    stage *the = *state;
    int descriptors = open_descriptors();
    long before = atomic_load(&blocks);
    redlock_client *client = stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(COUNTED));
    redlock_lock *lock = take(client, "r", NULL);
    stage_close(the, client);
    EXPECT(redlock_release(lock), REDLOCK_ERR_CLOSED);
    assert_int_equal(atomic_load(&blocks), before);
    assert_int_equal(open_descriptors(), descriptors);
}

/* ---- Fork -------------------------------------------------------------------------------------*/

/* The number of the first call that answers anything else. */
static int call_everything(redlock_client *client, redlock_lock *lock)
{
    redlock_lock *none;
    redlock_inspection *seen;
    if (redlock_acquire(client, "s", NULL, &none) != REDLOCK_ERR_FORKED) return 1;
    if (redlock_acquire(client, "s", for_ever(), &none) != REDLOCK_ERR_FORKED) return 2;
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
    int status = 0;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.auto_renew = true));
    long long calls = server_calls(the->server, "evalsha");
    redlock_stats before = stats_of(the->client);
    pid_t child = fork();
    if (child == 0) _exit(live_in_the_child(the, lock));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
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
    redlock_status acquired, extended, released, inspected, closed;
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
    self->closed = redlock_close(self->client);
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
        take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = 50, .on_lost = call_back, .on_lost_arg = &self));
    eventually(was_called, &self);
    EXPECT(self.acquired, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(self.extended, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(self.released, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(self.inspected, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(self.closed, REDLOCK_ERR_IN_CALLBACK);
    assert_false(self.was_held);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    assert_int_equal(atomic_load(&self.calls), 1);
    EXPECT(redlock_release(take(the->client, "r", for_ever())), REDLOCK_OK);
}

static void count_call(void *arg, redlock_lock *lock)
{
    (void)lock;
    atomic_fetch_add(&((listener *)arg)->calls, 1);
}

/* The keeper has looked at the clock after the lease ended: it has told another lock that it is lost. */
static void a_released_lock_is_never_reported_lost(void **state)
{
    stage *the = *state;
    listener released = {.client = the->client}, kept = {.client = the->client};
    redlock_lock *lock =
        take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = 100, .on_lost = count_call, .on_lost_arg = &released));
    EXPECT(redlock_release(lock), REDLOCK_OK);
    lock = take(the->client, "s", REDLOCK_OPTIONS(.ttl_ms = 150, .on_lost = count_call, .on_lost_arg = &kept));
    eventually(was_called, &kept);
    assert_int_equal(atomic_load(&released.calls), 0);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    assert_int_equal(atomic_load(&kept.calls), 1);
}

/* Stays in the callback for long after the release was called, so that one that did not wait would be seen. */
static void linger_in_callback(void *arg, redlock_lock *lock)
{
    listener *self = arg;
    (void)lock;
    atomic_store(&self->has_begun, true);
    for (patience left = patience_begin(); !atomic_load(&self->is_releasing) && !patience_is_over(&left);)
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
    redlock_lock *lock =
        take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = 50, .on_lost = linger_in_callback, .on_lost_arg = &self));
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
    if (redlock_acquire(client, text, for_ever(), &lock) != REDLOCK_OK) {
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
    workshop shop = {.clients = {the->client, the->other}, .pairs = patience_is_instrumented() ? 50 : 200};
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
    for (int i = 0; i < NAMES; i++) assert_int_equal(stage_waiters(the, (char[]){(char)('a' + i), '\0'}), 0);
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
    EXPECT(redlock_acquire(client, "held", REDLOCK_OPTIONS(.wait_ms = wait_ms), &lock), REDLOCK_TIMED_OUT);
}

/* Pitfall 44. */
static void a_storm_of_signals_breaks_nothing(void **state)
{
    stage *the = *state;
    redlock_lock *held = take(the->other, "held", NULL);
    timer_t storm = storm_begin();
    for (int i = 0; i < 200 || signals < 20; i++) expect_free(the->client, "r");
    PUNCTUAL(100 * 1000, time_out(the->client, 100));
    timer_delete(storm);
    signal(SIGUSR1, SIG_DFL);
    assert_int_equal(stats_of(the->client).connections_lost, 0);
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
    taker *waiter = taker_start(the, the->client, "r", REDLOCK_OPTIONS(.wait_ms = -1, .canceller = signalled));
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
        stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(.timeout_ms = 100, LOGGED(the)));
    redlock_lock *one = take(hasty, "a", REDLOCK_OPTIONS(.auto_renew = true)), *two = take(hasty, "b", NULL), *none;
    server_kill(the->server);
    assert_true(redlock_acquire(hasty, "c", NULL, &none) < 0);
    assert_true(redlock_extend(one, 60000) < 0);
    assert_true(redlock_release(one) < 0);
    assert_true(redlock_release(two) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(an_open_client_has_sent_nothing_yet),
        ON_STAGE(a_client_that_connects_now_keeps_that_connection_for_the_first_call),
        ON_STAGE(an_open_that_cannot_connect_gives_no_client),
        ON_STAGE(a_client_over_tcp_selects_its_database),
        ON_STAGE(a_close_releases_what_is_held),
        ON_STAGE(a_handle_after_the_close_is_readable_and_not_held),
        ON_STAGE(a_close_hands_the_lock_to_the_next_waiter),
        ON_STAGE(a_close_ends_every_wait_and_leaves_nothing_in_the_queue),
        ON_STAGE(a_close_takes_no_longer_than_the_timeout),
        ON_STAGE(rounds_of_everything_leave_neither_descriptors_nor_memory),
        ON_STAGE(a_close_with_an_undo_that_cannot_be_told_leaves_nothing),
        ON_STAGE(a_handle_that_outlives_its_client_takes_the_last_memory_with_it),
        ON_STAGE(a_child_is_told_and_touches_nothing_of_its_parent),
        ON_STAGE(a_child_that_ends_leaves_the_parents_locks_alone),
        ON_STAGE(a_callback_may_look_and_is_refused_whatever_blocks),
        ON_STAGE(a_released_lock_is_never_reported_lost),
        ON_STAGE(a_release_waits_for_the_callback_that_runs),
        ON_STAGE(many_threads_share_clients_and_exclude_each_other),
        ON_STAGE(a_storm_of_signals_breaks_nothing),
        ON_STAGE(a_signal_handler_may_cancel),
        ON_STAGE(a_server_that_dies_raises_no_sigpipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
