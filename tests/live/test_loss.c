/* SPDX-License-Identifier: MIT
 * A holder always hears of its loss: once, on the keeper's thread, and no later than the end of its
 * validity. */
#include <stdio.h>

#include "support/proxy.h"
#include "support/witness.h"

enum { HOLDERS = 50 };

typedef struct fixture {
    server *server;
    proxy *proxy;
    redlock_client *client;
    atomic_long memory; /* pieces that the client has */
    witness seen[HOLDERS];
} fixture;

static void *allocate(void *arg, size_t size)
{
    atomic_fetch_add((atomic_long *)arg, 1);
    return malloc(size);
}

static void give_back(void *arg, void *memory)
{
    if (memory != NULL) atomic_fetch_sub((atomic_long *)arg, 1);
    free(memory);
}

static int start(void **state)
{
    static fixture the;
    memset(&the, 0, sizeof the);
    the.server = server_start(NULL);
    the.proxy = proxy_start(the.server);
    *state = &the;
    redlock_allocator counting = {allocate, give_back, &the.memory};
    return redlock_open(proxy_uri(the.proxy),
                        REDLOCK_CLIENT_OPTIONS(.timeout_ms = 500, .allocator = counting),
                        &the.client);
}

static int stop(void **state)
{
    fixture *the = *state;
    redlock_status closed = redlock_close(the->client);
    proxy_stop(the->proxy);
    server_stop(the->server);
    return closed == REDLOCK_OK && atomic_load(&the->memory) == 0 ? 0 : -1;
}

static witness *hold(fixture *the, int index, int64_t ttl_ms)
{
    char name[16];
    snprintf(name, sizeof name, "l%d", index);
    witness *seen = &the->seen[index];
    redlock_options options = {.struct_size = sizeof options,
                               .ttl_ms = ttl_ms,
                               .auto_renew = true,
                               .on_lost = witness_told,
                               .on_lost_arg = seen};
    redlock_detail why;
    options.detail = &why;
    seen->held = stall_begin();
    redlock_status status = redlock_acquire(the->client, name, &options, &seen->lock);
    if (status != REDLOCK_OK) fail_msg("%s: %s", redlock_status_name(status), why.text);
    return seen;
}

static void assert_told_in_time(const witness *seen)
{
    expect_told_in_time(seen);
    assert_int_equal(atomic_load(&seen->told), 1);
    assert_false(seen->saw_it_held);
}

/* ---- How it is told ---------------------------------------------------------------------------*/

static void a_deleted_lock_is_told_at_the_next_renewal(void **state)
{
    fixture *the = *state;
    witness *seen = hold(the, 0, 3000);
    stall began = stall_begin();
    int64_t begin_ms = boot_ms();
    server_number(the->server, "DEL redlock:{l0}");
    eventually(witness_was_told, seen);
    TOOK(&began, (atomic_load(&seen->told_ms) - begin_ms) * 1000, 0, 1000 * 1000);
    assert_int_equal(redlock_remaining_ms(seen->lock), 0);
    assert_int_equal(redlock_release(seen->lock), REDLOCK_LOST);
    assert_int_equal(server_number(the->server, "EXISTS redlock:{l0}"), 0);
}

static void a_loss_is_told_once_and_no_signal_can_interrupt_it(void **state)
{
    fixture *the = *state;
    witness *seen = hold(the, 0, patience_outlasting_ms(200));
    server_number(the->server, "DEL redlock:{l0}");
    eventually(witness_was_told, seen);
    let_pass(the->server, 400);
    assert_int_equal(atomic_load(&seen->told), 1);
    assert_false(seen->saw_a_signal_open);
    assert_int_equal(stats_of(the->client).lost, 1);
    assert_int_equal(redlock_release(seen->lock), REDLOCK_LOST);
    assert_int_equal(atomic_load(&seen->told), 1);
}

/* Pitfall 42 */
static void a_blocking_call_inside_on_lost_is_refused(void **state)
{
    fixture *the = *state;
    witness *seen = hold(the, 0, patience_outlasting_ms(200));
    seen->client = the->client;
    server_number(the->server, "DEL redlock:{l0}");
    eventually(witness_was_told, seen);
    assert_int_equal(seen->blocking_call, REDLOCK_ERR_IN_CALLBACK);
    assert_int_equal(redlock_release(seen->lock), REDLOCK_LOST);
}

static void a_lock_that_is_not_renewed_is_told_at_its_end_too(void **state)
{
    fixture *the = *state;
    witness *seen = &the->seen[0];
    seen->held = stall_begin();
    assert_int_equal(redlock_acquire(the->client, "l0",
                                     REDLOCK_OPTIONS(.ttl_ms = 300, .on_lost = witness_told,
                                                     .on_lost_arg = seen),
                                     &seen->lock),
                     REDLOCK_OK);
    eventually(witness_was_told, seen);
    assert_told_in_time(seen);
    assert_int_equal(redlock_release(seen->lock), REDLOCK_LOST);
}

/* The keeper is inside on_lost: a release has to wait for it, and frees the handle only then. */
static void slow_to_hear(void *arg, redlock_lock *lock)
{
    witness *seen = arg;
    atomic_fetch_add(&seen->told, 1);
    int64_t until_ms = boot_ms() + 50;
    while (boot_ms() < until_ms) patience_pause();
    seen->saw_it_held = redlock_fence(lock) == 0;
    atomic_store(&seen->told_ms, boot_ms());
}

