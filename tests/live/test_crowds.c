/* SPDX-License-Identifier: MIT
 * Thousands who wait for one lock, most of them dead: what a call leaves over is gone on with at
 * once, and nobody alive is refused or kept waiting because of them. Rule: what is bounded is
 * measured by the server's clock. */
#include "live/crew_stage.h"

static const char *const name = CREW_NAME;

#define AT_MOST(most_us, measured)                                                                 \
    do {                                                                                           \
        stall began_ = stall_begin();                                                              \
        int64_t took_us_ = (measured);                                                             \
        print_message("  after %lld us\n", (long long)took_us_);                                   \
        TOOK(&began_, took_us_, 0, (most_us));                                                     \
    } while (0)

/* ---- Killed processes -------------------------------------------------------------------------*/

enum { KILLED = 8, TIMES = 7 };

/* From the release until the next is let in, past eight who were killed. */
static int64_t pass_the_killed_us(stage *the)
{
    redlock_lock *lock = take(the->client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    pid_t killed = crew_start(the, CREW(.threads = KILLED));
    await_waiters(the, name, KILLED);
    taker *next = queued(the, the->other, KILLED + 1, FOR_EVER);
    actor_kill(the, killed);
    eventually(has_subscribers,
               (&(subscribed){the->server, 2})); /* the next, and who hears everything */
    int64_t from_us = server_now_us(the->server);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_taker(next, REDLOCK_OK);
    int64_t took_us = let_in_us(next->lock) - from_us;
    taker_release(next);
    return took_us;
}

static int by_size(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

static void eight_killed_waiters_do_not_delay_the_next_beside_one_who_hears_everything(void **state)
{
    stage *the = *state;
    int64_t took_us[TIMES];
    stall began = stall_begin();
    redisContext *monitor = redisConnectUnix(server_socket(the->server));
    freeReplyObject(redisCommand(monitor, "PSUBSCRIBE *"));
    for (int i = 0; i < TIMES; i++) took_us[i] = pass_the_killed_us(the);
    assert_int_equal(server_calls(the->server, "publish"), TIMES);
    qsort(took_us, TIMES, sizeof *took_us, by_size);
    print_message("  after %lld us (median)\n", (long long)took_us[TIMES / 2]);
    TOOK(&began, took_us[TIMES / 2], 0, 10000);
    redisFree(monitor);
}

/* ---- The dead before the living ---------------------------------------------------------------*/

/* From the release until the one who lives is let in, behind so many dead. */
static int64_t pass_the_dead_us(stage *the, int dead)
{
    redlock_lock *lock = take(the->client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    add_dead(the, dead, "x");
    taker *next = queued(the, the->other, dead + 1, FOR_EVER);
    int64_t from_us = server_now_us(the->server);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_taker(next, REDLOCK_OK);
    int64_t took_us = let_in_us(next->lock) - from_us;
    assert_int_equal(stage_waiters(the, name), 0);
    taker_release(next);
    return took_us;
}

static void six_thousand_dead_do_not_keep_a_free_lock_from_the_living(void **state)
{
    AT_MOST(500000, pass_the_dead_us(*state, 6000));
}

static void twenty_thousand_dead_do_not_keep_a_free_lock_from_the_living(void **state)
{
    AT_MOST(2000000, pass_the_dead_us(*state, 20000));
}

/* Nobody releases: the one who waits asks when the lease is over, later by its place in the line,
 * and goes on. */
static int64_t pass_the_dead_of_a_dead_us(stage *the, int dead)
{
    enum { SHORT_MS = 700 };
    redlock_lock *lock = take(the->client, name, REDLOCK_OPTIONS(.ttl_ms = SHORT_MS));
    int64_t end_us = let_in_us(lock) + SHORT_MS * 1000;
    add_dead(the, dead, "x");
    taker *next = taker_start(the, the->other, name, FOR_EVER);
    expect_taker(next, REDLOCK_OK);
    int64_t took_us = let_in_us(next->lock) - end_us;
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    taker_release(next);
    return took_us;
}

static void six_thousand_dead_do_not_keep_the_lock_of_a_dead_holder_from_the_living(void **state)
{
    AT_MOST(500000, pass_the_dead_of_a_dead_us(*state, 6000));
}

static void a_try_gets_past_six_thousand_dead(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, name, REDLOCK_OPTIONS(.ttl_ms = brief_ms()));
    add_dead(the, 6000, "x");
    eventually(server_clock_shows,
               (&(server_moment){the->server, let_in_us(lock) + (brief_ms() + 1) * 1000}));
    expect_free(the->other, name);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
}

typedef struct answered {
    _Atomic bool is_done;
    redlock_status status;
} answered;

static void note_answer(void *arg, redlock_status status)
{
    answered *self = arg;
    self->status = status;
    atomic_store(&self->is_done, true);
}

static bool is_answered(void *arg) { return atomic_load(&((answered *)arg)->is_done); }

static redlock_status release_by(redlock_lock *lock, bool is_async)
{
    answered it = {.is_done = false};
    if (!is_async) return redlock_release(lock);
    EXPECT(redlock_release_async(lock, note_answer, &it), REDLOCK_OK);
    eventually(is_answered, &it);
    return it.status;
}

/* There are twenty round trips to make, each takes a tenth of the timeout and more, and whoever is
 * left over is served in the background. */
static void release_in_too_short_a_time(stage *the, redlock_client *hasty, bool is_async)
{
    redlock_lock *lock = take(hasty, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS, .wait_ms = LONG_MS));
    add_dead(the, 20000, "x");
    taker *next = queued(the, the->other, 20001, FOR_EVER);
    proxy_slow(the->proxy, 16384, (int)patience_outlasting_ms(20) * 1000);
    EXPECT(release_by(lock, is_async), REDLOCK_OK);
    proxy_slow(the->proxy, 0, 0);
    expect_taker(next, REDLOCK_OK);
    taker_release(next);
}

static void a_release_that_runs_out_of_time_among_the_dead_was_done(void **state)
{
    stage *the = *state;
    redlock_client *hasty =
        stage_open(the, proxy_uri(the->proxy),
                   REDLOCK_CLIENT_OPTIONS(LOGGED(the), .timeout_ms = patience_outlasting_ms(200)));
    release_in_too_short_a_time(the, hasty, false);
    release_in_too_short_a_time(the, hasty, true);
    assert_int_equal(stage_holders(the, name) + stage_waiters(the, name), 0);
}

/* ---- A line that is full of the dead ----------------------------------------------------------*/

enum { LIVING = 6 };

/* All of them stand in the line, among what is left of the dead. */
static bool has_living_waiters(void *arg)
{
    redisReply *answer = server_command(
        ((stage *)arg)->server, "EVAL %s 1 redlock:{r}",
        "local n = 0 for _, m in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '1e14', '+inf')) do "
        "if not string.find(m, 'inbox:dead', 1, true) then n = n + 1 end end return n");
    bool has = answer->integer == LIVING;
    freeReplyObject(answer);
    return has;
}

static taker *served_next(taker *const *living)
{
    for (patience left = patience_begin(); !patience_is_over(&left); patience_pause())
        for (int i = 0; i < LIVING; i++)
            if (taker_is_done(living[i]) && !living[i]->is_joined) return living[i];
    fail_msg("none of those who live has the lock");
    return NULL;
}

/* The dead give way where a new one looks, which is not the same part each time. */
static void a_line_full_of_the_dead_refuses_nobody(void **state)
{
    stage *the = *state;
    taker *living[LIVING];
    redlock_client *patient = stage_open(the, server_uri(the->server),
                                         REDLOCK_CLIENT_OPTIONS(LOGGED(the), .timeout_ms = 30000));
    redlock_lock *lock = take(patient, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    add_dead(the, (int)QUEUE_MOST, "x");
    for (int i = 0; i < LIVING; i++) living[i] = taker_start(the, patient, name, FOR_EVER);
    eventually(has_living_waiters, the);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    for (int i = 0; i < LIVING; i++) {
        taker *next = served_next(living);
        expect_taker(next, REDLOCK_OK);
        taker_release(next);
    }
}

/* ---- Three thousand readers -------------------------------------------------------------------*/

enum { READERS = 3000, CLIENTS = 3, READER_SPREAD_MS = 300 };

typedef struct reader {
    redlock_lock *lock;
    _Atomic int done;
    redlock_status status;
} reader;

static reader readers[READERS];

static void note_reader(void *arg, redlock_status status, redlock_lock *lock)
{
    reader *self = arg;
    self->lock = lock;
    self->status = status;
    atomic_store(&self->done, 1);
}

static bool all_read(void *unused)
{
    (void)unused;
    for (int i = 0; i < READERS; i++)
        if (atomic_load(&readers[i].done) == 0) return false;
    return true;
}

static void gather_readers(stage *the, redlock_client *const *clients)
{
    const redlock_options *shared = REDLOCK_OPTIONS(.mode = REDLOCK_SHARED,
                                                    .wait_ms = REDLOCK_WAIT_FOREVER,
                                                    .claim_ms = LONG_MS, .ttl_ms = LONG_MS);
    memset(readers, 0, sizeof readers);
    for (int i = 0; i < READERS; i++)
        EXPECT(redlock_acquire_async(clients[i % CLIENTS], name, strlen(name), shared, note_reader,
                                     &readers[i], NULL),
               REDLOCK_OK);
    await_waiters(the, name, READERS);
}

/* Each was let in with a lease of the same length: what is between their ends was between their
 * beginnings. */
static int64_t let_readers_in_us(stage *the, redlock_client *const *clients)
{
    redlock_lock *writer = take(the->client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    gather_readers(the, clients);
    EXPECT(redlock_release(writer), REDLOCK_OK);
    eventually(all_read, NULL);
    for (int i = 0; i < READERS; i++) EXPECT(readers[i].status, REDLOCK_OK);
    assert_int_equal(stage_holders(the, name), READERS);
    int64_t spread_ms = reader_ends_ms(the, true) - reader_ends_ms(the, false);
    for (int i = 0; i < READERS; i++)
        EXPECT(redlock_release_async(readers[i].lock, NULL, NULL), REDLOCK_OK);
    await_holders(the, name, 0);
    return spread_ms * 1000;
}

static void three_thousand_waiting_readers_enter_together(void **state)
{
    stage *the = *state;
    redlock_client *clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = stage_open(the, server_uri(the->server),
                                REDLOCK_CLIENT_OPTIONS(LOGGED(the), .timeout_ms = 30000));
    AT_MOST(READER_SPREAD_MS * 1000, let_readers_in_us(the, clients));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(eight_killed_waiters_do_not_delay_the_next_beside_one_who_hears_everything),
        ON_STAGE(six_thousand_dead_do_not_keep_a_free_lock_from_the_living),
        ON_STAGE(twenty_thousand_dead_do_not_keep_a_free_lock_from_the_living),
        ON_STAGE(six_thousand_dead_do_not_keep_the_lock_of_a_dead_holder_from_the_living),
        ON_STAGE(a_try_gets_past_six_thousand_dead),
        ON_STAGE(a_release_that_runs_out_of_time_among_the_dead_was_done),
        ON_STAGE(a_line_full_of_the_dead_refuses_nobody),
        ON_STAGE(three_thousand_waiting_readers_enter_together),
    };
    CREW_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
