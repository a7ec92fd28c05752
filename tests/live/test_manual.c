/* SPDX-License-Identifier: MIT
 * A client without a thread: everything happens inside redlock_process, nothing blocks there, and
 * the one descriptor says when to call it. */
#include <sys/epoll.h>

#include "live/async_stage.h"

/* ---- No thread --------------------------------------------------------------------------------*/

static void there_is_no_thread(void **state)
{
    async_stage *the = *state;
    int threads = running_threads();
    loop *on = async_open_plain(the);
    deed *renewed = deed_new(on), *waits = deed_new(on);
    deed_acquire(renewed, "r", REDLOCK_OPTIONS(.ttl_ms = 600, .auto_renew = true));
    deed_acquire(waits, "r", REDLOCK_OPTIONS(.wait_ms = 300));
    COMPLETES(waits, REDLOCK_TIMED_OUT);
    redlock_lock *also = take(on->client, "s", REDLOCK_OPTIONS(.auto_renew = true));
    assert_int_equal(running_threads(), threads);
    EXPECT(redlock_release(also), REDLOCK_OK);
    deed_release(deed_new(on), renewed->lock);
    assert_int_equal(running_threads(), threads);
}

static void note_loss(void *arg, redlock_lock *lock)
{
    (void)lock;
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static void renewal_and_loss_happen_inside_process_only(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *held = deed_new(on);
    _Atomic int told = 0;
    deed_acquire(held, "r",
                 REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(300), .auto_renew = true,
                                 .on_lost = note_loss, .on_lost_arg = (void *)&told));
    COMPLETES(held, REDLOCK_OK);
    uint64_t renewed = stats_of(on->client).renewed;
    eventually(is_unheld, held->lock); /* nobody calls redlock_process */
    assert_int_equal(stats_of(on->client).renewed, renewed);
    assert_int_equal(told, 0);
    EXPECT(loop_process(on), REDLOCK_OK);
    assert_int_equal(told, 1);
    deed_release(deed_new(on), held->lock);
}

/* ---- Blocking calls: nobody tidies up behind them -------------------------------------------- */

static void a_blocking_wait_that_ends_leaves_the_queue_before_it_returns(void **state)
{
    async_stage *the = *state;
    redlock_lock *none, *held = take(the->stage->other, "r", NULL);
    loop *on = async_open(the, proxy_uri(the->stage->proxy), REDLOCK_CLIENT_OPTIONS(.spin_us = -1));
    EXPECT(redlock_acquire(on->client, "r", REDLOCK_OPTIONS(.wait_ms = 50), &none),
           REDLOCK_TIMED_OUT);
    assert_int_equal(stage_waiters(the->stage, "r"), 0);
    proxy_slow(the->stage->proxy, 16384, 20000); /* a server that is not near */
    EXPECT(redlock_acquire(on->client, "r", REDLOCK_OPTIONS(.wait_ms = 100), &none),
           REDLOCK_TIMED_OUT);
    assert_int_equal(stage_waiters(the->stage, "r"), 0);
    assert_int_equal(stats_of(on->client).undone, 0);
    proxy_slow(the->stage->proxy, 0, 0);
    EXPECT(redlock_release(held), REDLOCK_OK);
    assert_int_equal(stage_holders(the->stage, "r"), 0);
}

static void a_blocking_wait_that_is_cancelled_leaves_the_queue_before_it_returns(void **state)
{
    async_stage *the = *state;
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    redlock_lock *held = take(the->stage->other, "r", NULL);
    loop *on = async_open(the, proxy_uri(the->stage->proxy), REDLOCK_CLIENT_OPTIONS(.spin_us = -1));
    taker *waits = queued(the->stage, on->client, 1,
                          REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .canceller = canceller));
    proxy_slow(the->stage->proxy, 16384, 20000);
    redlock_cancel(canceller);
    expect_taker(waits, REDLOCK_CANCELLED);
    assert_int_equal(stage_waiters(the->stage, "r"), 0);
    proxy_slow(the->stage->proxy, 0, 0);
    EXPECT(redlock_release(held), REDLOCK_OK);
    redlock_canceller_close(canceller);
}

static void a_lock_that_is_handed_to_a_blocking_call_has_its_ttl(void **state)
{
    async_stage *the = *state;
    redlock_lock *held = take(the->stage->other, "r", NULL);
    loop *on = async_open_plain(the);
    taker *waits =
        queued(the->stage, on->client, 1, REDLOCK_OPTIONS(.wait_ms = LONG_MS, .ttl_ms = 20000));
    EXPECT(redlock_release(held), REDLOCK_OK);
    expect_taker(waits, REDLOCK_OK);
    assert_in_range(redlock_remaining_ms(waits->lock), 10000, 20000);
    assert_int_equal(stats_of(on->client).handed_over, 1);
    taker_release(waits);
}