static void release_waits_for_an_on_lost_that_is_running(void **state)
{
    fixture *the = *state;
    witness *seen = &the->seen[0];
    assert_int_equal(redlock_acquire(the->client, "l0",
                                     REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(100),
                                                     .on_lost = slow_to_hear, .on_lost_arg = seen),
                                     &seen->lock),
                     REDLOCK_OK);
    eventually(witness_was_told, seen);
    assert_int_equal(redlock_release(seen->lock), REDLOCK_LOST);
    assert_true(atomic_load(&seen->told_ms) > 0);
    assert_false(seen->saw_it_held);
}

/* ---- No later than the end of validity --------------------------------------------------------*/

/* Pitfall 24 */
static void a_frozen_server_is_told_by_the_clock_alone(void **state)
{
    fixture *the = *state;
    witness *seen = hold(the, 0, 600);
    server_freeze(the->server);
    eventually(witness_was_told, seen);
    server_thaw(the->server);
    assert_told_in_time(seen);
    assert_true(atomic_load(&seen->told_ms) >= seen->valid_until_ms - 2);
    assert_int_equal(redlock_release(seen->lock), REDLOCK_LOST);
}

static void a_silent_network_is_told_by_the_clock_alone(void **state)
{
    fixture *the = *state;
    witness *seen = hold(the, 0, 600);
    proxy_blackhole(the->proxy, true);
    eventually(witness_was_told, seen);
    proxy_blackhole(the->proxy, false);
    assert_told_in_time(seen);
    assert_int_equal(redlock_release(seen->lock), REDLOCK_LOST);
}

static void a_dead_server_is_told_by_the_clock_alone(void **state)
{
    fixture *the = *state;
    witness *seen = hold(the, 0, 600);
    server_kill(the->server);
    eventually(witness_was_told, seen);
    server_restart(the->server);
    assert_told_in_time(seen);
    assert_true(atomic_load(&seen->told_ms) >= seen->valid_until_ms - 2);
    assert_int_equal(redlock_release(seen->lock), REDLOCK_LOST);
}

static bool all_were_told(void *arg)
{
    fixture *the = arg;
    int told = 0;
    for (int i = 0; i < HOLDERS; i++) told += witness_was_told(&the->seen[i]);
    return told == HOLDERS;
}

/* Pitfall 24. What is told is freed by its release, and the names can be locked again. */
static void a_server_that_restarts_empty_is_told_to_every_holder(void **state)
{
    fixture *the = *state;
    for (int i = 0; i < HOLDERS; i++) hold(the, i, 1500);
    server_restart(the->server);
    eventually(all_were_told, the);
    for (int i = 0; i < HOLDERS; i++) {
        assert_told_in_time(&the->seen[i]);
        assert_int_equal(redlock_release(the->seen[i].lock), REDLOCK_LOST);
    }
    assert_int_equal(stats_of(the->client).lost, HOLDERS);
    witness *again = hold(the, 0, 1500);
    assert_int_equal(redlock_release(again->lock), REDLOCK_OK);
}

/* ---- What is left behind ----------------------------------------------------------------------*/

static bool is_free_on_the_server(void *arg)
{
    return server_holders(((fixture *)arg)->server, "l0") == 0;
}

static bool has_renewed(void *arg) { return stats_of(((fixture *)arg)->client).renewed > 0; }

/* The renewals reach the server, their answers never come: the holder hears of a loss while the
 * server goes on keeping the lock. Its release must not leave it to idle there. Pitfall 19 */
static void a_lock_that_was_lost_for_want_of_answers_is_given_back(void **state)
{
    fixture *the = *state;
    witness *seen = hold(the, 0, 2000);
    eventually(has_renewed, the);
    proxy_hold(the->proxy, true);
    eventually(witness_was_told, seen);
    assert_told_in_time(seen);
    assert_int_equal(server_holders(the->server, "l0"), 1);
    proxy_hold(the->proxy, false);
    stall began = stall_begin();
    assert_int_equal(redlock_release(seen->lock), REDLOCK_LOST);
    eventually(is_free_on_the_server, the);
    /* It may have to connect again first; left alone it would last for most of the ttl. */
    ENDED(&began, 0, 1000 * 1000);
}

#define LIVE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE(a_deleted_lock_is_told_at_the_next_renewal),
        LIVE(a_loss_is_told_once_and_no_signal_can_interrupt_it),
        LIVE(a_blocking_call_inside_on_lost_is_refused),
        LIVE(a_lock_that_is_not_renewed_is_told_at_its_end_too),
        LIVE(release_waits_for_an_on_lost_that_is_running),
        LIVE(a_frozen_server_is_told_by_the_clock_alone),
        LIVE(a_silent_network_is_told_by_the_clock_alone),
        LIVE(a_dead_server_is_told_by_the_clock_alone),
        LIVE(a_server_that_restarts_empty_is_told_to_every_holder),
        LIVE(a_lock_that_was_lost_for_want_of_answers_is_given_back),
    };
    return cmocka_run_group_tests_name("live loss", tests, NULL, NULL);
}
