/* SPDX-License-Identifier: MIT
 * Renewal on a healthy server: who is renewed, how often, at what price, and when it ends. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#include "support/witness.h"

enum { MANY = 1000, MOST = 10000 };

typedef struct fixture {
    server *server;
    redlock_client *client;
    redlock_lock *lock;
    uint64_t target; /* of has_renewed */
} fixture;

static int start(void **state)
{
    static fixture the;
    the = (fixture){.server = server_start(NULL)};
    (void)stall_begin(); /* before threads are counted */
    *state = &the;
    return redlock_open(server_uri(the.server), NULL, &the.client);
}

static int stop(void **state)
{
    fixture *the = *state;
    redlock_status closed = redlock_close(the->client);
    server_stop(the->server);
    return closed;
}

static void hold(fixture *the, const redlock_options *options)
{
    assert_int_equal(redlock_acquire(the->client, "r", options, &the->lock), REDLOCK_OK);
}

static uint64_t renewed(const fixture *the) { return stats_of(the->client).renewed; }

static bool has_renewed(void *arg)
{
    const fixture *the = arg;
    return renewed(the) >= the->target;
}

static void await_renewals(fixture *the, uint64_t more)
{
    the->target = renewed(the) + more;
    eventually(has_renewed, the);
}

static bool is_free_on_the_server(void *arg)
{
    return server_holders(((fixture *)arg)->server, "r") == 0;
}
static bool has_a_waiter(void *arg) { return server_waiters(((fixture *)arg)->server, "r") == 1; }

static size_t entries_of(const char *directory)
{
    size_t count = 0;
    DIR *open = opendir(directory);
    assert_non_null(open);
    while (readdir(open) != NULL) count++;
    closedir(open);
    return count - 2; /* "." and ".." */
}

/* ---- Who is renewed ---------------------------------------------------------------------------*/

static void auto_renew_keeps_a_short_lock_for_several_leases(void **state)
{
    fixture *the = *state;
    hold(the, REDLOCK_OPTIONS(.ttl_ms = 500, .auto_renew = true));
    int64_t end_ms = server_clock_ms(the->server) + 1200;
    while (server_clock_ms(the->server) < end_ms) {
        assert_true(redlock_is_held(the->lock));
        assert_int_equal(server_holders(the->server, "r"), 1);
        patience_pause();
    }
    assert_int_equal(redlock_release(the->lock), REDLOCK_OK);
}

static void a_lock_is_renewed_about_every_third_of_its_ttl(void **state)
{
    fixture *the = *state;
    stall began = stall_begin();
    hold(the, REDLOCK_OPTIONS(.ttl_ms = 600, .auto_renew = true));
    await_renewals(the, 6);
    ENDED(&began, 6 * 200 * 1000 * 7 / 10, (6 * 200 + 50) * 1000);
    assert_int_equal(redlock_release(the->lock), REDLOCK_OK);
}

static void a_plain_lock_is_not_renewed(void **state)
{
    fixture *the = *state;
    hold(the, REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(200)));
    eventually(is_free_on_the_server, the);
    assert_false(redlock_is_held(the->lock));
    assert_int_equal(renewed(the), 0);
    assert_int_equal(redlock_release(the->lock), REDLOCK_LOST);
}

typedef struct waiter {
    pthread_t thread;
    redlock_client *client;
    redlock_lock *lock;
    redlock_status status;
} waiter;

static void *wait_for_it(void *arg)
{
    waiter *self = arg;
    self->status = redlock_acquire(
        self->client, "r", REDLOCK_OPTIONS(.ttl_ms = 3000, .claim_ms = 400, .wait_ms = 10000),
        &self->lock);
    return NULL;
}

/* Pitfall 18: what a frozen waiter may cost is the claim; what a live one gets is the ttl. */
static void a_claim_is_stretched_to_the_full_ttl_once(void **state)
{
    fixture *the = *state;
    waiter next = {.client = the->client};
    hold(the, REDLOCK_OPTIONS(.ttl_ms = 30000));
    assert_int_equal(pthread_create(&next.thread, NULL, wait_for_it, &next), 0);
    eventually(has_a_waiter, the);
    assert_int_equal(redlock_release(the->lock), REDLOCK_OK);
    pthread_join(next.thread, NULL);
    assert_int_equal(next.status, REDLOCK_OK);
    assert_int_equal(stats_of(the->client).handed_over, 1);
    the->target = 1;
    eventually(has_renewed, the);
    assert_in_range(redlock_remaining_ms(next.lock), 401, 3000);
    let_pass(the->server, 1200);
    assert_int_equal(renewed(the), 1);
    assert_in_range(redlock_remaining_ms(next.lock), 1, 1800);
    assert_int_equal(redlock_release(next.lock), REDLOCK_OK);
}

/* ---- When it ends -----------------------------------------------------------------------------*/