static void a_set_in_vain_holds_nothing_when_it_returns(void **state)
{
    async_stage *the = *state;
    const redlock_name_bytes two[] = {{"a", 1}, {"b", 1}};
    redlock_set *set;
    redlock_lock *held = take(the->stage->other, "b", NULL);
    loop *on = async_open_plain(the);
    EXPECT(redlock_acquire_set(on->client, two, 2, NULL, &set), REDLOCK_BUSY);
    assert_int_equal(stage_holders(the->stage, "a"), 0);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

/* ---- The descriptor ---------------------------------------------------------------------------*/

/* The event loop of a program that trusts the descriptor: it sleeps until it is readable, however
 * long. */
static void trust(loop *on, bool (*is_so)(void *arg), void *arg)
{
    struct pollfd look = {.fd = redlock_fd(on->client), .events = POLLIN};
    while (!is_so(arg)) {
        assert_int_equal(poll(&look, 1, 10000), 1);
        EXPECT(loop_process(on), REDLOCK_OK);
    }
}

static bool was_told(void *arg) { return atomic_load((_Atomic int *)arg) > 0; }
static bool was_renewed_often(void *client) { return stats_of(client).renewed >= 4; }

static void the_descriptor_alone_suffices(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *held = deed_new(on), *late = deed_new(on), *next = deed_new(on), *given = deed_new(on);
    _Atomic int told = 0;
    deed_acquire(held, "r",
                 REDLOCK_OPTIONS(.ttl_ms = 600, .auto_renew = true, .on_lost = note_loss,
                                 .on_lost_arg = (void *)&told));
    deed_acquire(late, "r", REDLOCK_OPTIONS(.wait_ms = 100));
    trust(on, deed_is_done, held);
    trust(on, deed_is_done, late);
    check_deed(late, "REDLOCK_TIMED_OUT");
    trust(on, was_renewed_often, on->client);
    assert_true(redlock_is_held(held->lock));
    server_restart(the->stage->server); /* empty */
    trust(on, was_told, (void *)&told);
    deed_acquire(next, "r", REDLOCK_OPTIONS(.wait_ms = 5000));
    trust(on, deed_is_done, next);
    check_deed(next, "REDLOCK_OK");
    deed_release(given, held->lock);
    trust(on, deed_is_done, given);
    check_deed(given, "REDLOCK_LOST");
    deed_release(deed_new(on), next->lock);
}

/* The server is away while it sleeps: reconnecting and giving up are the timer's. */
static void the_descriptor_tells_of_a_server_that_is_away(void **state)
{
    async_stage *the = *state;
    loop *on = async_open(the, server_uri(the->stage->server),
                          REDLOCK_CLIENT_OPTIONS(.timeout_ms = brief_ms()));
    deed *in_vain = deed_new(on), *patient = deed_new(on);
    server_kill(the->stage->server);
    deed_acquire(in_vain, "r", NULL);
    trust(on, deed_is_done, in_vain);
    check_deed(in_vain, "REDLOCK_ERR_CONNECT");
    deed_acquire(patient, "r", REDLOCK_OPTIONS(.wait_ms = 9000));
    EXPECT(loop_process(on), REDLOCK_OK);
    server_restart(the->stage->server);
    trust(on, deed_is_done, patient);
    check_deed(patient, "REDLOCK_OK");
    deed_release(deed_new(on), patient->lock);
}

static void a_client_with_nothing_to_do_is_silent(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    struct pollfd look = {.fd = redlock_fd(on->client), .events = POLLIN};
    assert_int_equal(redlock_timeout_ms(on->client), -1);
    assert_int_equal(poll(&look, 1, 0), 0);
    deed *held = deed_new(on);
    deed_acquire(held, "r", REDLOCK_OPTIONS(.ttl_ms = 9000, .auto_renew = true));
    COMPLETES(held, REDLOCK_OK);
    while (poll(&look, 1, 0) > 0) EXPECT(loop_process(on), REDLOCK_OK);
    unsigned rounds = on->rounds;
    loop_for(on, 200);
    assert_in_range(on->rounds - rounds, 0, 2);
    deed_release(deed_new(on), held->lock);
}

static void the_timeout_is_when_the_descriptor_becomes_readable(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    struct pollfd look = {.fd = redlock_fd(on->client), .events = POLLIN};
    deed *held = deed_new(on);
    deed_acquire(held, "r", REDLOCK_OPTIONS(.ttl_ms = 900, .auto_renew = true));
    assert_int_equal(redlock_timeout_ms(on->client), 0);
    COMPLETES(held, REDLOCK_OK);
    while (poll(&look, 1, 0) > 0) EXPECT(loop_process(on), REDLOCK_OK);
    for (int i = 0; i < 2; i++) {
        stall from = stall_begin();
        int64_t timeout_ms = redlock_timeout_ms(on->client);
        assert_in_range(timeout_ms, 1, 900);
        assert_int_equal(poll(&look, 1, LONG_MS), 1);
        ENDED(&from, (timeout_ms - 2) * 1000, timeout_ms * 1000);
        assert_int_equal(redlock_timeout_ms(on->client), 0);
        EXPECT(loop_process(on), REDLOCK_OK);
        while (poll(&look, 1, 20) > 0) EXPECT(loop_process(on), REDLOCK_OK); /* the answer */
    }
    deed_release(deed_new(on), held->lock);
}

/* A loop that knows no timer but its own, and no descriptor: by the timeout alone, at least every 5
 * ms for the sockets. */
static void the_timeout_alone_suffices(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *held = deed_new(on), *late = deed_new(on);
    deed_acquire(held, "r", REDLOCK_OPTIONS(.ttl_ms = 600, .auto_renew = true));
    deed_acquire(late, "r", REDLOCK_OPTIONS(.wait_ms = 700));
    for (patience left = patience_begin(); !deed_is_done(late) && !patience_is_over(&left);) {
        int64_t timeout_ms = redlock_timeout_ms(on->client);
        poll(NULL, 0, timeout_ms < 0 || timeout_ms > 5 ? 5 : (int)timeout_ms);
        EXPECT(loop_process(on), REDLOCK_OK);
    }
    check_deed(late, "REDLOCK_TIMED_OUT");
    assert_true(redlock_is_held(held->lock));
    deed_release(deed_new(on), held->lock);
}

static void the_descriptor_nests_in_another_set(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wanted = {.events = EPOLLIN}, seen;
    assert_int_equal(epoll_ctl(set, EPOLL_CTL_ADD, redlock_fd(on->client), &wanted), 0);
    deed *held = deed_new(on), *late = deed_new(on);
    deed_acquire(held, "r", REDLOCK_OPTIONS(.ttl_ms = 500, .auto_renew = true));
    deed_acquire(late, "r", REDLOCK_OPTIONS(.wait_ms = 600));
    while (!deed_is_done(late)) {
        assert_int_equal(epoll_wait(set, &seen, 1, 10000), 1);
        EXPECT(loop_process(on), REDLOCK_OK);
    }
    check_deed(late, "REDLOCK_TIMED_OUT");
    assert_true(redlock_is_held(held->lock));
    deed_release(deed_new(on), held->lock);
    close(set);
}

static void the_other_hosts_have_what_they_have(void **state)
{
    async_stage *the = *state;
    redlock_client *keeper = stage_open(the->stage, server_uri(the->stage->server), NULL);
    redlock_client *deliver = stage_open(the->stage, server_uri(the->stage->server),
                                         REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_DELIVER));
    assert_int_equal(redlock_fd(keeper), -1);
    assert_int_equal(redlock_timeout_ms(keeper), -1);
    EXPECT(redlock_process(keeper), REDLOCK_ERR_ARGUMENT);
    assert_true(redlock_fd(deliver) >= 0);
    assert_int_equal(redlock_timeout_ms(deliver), -1);
    EXPECT(redlock_process(deliver), REDLOCK_OK);
    assert_int_equal(redlock_fd(NULL), -1);
    EXPECT(redlock_process(NULL), REDLOCK_ERR_ARGUMENT);
}

