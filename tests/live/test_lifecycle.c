/* SPDX-License-Identifier: MIT
 * Clients and handles from the first call to the last: opening, closing, and what is left
 * behind. */
#include <dirent.h>

#include "api/handle.h"
#include "host/clock.h"
#include "live/stage.h"

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
    redlock_client *eager =
        stage_open(the, proxy_uri(the->proxy), REDLOCK_CLIENT_OPTIONS(.connect_now = true));
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
    EXPECT(redlock_open(server_uri(the->server),
                        REDLOCK_CLIENT_OPTIONS(.connect_now = true, .detail = &detail), &client),
           REDLOCK_ERR_CONNECT);
    assert_null(client);
    assert_true(detail.text[0] != '\0');
}

static void expect_no_client(const char *uri, redlock_status due, const char *words)
{
    redlock_client *client;
    redlock_detail detail;
    redlock_status st = redlock_open(
        uri,
        REDLOCK_CLIENT_OPTIONS(.connect_now = true, .connect_timeout_ms = 300, .detail = &detail),
        &client);
    assert_string_equal(redlock_status_name(st), redlock_status_name(due));
    assert_null(client);
    if (strstr(detail.text, words) == NULL) fail_msg("%s", detail.text);
}

/* That a connection is made proves nothing of who is there. */
static void an_open_that_connects_proves_that_somebody_serves(void **state)
{
    stage *the = *state;
    proxy_apologize(the->proxy, "HTTP/1.1 400 Bad Request\r\n\r\n");
    expect_no_client(proxy_uri(the->proxy), REDLOCK_ERR_PROTOCOL, "not RESP2");
    proxy_apologize(the->proxy, "-LOADING Redis is loading the dataset in memory\r\n");
    expect_no_client(proxy_uri(the->proxy), REDLOCK_ERR_UNAVAILABLE, "LOADING");
    proxy_apologize(the->proxy, "*0\r\n");
    expect_no_client(proxy_uri(the->proxy), REDLOCK_ERR_PROTOCOL, "");
    proxy_apologize(the->proxy, NULL);
    server_order(the->server, "CONFIG SET requirepass secret");
    expect_no_client(proxy_uri(the->proxy), REDLOCK_ERR_DENIED, "NOAUTH");
    proxy_blackhole(the->proxy, true);
    expect_no_client(proxy_uri(the->proxy), REDLOCK_ERR_TIMEOUT, "not answered in time");
    proxy_blackhole(the->proxy, false);
}

static void a_user_who_may_not_ping_connects_now(void **state)
{
    stage *the = *state;
    server_order(the->server, "ACL SETUSER u reset on >p ~* &* +@all -ping");
    redlock_client *client = stage_open(
        the, server_uri(the->server),
        REDLOCK_CLIENT_OPTIONS(.user = "u", .password = "p", .connect_now = true, LOGGED(the)));
    expect_free(client, "r");
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
    redlock_lock *one = take(closing, "a", NULL),
                 *two = take(closing, "b", REDLOCK_OPTIONS(.auto_renew = true));
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
    taker *next = taker_start(the, the->other, "r", FOR_EVER);
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
    for (int i = 0; i < WAITERS; i++) waiters[i] = taker_start(the, closing, "r", FOR_EVER);
    await_waiters(the, "r", WAITERS);
    stage_close(the, closing);
    for (int i = 0; i < WAITERS; i++) expect_taker(waiters[i], REDLOCK_ERR_CLOSED);
    await_waiters(the, "r", 0);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, "r");
}

