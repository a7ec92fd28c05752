/* SPDX-License-Identifier: MIT
 * Semaphores: shared holds with a limit. */
#include "live/stage.h"

static const char *const name = "r";

#define PERMITS(...) REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .permits = __VA_ARGS__)
#define PATIENT .wait_ms = REDLOCK_WAIT_FOREVER, .claim_ms = LONG_MS, .ttl_ms = LONG_MS

static redlock_status attempt(redlock_client *client, const redlock_options *options)
{
    redlock_lock *lock;
    redlock_status status = redlock_acquire(client, name, options, &lock);
    redlock_release(lock);
    return status;
}

static void so_many_enter_and_no_more(void **state)
{
    enum { LIMIT = 5 };
    stage *the = *state;
    redlock_lock *held[LIMIT];
    for (int i = 0; i < LIMIT; i++)
        held[i] = take(i % 2 ? the->client : the->other, name, PERMITS(LIMIT));
    EXPECT(attempt(the->other, PERMITS(LIMIT)), REDLOCK_BUSY);
    EXPECT(attempt(the->other, PERMITS(LIMIT, .wait_ms = 20)), REDLOCK_TIMED_OUT);
    await_waiters(the, name, 0); /* it leaves the queue in the background */
    EXPECT(redlock_release(held[2]), REDLOCK_OK);
    EXPECT(attempt(the->other, PERMITS(LIMIT)), REDLOCK_OK);
    held[2] = take(the->other, name, PERMITS(LIMIT));
    EXPECT(attempt(the->client, PERMITS(LIMIT)), REDLOCK_BUSY);
    for (int i = 0; i < LIMIT; i++) EXPECT(redlock_release(held[i]), REDLOCK_OK);
    expect_free(the->other, name);
}

static void those_who_wait_for_a_permit_are_served_in_line(void **state)
{
    enum { LIMIT = 2, LINE = 4 };
    stage *the = *state;
    taker *line[LINE];
    redlock_lock *held[LIMIT];
    for (int i = 0; i < LIMIT; i++) held[i] = take(the->client, name, PERMITS(LIMIT));
    for (int i = 0; i < LINE; i++)
        line[i] = queued(the, the->other, i + 1, PERMITS(LIMIT, PATIENT));
    for (int i = 0; i < LINE; i++) {
        if (i < LIMIT) EXPECT(redlock_release(held[i]), REDLOCK_OK);
        else taker_release(line[i - LIMIT]);
        expect_taker(line[i], REDLOCK_OK);
        assert_int_equal(stage_waiters(the, name), LINE - 1 - i);
        assert_int_equal(stage_holders(the, name), LIMIT);
        EXPECT(attempt(the->client, PERMITS(LIMIT)), REDLOCK_BUSY);
    }
    for (int i = LINE - LIMIT; i < LINE; i++) taker_release(line[i]);
    expect_free(the->client, name);
}

/* Pitfall 3: of a crashed holder, too. */
static void a_permit_comes_back_when_its_lease_ends(void **state)
{
    stage *the = *state;
    redlock_lock *kept = take(the->client, name, PERMITS(2, .ttl_ms = LONG_MS));
    redlock_lock *crashed = take(the->client, name, PERMITS(2, .ttl_ms = brief_ms()));
    EXPECT(attempt(the->other, PERMITS(2)), REDLOCK_BUSY);
    stall began = stall_begin();
    taker *next = queued(the, the->other, 1, PERMITS(2, PATIENT));
    expect_within(next, &began, brief_ms() + SOON_MS);
    assert_false(redlock_is_held(crashed));
    assert_true(redlock_is_held(kept));
    taker_release(next);
    EXPECT(redlock_release(crashed), REDLOCK_LOST);
    EXPECT(redlock_release(kept), REDLOCK_OK);
}

/* <program> holder <uri>: takes one of two permits, and keeps it for as long as it lives. */
static int holder_run(char **argv)
{
    redlock_client *client;
    redlock_lock *lock;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (redlock_open(argv[2], NULL, &client) != REDLOCK_OK) return 2;
    if (redlock_acquire(client, name,
                        PERMITS(2, .ttl_ms = patience_outlasting_ms(300), .auto_renew = true),
                        &lock) != REDLOCK_OK)
        return 3;
    for (;;) pause();
}

static pid_t holder_start(stage *self)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(actor_program, actor_program, "holder", server_uri(self->server), (char *)NULL);
        _exit(127);
    }
    self->actors[0] = pid;
    return pid;
}

static void a_killed_holders_permit_comes_back_though_others_renew(void **state)
{
    stage *the = *state;
    pid_t process = holder_start(the);
    await_holders(the, name, 1);
    redlock_lock *kept = take(
        the->client, name, PERMITS(2, .ttl_ms = patience_outlasting_ms(300), .auto_renew = true));
    EXPECT(attempt(the->other, PERMITS(2)), REDLOCK_BUSY);
    actor_kill(the, process);
    taker *next = taker_start(the, the->other, name, PERMITS(2, .wait_ms = LONG_MS));
    expect_taker(next, REDLOCK_OK);
    assert_true(redlock_is_held(kept));
    taker_release(next);
    EXPECT(redlock_release(kept), REDLOCK_OK);
}

