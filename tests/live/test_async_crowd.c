/* SPDX-License-Identifier: MIT
 * Thousands of asynchronous operations of one client at once: two connections serve them all, in
 * order, whatever happens to the server meanwhile. */
#include "live/async_stage.h"

/* ---- Ten thousand waiters on a hundred locks --------------------------------------------------*/

enum { HOT = 100 };

typedef struct crowd {
    deeds waiters;
    _Atomic size_t served;
    size_t last_of[HOT]; /* who was served last on each lock, counted from 1 */
    bool is_in_order;
} crowd;

static crowd the_crowd;

static size_t crowd_size(void) { return patience_is_instrumented() ? 2000 : 10000; }

static const char *name_of(size_t lock)
{
    static _Thread_local char name[32];
    snprintf(name, sizeof name, "hot:%zu", lock);
    return name;
}

static void serve(deed *self)
{
    size_t index = (size_t)(self - the_crowd.waiters.first), lock = index % HOT;
    if (self->status != REDLOCK_OK || index + 1 <= the_crowd.last_of[lock])
        the_crowd.is_in_order = false;
    the_crowd.last_of[lock] = index + 1;
    redlock_lock *held = self->lock;
    self->lock = NULL;
    if (held != NULL) redlock_release_async(held, NULL, NULL);
    atomic_fetch_add(&the_crowd.served, 1);
}

static void gather(async_stage *the, const redlock_options *options)
{
    the_crowd = (crowd){.waiters = deeds_new(&the->loop, crowd_size()), .is_in_order = true};
    for (size_t i = 0; i < crowd_size(); i++) {
        the_crowd.waiters.first[i].then = serve;
        deed_acquire(&the_crowd.waiters.first[i], name_of(i % HOT), options);
    }
}

static bool all_are_queued(void *arg)
{
    stage *the = ((async_stage *)arg)->stage;
    long long queued = 0;
    for (size_t lock = 0; lock < HOT; lock++) queued += stage_waiters(the, name_of(lock));
    return queued == (long long)crowd_size();
}

static bool all_are_served(void *unused)
{
    (void)unused;
    return atomic_load(&the_crowd.served) == crowd_size();
}

static bool more_are_served(void *before)
{
    return atomic_load(&the_crowd.served) > *(size_t *)before;
}

/* However long it takes for all, one after the other is served. */
static void await_service(loop *on)
{
    while (!all_are_served(NULL)) {
        size_t before = atomic_load(&the_crowd.served);
        if (before < crowd_size()) loop_until(on, more_are_served, &before);
    }
}

/* The two of the client; not the fixture's own, nor those of `other`. */
static int connections_named(stage *the, const char *name)
{
    char needle[64];
    int count = 0;
    redisReply *list = server_command(the->server, "CLIENT LIST");
    snprintf(needle, sizeof needle, "name=%s ", name);
    for (const char *at = list->str; (at = strstr(at, needle)) != NULL; at++) count++;
    freeReplyObject(list);
    return count;
}

static void two_connections_serve_ten_thousand_waiters_in_order(void **state)
{
    async_stage *the = *state;
    loop *on = async_open(
        the, server_uri(the->stage->server),
        REDLOCK_CLIENT_OPTIONS(.name = "crowd", .timeout_ms = 30000, COUNTED_BY(&the->account)));
    redlock_lock *busy[HOT];
    for (size_t lock = 0; lock < HOT; lock++)
        busy[lock] = take(the->stage->other, name_of(lock), FOR_EVER);
    long before = atomic_load(&the->account.bytes);
    gather(the, FOR_EVER);
    loop_until(on, all_are_queued, the);
    long each = (atomic_load(&the->account.bytes) - before) / (long)crowd_size();
    assert_int_equal(connections_named(the->stage, "crowd"), 2);
    int64_t from_us = now_us();
    for (size_t lock = 0; lock < HOT; lock++) EXPECT(redlock_release(busy[lock]), REDLOCK_OK);
    await_service(on);
    print_message("%zu waiters: %ld bytes each; all served in %lld ms\n", crowd_size(), each,
                  (long long)(now_us() - from_us) / 1000);
    assert_true(the_crowd.is_in_order);
    deeds_expect(&the_crowd.waiters, REDLOCK_OK);
    assert_int_equal(stats_of(on->client).connections, 2);
    assert_in_range(each, 1, 4096);
}

/* ---- Trouble with thousands in flight ---------------------------------------------------------*/

/* Every second one may be lost with the server that granted it, but each is served once, and none
 * hangs. */
static void a_server_that_restarts_serves_all_that_are_in_flight(void **state)
{
    async_stage *the = *state;
    loop *on = async_open(the, server_uri(the->stage->server),
                          REDLOCK_CLIENT_OPTIONS(COUNTED_BY(&the->account)));
    gather(the, FOR_EVER);
    for (int i = 0; i < 3; i++) {
        loop_for(on, 10);
        server_kill(the->stage->server);
        loop_for(on, 10);
        server_restart(the->stage->server);
    }
    await_service(on);
    deeds_expect(&the_crowd.waiters, REDLOCK_OK);
    async_close(the);
}

/* What was in the queue when its connections were cut is asked for again, and nobody waits for a
 * claim to run out. */