static void a_close_takes_no_longer_than_the_timeout(void **state)
{
    stage *the = *state;
    int64_t timeout_ms = patience_outlasting_ms(200);
    for (int is_dead = 0; is_dead < 2; is_dead++) {
        redlock_client *closing =
            stage_open(the, server_uri(the->server),
                       REDLOCK_CLIENT_OPTIONS(.timeout_ms = timeout_ms, LOGGED(the)));
        redlock_lock *lock = take(closing, "r", REDLOCK_OPTIONS(.auto_renew = true));
        if (is_dead) server_kill(the->server);
        else server_freeze(the->server);
        stall from = stall_begin();
        stage_close(the, closing);
        ENDED(&from, 0, timeout_ms * 1000);
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

static void release_counted(void *arg, void *block)
{
    (void)arg;
    if (block != NULL) atomic_fetch_sub(&blocks, 1);
    free(block);
}

static bool has_blocks(void *count) { return atomic_load(&blocks) == *(long *)count; }

#define COUNTED .allocator = {allocate_counted, release_counted, NULL}

static void rounds_of_everything_leave_neither_descriptors_nor_memory(void **state)
{
    stage *the = *state;
    redlock_lock *strange = take(the->client, "held", REDLOCK_OPTIONS(.ttl_ms = 600000));
    int rounds = patience_is_instrumented() ? 100 : 1000;
    long before = atomic_load(&blocks);
    int descriptors = open_descriptors();
    for (int i = 0; i < rounds; i++) {
        redlock_client *client =
            stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(COUNTED));
        redlock_lock *none;
        redlock_lock *lock = take(client, "r", REDLOCK_OPTIONS(.auto_renew = i % 2 == 0));
        if (i % 16 == 0)
            EXPECT(redlock_acquire(client, "held", REDLOCK_OPTIONS(.wait_ms = 20), &none),
                   REDLOCK_TIMED_OUT);
        EXPECT(redlock_release(lock), REDLOCK_OK);
        stage_close(the, client);
        assert_int_equal(atomic_load(&blocks), before);
    }
    assert_int_equal(open_descriptors(), descriptors);
    EXPECT(redlock_release(strange), REDLOCK_OK);
}

/* The undo of what is owed is given up by the close, and its client with it. */
static void a_close_with_an_undo_that_cannot_be_told_leaves_nothing(void **state)
{
    stage *the = *state;
    int descriptors = open_descriptors();
    long before = atomic_load(&blocks);
    redlock_client *client =
        stage_open(the, server_uri(the->server),
                   REDLOCK_CLIENT_OPTIONS(COUNTED, .timeout_ms = brief_ms(), LOGGED(the)));
    redlock_lock *lock = take(client, "r", NULL), *none;
    server_freeze(the->server);
    EXPECT(redlock_release(lock), REDLOCK_ERR_TIMEOUT);
    EXPECT(redlock_acquire(client, "s", NULL, &none), REDLOCK_ERR_TIMEOUT);
    stage_close(the, client);
    assert_int_equal(atomic_load(&blocks), before);
    assert_int_equal(open_descriptors(), descriptors);
    server_thaw(the->server);
}

/* ---- Calls that have only just begun ---- */

/* An allocator that holds up one call, the first that comes once it is up. */
typedef struct hurdle {
    redlock_client *client;
    _Atomic bool is_up, is_reached, is_taken_away, is_closed;
} hurdle;

static void *allocate_behind(void *arg, size_t size)
{
    hurdle *self = arg;
    if (atomic_exchange(&self->is_up, false)) {
        atomic_store(&self->is_reached, true);
        while (!atomic_load(&self->is_taken_away)) patience_pause();
    }
    return malloc(size);
}

static void release_behind(void *arg, void *block)
{
    (void)arg;
    free(block);
}

static bool is_reached(void *of) { return atomic_load(&((hurdle *)of)->is_reached); }

static void *close_behind(void *of)
{
    hurdle *self = of;
    (void)redlock_close(self->client);
    atomic_store(&self->is_closed, true);
    return NULL;
}

/* It holds nothing yet by which it could be waited for, neither a connection nor a handle. */
static void a_call_that_has_only_just_begun_is_waited_for(void **state)
{
    stage *the = *state;
    pthread_t closer;
    hurdle before = {.is_up = false};
    redlock_client_options behind = {.struct_size = sizeof behind,
                                     .allocator = {allocate_behind, release_behind, &before}};
    EXPECT(redlock_open(server_uri(the->server), &behind, &before.client), REDLOCK_OK);
    redlock_lock *held = take(the->client, "r", NULL);
    taker *waits = taker_start(the, before.client, "r", FOR_EVER);
    await_waiters(the, "r", 1);
    atomic_store(&before.is_up, true);
    taker *begins = taker_start(the, before.client, "s", REDLOCK_OPTIONS(.ttl_ms = 1000));
    eventually(is_reached, &before);
    assert_int_equal(pthread_create(&closer, NULL, close_behind, &before), 0);
    expect_taker(waits, REDLOCK_ERR_CLOSED); /* the close is well under way ... */
    for (int i = 0; i < 20; i++) {
        patience_pause();
        assert_false(atomic_load(&before.is_closed)); /* ... and not over */
    }
    atomic_store(&before.is_taken_away, true);
    expect_taker(begins, REDLOCK_ERR_CLOSED);
    pthread_join(closer, NULL);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

static bool is_closing(void *of)
{
    keeper *self = of;
    mutex_lock(&self->locks.mutex);
    bool is = self->locks.is_closing;
    mutex_unlock(&self->locks.mutex);
    return is;
}

/* Its thread was preempted where the lock is in no hands but its own, and finds the client closed
 * when it goes on. */
static void a_release_that_has_only_just_begun_is_waited_for(void **state)
{
    stage *the = *state;
    pthread_t closer;
    hurdle before = {.is_up = false};
    EXPECT(redlock_open(server_uri(the->server), NULL, &before.client), REDLOCK_OK);
    redlock_lock *lock = take(before.client, "r", REDLOCK_OPTIONS(.ttl_ms = 60000));
    keeper *keeps = &client_of(lock)->keeper;
    assert_true(holds_leave(&before.client->holds, lock));
    assert_int_equal(keeper_let_go(keeps, lock, true, clock_now_us()), REDLOCK_OK);
    assert_int_equal(pthread_create(&closer, NULL, close_behind, &before), 0);
    eventually(is_closing, keeps);
    for (int i = 0; i < 20; i++) {
        patience_pause();
        assert_false(atomic_load(&before.is_closed));
    }
    keeper_unanswered(keeps, lock, clock_now_us());
    pthread_join(closer, NULL);
    assert_int_equal(stage_holders(the, "r"), 0);
}

/* ---- A callback closes, others are in calls ---- */

static void close_its_client(void *arg, redlock_lock *lock)
{
    (void)lock;
    (void)redlock_close(*(redlock_client **)arg);
}

static void *release_elsewhere(void *arg)
{
    redlock_status status = redlock_release(arg);
    return (void *)(intptr_t)status;
}

/* The keeper's thread waits for the release, which waits for the frozen server. The wait that ends
 * meanwhile owes an undo, which would start a thread, were there not one already that closes. */
static void a_client_that_a_callback_closes_is_closed_once(void **state)
{
    stage *the = *state;
    pthread_t releaser;
    void *status;
    long before = atomic_load(&blocks);
    redlock_client *closing = NULL;
    EXPECT(redlock_open(server_uri(the->server),
                        REDLOCK_CLIENT_OPTIONS(COUNTED, .timeout_ms = 1500), &closing),
           REDLOCK_OK);
    redlock_lock *held = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = 60000));
    redlock_lock *given = take(closing, "a", REDLOCK_OPTIONS(.ttl_ms = 60000));
    redlock_lock *lost =
        take(closing, "b",
             REDLOCK_OPTIONS(.ttl_ms = 300, .auto_renew = true, .on_lost = close_its_client,
                             .on_lost_arg = &closing));
    taker *waits = taker_start(the, closing, "r", FOR_EVER);
    await_waiters(the, "r", 1);
    server_freeze(the->server);
    assert_int_equal(pthread_create(&releaser, NULL, release_elsewhere, given), 0);
    expect_taker(waits, REDLOCK_ERR_CLOSED);
    pthread_join(releaser, &status);
    assert_int_equal((intptr_t)status, REDLOCK_ERR_TIMEOUT);
    EXPECT(redlock_release(lost), REDLOCK_LOST);
    server_thaw(the->server);
    eventually(has_blocks, &before);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

static void a_handle_that_outlives_its_client_takes_the_last_memory_with_it(void **state)
{
    stage *the = *state;
    int descriptors = open_descriptors();
    long before = atomic_load(&blocks);
    redlock_client *client =
        stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(COUNTED));
    redlock_lock *lock = take(client, "r", NULL);
    stage_close(the, client);
    EXPECT(redlock_release(lock), REDLOCK_ERR_CLOSED);
    assert_int_equal(atomic_load(&blocks), before);
    assert_int_equal(open_descriptors(), descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(an_open_client_has_sent_nothing_yet),
        ON_STAGE(a_client_that_connects_now_keeps_that_connection_for_the_first_call),
        ON_STAGE(an_open_that_cannot_connect_gives_no_client),
        ON_STAGE(an_open_that_connects_proves_that_somebody_serves),
        ON_STAGE(a_user_who_may_not_ping_connects_now),
        ON_STAGE(a_client_over_tcp_selects_its_database),
        ON_STAGE(a_close_releases_what_is_held),
        ON_STAGE(a_handle_after_the_close_is_readable_and_not_held),
        ON_STAGE(a_close_hands_the_lock_to_the_next_waiter),
        ON_STAGE(a_close_ends_every_wait_and_leaves_nothing_in_the_queue),
        ON_STAGE(a_close_takes_no_longer_than_the_timeout),
        ON_STAGE(rounds_of_everything_leave_neither_descriptors_nor_memory),
        ON_STAGE(a_close_with_an_undo_that_cannot_be_told_leaves_nothing),
        ON_STAGE(a_call_that_has_only_just_begun_is_waited_for),
        ON_STAGE(a_release_that_has_only_just_begun_is_waited_for),
        ON_STAGE(a_client_that_a_callback_closes_is_closed_once),
        ON_STAGE(a_handle_that_outlives_its_client_takes_the_last_memory_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