/* Pitfall 28 */
static void a_maximum_hold_ends_renewal_and_frees_the_lock(void **state)
{
    fixture *the = *state;
    witness seen = {0};
    stall began = stall_begin();
    int64_t begin_ms = boot_ms();
    hold(the, REDLOCK_OPTIONS(.ttl_ms = 500, .auto_renew = true, .max_hold_ms = 900,
                              .on_lost = witness_told, .on_lost_arg = &seen));
    seen.lock = the->lock;
    eventually(witness_was_told, &seen);
    TOOK(&began, (atomic_load(&seen.told_ms) - begin_ms) * 1000, 700 * 1000, 900 * 1000);
    eventually(is_free_on_the_server, the);
    ENDED(&began, 700 * 1000, 950 * 1000);
    assert_in_range(renewed(the), 2, 20);
    assert_int_equal(redlock_release(the->lock), REDLOCK_LOST);
}

/* Pitfall 25. One renewal may have been under way. */
static void release_stops_renewal_at_once(void **state)
{
    fixture *the = *state;
    for (int round = 0; round < 3; round++) {
        hold(the, REDLOCK_OPTIONS(.ttl_ms = 450, .auto_renew = true));
        await_renewals(the, 2);
        assert_int_equal(redlock_release(the->lock), REDLOCK_OK);
        long long calls = server_calls(the->server, "evalsha");
        let_pass(the->server, 450);
        assert_in_range(server_calls(the->server, "evalsha"), calls, calls + 1);
    }
}

/* Pitfall 25 */
static void a_later_lock_of_the_same_name_is_not_renewed_by_an_earlier_one(void **state)
{
    fixture *the = *state;
    hold(the, REDLOCK_OPTIONS(.ttl_ms = 500, .auto_renew = true));
    await_renewals(the, 1);
    assert_int_equal(redlock_release(the->lock), REDLOCK_OK);
    uint64_t before = renewed(the);
    hold(the, REDLOCK_OPTIONS(.ttl_ms = 500));
    eventually(is_free_on_the_server, the);
    assert_int_equal(renewed(the), before);
    assert_int_equal(redlock_release(the->lock), REDLOCK_LOST);
}

/* An extended lock that is not renewed lasts as long as was asked for, and no longer. */
static void an_extended_lock_ends_when_its_extension_does(void **state)
{
    fixture *the = *state;
    hold(the, REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(200)));
    assert_int_equal(redlock_extend(the->lock, patience_outlasting_ms(700)), REDLOCK_OK);
    let_pass(the->server, patience_outlasting_ms(250));
    assert_true(redlock_is_held(the->lock));
    eventually(is_free_on_the_server, the);
    assert_false(redlock_is_held(the->lock));
    assert_int_equal(redlock_release(the->lock), REDLOCK_LOST);
}

/* ---- What it costs ----------------------------------------------------------------------------*/

static void hold_many(fixture *the, redlock_lock **locks, int from, int to, int64_t ttl_ms)
{
    char name[16];
    for (int i = from; i < to; i++) {
        snprintf(name, sizeof name, "m%d", i);
        const redlock_options *options = REDLOCK_OPTIONS(.ttl_ms = ttl_ms, .auto_renew = true);
        assert_int_equal(redlock_acquire(the->client, name, options, &locks[i]), REDLOCK_OK);
    }
}

static void release_many(redlock_lock **locks, int count)
{
    for (int i = 0; i < count; i++) assert_int_equal(redlock_release(locks[i]), REDLOCK_OK);
}

static _Atomic int taken;

static void note_taken(void *arg, redlock_status status, redlock_lock *lock)
{
    (void)status;
    *(redlock_lock **)arg = lock;
    atomic_fetch_add(&taken, 1);
}

static bool are_taken(void *count) { return atomic_load(&taken) == *(int *)count; }

/* All at once, however busy the machine is. */
static void hold_together(fixture *the, redlock_lock **locks, int count,
                          const redlock_options *options)
{
    char name[16];
    atomic_store(&taken, 0);
    for (int i = 0; i < count; i++) {
        size_t length = (size_t)snprintf(name, sizeof name, "m%d", i);
        redlock_status status =
            redlock_acquire_async(the->client, name, length, options, note_taken, &locks[i], NULL);
        assert_int_equal(status, REDLOCK_OK);
    }
    eventually(are_taken, &count);
    for (int i = 0; i < count; i++) assert_non_null(locks[i]);
}

static void renewals_that_are_due_together_leave_in_few_writes(void **state)
{
    static redlock_lock *locks[MANY];
    fixture *the = *state;
    hold_together(the, locks, MANY, REDLOCK_OPTIONS(.ttl_ms = 3000, .auto_renew = true));
    redlock_stats before = stats_of(the->client);
    await_renewals(the, MANY);
    redlock_stats after = stats_of(the->client);
    uint64_t in_one_write = (after.renewed - before.renewed) / (after.writes - before.writes + 1);
    print_message("%llu renewals in one write\n", (unsigned long long)in_one_write);
    assert_in_range(in_one_write, 10, MANY);
    assert_int_equal(after.lost, 0);
    release_many(locks, MANY);
}