/* Each request counts all the holders against its own limit. */
static void different_limits_share_one_count(void **state)
{
    stage *the = *state;
    redlock_lock *one = take(the->client, name, PERMITS(1)),
                 *two = take(the->client, name, PERMITS(3));
    EXPECT(attempt(the->other, PERMITS(1)), REDLOCK_BUSY);
    EXPECT(attempt(the->other, PERMITS(2)), REDLOCK_BUSY);
    EXPECT(attempt(the->other, PERMITS(3)), REDLOCK_OK);
    EXPECT(attempt(the->other, REDLOCK_OPTIONS(.mode = REDLOCK_SHARED)), REDLOCK_OK);
    EXPECT(redlock_release(one), REDLOCK_OK);
    EXPECT(attempt(the->other, PERMITS(2)), REDLOCK_OK);
    EXPECT(redlock_release(two), REDLOCK_OK);
}

static void a_small_limit_that_waits_is_not_overtaken(void **state)
{
    stage *the = *state;
    redlock_lock *held = take(the->client, name, PERMITS(1));
    taker *small = queued(the, the->other, 1, PERMITS(1, PATIENT));
    EXPECT(attempt(the->client, PERMITS(4)), REDLOCK_BUSY);
    assert_int_equal(stage_waiters(the, name), 1);
    EXPECT(redlock_release(held), REDLOCK_OK);
    expect_taker(small, REDLOCK_OK);
    EXPECT(attempt(the->client, PERMITS(4)), REDLOCK_OK);
    taker_release(small);
}

static void permits_and_an_exclusive_hold_exclude_each_other(void **state)
{
    stage *the = *state;
    redlock_lock *writer = take(the->client, name, NULL);
    taker *one = queued(the, the->other, 1, PERMITS(2, PATIENT)),
          *two = queued(the, the->other, 2, PERMITS(2, PATIENT));
    taker *three = queued(the, the->other, 3, PERMITS(2, PATIENT));
    EXPECT(redlock_release(writer), REDLOCK_OK);
    expect_taker(one, REDLOCK_OK);
    expect_taker(two, REDLOCK_OK);
    assert_int_equal(stage_waiters(the, name), 1);
    expect_taken(the->client, name);
    taker_release(one);
    expect_taker(three, REDLOCK_OK);
    taker_release(two);
    taker_release(three);
    expect_free(the->client, name);
}

static void permits_are_for_shared_holds(void **state)
{
    stage *the = *state;
    EXPECT(attempt(the->client, REDLOCK_OPTIONS(.permits = 1)), REDLOCK_ERR_ARGUMENT);
    EXPECT(attempt(the->client, PERMITS(UINT32_MAX)), REDLOCK_OK);
}

static void who_holds_all_the_permits_is_told_that_it_waits_for_itself(void **state)
{
    enum { LIMIT = 2 };
    stage *the = *state;
    redlock_lock *held[LIMIT];
    for (int i = 0; i < LIMIT; i++) {
        EXPECT(attempt(the->client, PERMITS(LIMIT, PATIENT)), REDLOCK_OK);
        held[i] = take(the->client, name, PERMITS(LIMIT, .ttl_ms = LONG_MS));
    }
    EXPECT(attempt(the->client, PERMITS(LIMIT, PATIENT)), REDLOCK_DEADLOCK);
    EXPECT(attempt(the->client, PERMITS(LIMIT)), REDLOCK_BUSY);
    EXPECT(attempt(the->client, PERMITS(LIMIT + 1, PATIENT)), REDLOCK_OK);
    taker *another = queued(the, the->client, 1, PERMITS(LIMIT, PATIENT)); /* of its own thread */
    EXPECT(redlock_release(held[0]), REDLOCK_OK);
    expect_taker(another, REDLOCK_OK);
    taker_release(another);
    EXPECT(redlock_release(held[1]), REDLOCK_OK);
}

/* ---- Many threads -----------------------------------------------------------------------------*/

enum { THREADS = 12, LIMIT = 3, ROUNDS = 60 };

typedef struct crowd {
    redlock_client *client[2];
    _Atomic int inside, most, failed, number;
} crowd;

static void *enter_and_leave(void *arg)
{
    crowd *self = arg;
    redlock_client *client = self->client[self->number++ % 2];
    for (int i = 0; i < ROUNDS; i++) {
        redlock_lock *lock;
        if (redlock_acquire(client, name, PERMITS(LIMIT, .wait_ms = LONG_MS), &lock) !=
            REDLOCK_OK) {
            self->failed++;
            continue;
        }
        int now = ++self->inside, most = self->most;
        while (now > most && !atomic_compare_exchange_weak(&self->most, &most, now)) continue;
        self->inside--;
        if (redlock_release(lock) != REDLOCK_OK) self->failed++;
    }
    return NULL;
}

static void many_threads_never_have_more_permits_than_there_are(void **state)
{
    stage *the = *state;
    pthread_t threads[THREADS];
    crowd all = {.client = {the->client, the->other}};
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, enter_and_leave, &all), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(all.failed, 0);
    assert_in_range(all.most, 1, LIMIT);
    assert_int_equal(stage_holders(the, name) + stage_waiters(the, name), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(so_many_enter_and_no_more),
        ON_STAGE(those_who_wait_for_a_permit_are_served_in_line),
        ON_STAGE(a_permit_comes_back_when_its_lease_ends),
        ON_STAGE(a_killed_holders_permit_comes_back_though_others_renew),
        ON_STAGE(different_limits_share_one_count),
        ON_STAGE(a_small_limit_that_waits_is_not_overtaken),
        ON_STAGE(permits_and_an_exclusive_hold_exclude_each_other),
        ON_STAGE(permits_are_for_shared_holds),
        ON_STAGE(who_holds_all_the_permits_is_told_that_it_waits_for_itself),
        ON_STAGE(many_threads_never_have_more_permits_than_there_are),
    };
    if (argc > 1 && strcmp(argv[1], "holder") == 0) return holder_run(argv);
    ACTOR_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