static void cut_connections_lose_no_waiter(void **state)
{
    async_stage *the = *state;
    loop *on = async_open(the, proxy_uri(the->stage->proxy),
                          REDLOCK_CLIENT_OPTIONS(COUNTED_BY(&the->account)));
    redlock_lock *busy = take(the->stage->other, name_of(0), FOR_EVER);
    gather(the, REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .claim_ms = 2000));
    for (int i = 0; i < 5; i++) {
        loop_for(on, 5);
        proxy_cut(the->stage->proxy);
    }
    EXPECT(redlock_release(busy), REDLOCK_OK);
    await_service(on);
    deeds_expect(&the_crowd.waiters, REDLOCK_OK);
    async_close(the);
}

static void scripts_that_are_flushed_are_sent_again(void **state)
{
    async_stage *the = *state;
    loop *on = async_open(the, server_uri(the->stage->server),
                          REDLOCK_CLIENT_OPTIONS(COUNTED_BY(&the->account)));
    gather(the, FOR_EVER);
    for (int i = 0; i < 20 && !all_are_served(NULL); i++) {
        loop_for(on, 2);
        server_number(the->stage->server, "SCRIPT FLUSH");
    }
    await_service(on);
    deeds_expect(&the_crowd.waiters, REDLOCK_OK);
    assert_int_equal(stats_of(on->client).connections_lost, 0);
    async_close(the);
}

/* Since Redis 7 by the name of the subcommand, before together with SCRIPT FLUSH. */
static long long loads(stage *the)
{
    return server_calls(the->server, "script|load") + server_calls(the->server, "script");
}

/* One source each would be tens of megabytes. Acquire and release are loaded once, and each is
 * asked at most twice. */
static void a_script_that_is_missing_is_loaded_once_for_everybody(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    gather(the, REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .claim_ms = LONG_MS));
    await_service(on);
    assert_int_equal(server_calls(the->stage->server, "eval"), 0);
    assert_int_equal(loads(the->stage), 2);
    assert_in_range(stats_of(on->client).commands, 2 * crowd_size(), 4 * crowd_size() + 8);
}

/* Each loss of the scripts costs a load of each, and nobody is asked more often than once more. */
static void scripts_that_are_flushed_once_are_loaded_once_more(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    expect_free(the->stage->other, "r");
    gather(the, REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .claim_ms = LONG_MS));
    loop_for(on, 10);
    server_number(the->stage->server, "SCRIPT FLUSH");
    await_service(on);
    assert_int_equal(server_calls(the->stage->server, "eval"), 0);
    assert_in_range(loads(the->stage), 2 + 1, 2 + 2 + 1);
    assert_in_range(stats_of(on->client).commands, 2 * crowd_size(), 4 * crowd_size() + 8);
    assert_int_equal(stats_of(on->client).connections_lost, 0);
}

/* Each is answered, however long the server needs for all. */
static loop *open_patient(async_stage *the)
{
    return async_open(the, server_uri(the->stage->server),
                      REDLOCK_CLIENT_OPTIONS(.timeout_ms = 30000));
}

static void all_of_a_crowd_time_out(void **state)
{
    async_stage *the = *state;
    loop *on = open_patient(the);
    redlock_lock *busy = take(the->stage->other, "r", NULL);
    deeds waiters = deeds_new(on, crowd_size());
    for (size_t i = 0; i < waiters.count; i++)
        deed_acquire(&waiters.first[i], "r",
                     REDLOCK_OPTIONS(.wait_ms = 300 + (int64_t)(i % 7) * 20));
    deeds_expect(&waiters, REDLOCK_TIMED_OUT);
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 0}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

static void all_of_a_crowd_are_cancelled(void **state)
{
    async_stage *the = *state;
    loop *on = open_patient(the);
    redlock_lock *busy = take(the->stage->other, "r", NULL);
    deeds waiters = deeds_new(on, crowd_size());
    for (size_t i = 0; i < waiters.count; i++) deed_acquire(&waiters.first[i], "r", FOR_EVER);
    loop_for(on, 20);
    for (size_t i = 0; i < waiters.count; i++)
        redlock_cancel_async(on->client, waiters.first[i].id);
    deeds_expect(&waiters, REDLOCK_CANCELLED);
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 0}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

static void a_close_completes_a_crowd(void **state)
{
    async_stage *the = *state;
    loop *on = open_patient(the);
    redlock_lock *busy = take(the->stage->other, "r", NULL);
    deeds waiters = deeds_new(on, crowd_size());
    for (size_t i = 0; i < waiters.count; i++) deed_acquire(&waiters.first[i], "r", FOR_EVER);
    loop_for(on, 20);
    async_close(the);
    for (size_t i = 0; i < waiters.count; i++) assert_int_equal(waiters.first[i].completions, 1);
    for (size_t i = 0; i < waiters.count; i++) EXPECT(waiters.first[i].status, REDLOCK_ERR_CLOSED);
    assert_int_equal(stage_waiters(the->stage, "r"), 0);
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        ON_EVERY_HOST(two_connections_serve_ten_thousand_waiters_in_order),
        ON_EVERY_HOST(a_server_that_restarts_serves_all_that_are_in_flight),
        ON_EVERY_HOST(cut_connections_lose_no_waiter),
        ON_EVERY_HOST(scripts_that_are_flushed_are_sent_again),
        ON_HOST(a_script_that_is_missing_is_loaded_once_for_everybody, by_hand),
        ON_HOST(scripts_that_are_flushed_once_are_loaded_once_more, by_hand),
        ON_EVERY_HOST(all_of_a_crowd_time_out),
        ON_EVERY_HOST(all_of_a_crowd_are_cancelled),
        ON_EVERY_HOST(a_close_completes_a_crowd),
    };
    /* clang-format on */
    return cmocka_run_group_tests_name("live async crowd", tests, NULL, NULL);
}