/* Pitfall 26 */
static void one_thread_and_one_connection_renew_however_many_locks(void **state)
{
    static redlock_lock *locks[MANY];
    fixture *the = *state;
    int64_t ttl_ms = patience_outlasting_ms(1500);
    size_t threads = entries_of("/proc/self/task");
    hold_many(the, locks, 0, 1, ttl_ms);
    await_renewals(the, 1);
    assert_int_equal(entries_of("/proc/self/task"), threads + 1);
    size_t descriptors = entries_of("/proc/self/fd");
    hold_many(the, locks, 1, MANY, ttl_ms);
    await_renewals(the, MANY);
    assert_int_equal(entries_of("/proc/self/task"), threads + 1);
    assert_int_equal(entries_of("/proc/self/fd"), descriptors);
    release_many(locks, MANY);
}

static int64_t cpu_us(int who)
{
    struct rusage used;
    getrusage(who, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * INT64_C(1000000) +
           used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

/* All threads but this one and the meter. */
static int64_t keeper_cpu_us(void)
{
    return cpu_us(RUSAGE_SELF) - cpu_us(RUSAGE_THREAD) - stall_meter_busy_us();
}

static void ten_thousand_locks_cost_less_than_3_percent_of_a_core(void **state)
{
    static redlock_lock *locks[MOST];
    fixture *the = *state;
    /* An instrumented library says nothing about its speed: it only has to keep its locks. */
    int many = patience_is_instrumented() ? MANY : MOST;
    hold_many(the, locks, 0, many, 12000);
    await_renewals(the, 1);
    int64_t begin_ms = boot_ms(), begin_us = keeper_cpu_us();
    await_renewals(the, (uint64_t)many);
    double share = (double)(keeper_cpu_us() - begin_us) / 1000 / (double)(boot_ms() - begin_ms);
    print_message("%d locks of 12 s: %.2f %% of a core\n", many, share * 100);
    assert_true(patience_is_instrumented() || share < 0.03);
    assert_int_equal(stats_of(the->client).lost, 0);
    release_many(locks, many);
}

/* ---- A server whose clock is set ------------------------------------------------------------- */

static int start_with_clock(void **state)
{
    static fixture the;
    the = (fixture){.server = server_start_with_clock(NULL)};
    *state = &the;
    return redlock_open(server_uri(the.server), NULL, &the.client);
}

enum { HELD = 8, HELD_TTL_MS = 60000, STEP_MS = 45000 };

static int64_t lease_left_ms(fixture *the, int i)
{
    char name[16];
    int length = snprintf(name, sizeof name, "m%d", i);
    redlock_inspection *seen;
    assert_int_equal(redlock_inspect(the->client, name, (size_t)length, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->holders, 1);
    int64_t left_ms = seen->parties[0].lease_ms;
    redlock_inspection_free(seen);
    return left_ms;
}

static bool have_long_leases(void *arg)
{
    for (int i = 0; i < HELD; i++)
        if (lease_left_ms(arg, i) < HELD_TTL_MS - STEP_MS / 2) return false;
    return true;
}

/* The short lock's renewals tell the client what the time is; the long ones' own are due after 18
 * s. */
static void a_step_of_the_clock_is_noticed_and_what_is_held_is_renewed_at_once(void **state)
{
    static redlock_lock *locks[HELD];
    fixture *the = *state;
    hold_many(the, locks, 0, HELD, HELD_TTL_MS);
    hold(the, REDLOCK_OPTIONS(.ttl_ms = 600, .auto_renew = true));
    await_renewals(the, 1);
    server_shift_clock(the->server, STEP_MS);
    eventually(have_long_leases, the);
    release_many(locks, HELD);
    assert_int_equal(redlock_release(the->lock), REDLOCK_LOST);
}

#define LIVE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE(auto_renew_keeps_a_short_lock_for_several_leases),
        LIVE(a_lock_is_renewed_about_every_third_of_its_ttl),
        LIVE(a_plain_lock_is_not_renewed),
        LIVE(a_claim_is_stretched_to_the_full_ttl_once),
        LIVE(a_maximum_hold_ends_renewal_and_frees_the_lock),
        LIVE(release_stops_renewal_at_once),
        LIVE(a_later_lock_of_the_same_name_is_not_renewed_by_an_earlier_one),
        LIVE(an_extended_lock_ends_when_its_extension_does),
        cmocka_unit_test_setup_teardown(
            a_step_of_the_clock_is_noticed_and_what_is_held_is_renewed_at_once, start_with_clock,
            stop),
        LIVE(renewals_that_are_due_together_leave_in_few_writes),
        LIVE(one_thread_and_one_connection_renew_however_many_locks),
        LIVE(ten_thousand_locks_cost_less_than_3_percent_of_a_core),
    };
    return cmocka_run_group_tests_name("live renewal", tests, NULL, NULL);
}