/* Any thread may submit to it; the loop's thread is woken by the descriptor. */
static void *submit_elsewhere(void *arg)
{
    deed_acquire(arg, "r", NULL);
    return NULL;
}

static void another_thread_wakes_the_loop(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *one = deed_new(on);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, submit_elsewhere, one), 0);
    trust(on, deed_is_done, one);
    pthread_join(thread, NULL);
    check_deed(one, "REDLOCK_OK");
    deed_release(deed_new(on), one->lock);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        ON_HOST(there_is_no_thread, by_hand),
        ON_HOST(renewal_and_loss_happen_inside_process_only, by_hand),
        ON_HOST(a_blocking_wait_that_ends_leaves_the_queue_before_it_returns, by_hand),
        ON_HOST(a_blocking_wait_that_is_cancelled_leaves_the_queue_before_it_returns, by_hand),
        ON_HOST(a_lock_that_is_handed_to_a_blocking_call_has_its_ttl, by_hand),
        ON_HOST(a_set_in_vain_holds_nothing_when_it_returns, by_hand),
        ON_HOST(the_descriptor_alone_suffices, by_hand),
        ON_HOST(the_descriptor_tells_of_a_server_that_is_away, by_hand),
        ON_HOST(a_client_with_nothing_to_do_is_silent, by_hand),
        ON_HOST(the_timeout_is_when_the_descriptor_becomes_readable, by_hand),
        ON_HOST(the_timeout_alone_suffices, by_hand),
        ON_HOST(the_descriptor_nests_in_another_set, by_hand),
        ON_HOST(the_other_hosts_have_what_they_have, by_hand),
        ON_HOST(another_thread_wakes_the_loop, by_hand),
    };
    /* clang-format on */
    return cmocka_run_group_tests_name("live manual", tests, NULL, NULL);
}
