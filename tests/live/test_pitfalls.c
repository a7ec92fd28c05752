/* SPDX-License-Identifier: MIT
 * The ways in which Redis locks go wrong (docs/pitfalls.md) that are about who holds a lock in
 * which mode. */
#include "live/stage.h"

static const char *const name = "r";

#define EXCLUSIVE(...) REDLOCK_OPTIONS(.mode = REDLOCK_EXCLUSIVE, __VA_ARGS__)
#define SHARED(...) REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, __VA_ARGS__)
#define OWN(...) REDLOCK_OPTIONS(.reentrant = true, __VA_ARGS__)
#define PATIENT .wait_ms = REDLOCK_WAIT_FOREVER, .claim_ms = LONG_MS, .ttl_ms = LONG_MS

static redlock_status attempt(redlock_client *client, const redlock_options *options)
{
    redlock_lock *lock;
    redlock_status status = redlock_acquire(client, name, options, &lock);
    redlock_release(lock);
    return status;
}

/* ---- Leases -----------------------------------------------------------------------------------*/

/* Pitfall 1 */
static void a_writer_waits_for_the_longest_of_the_readers(void **state)
{
    stage *the = *state;
    redlock_lock *longest = take(the->client, name, SHARED(.ttl_ms = LONG_MS));
    redlock_lock *brief = take(the->other, name, SHARED(.ttl_ms = brief_ms()));
    assert_true(server_number(the->server, "PTTL redlock:{r}") > LONG_MS / 2);
    eventually(is_unheld, brief);
    EXPECT(attempt(the->other, EXCLUSIVE(.wait_ms = 100)), REDLOCK_TIMED_OUT);
    assert_true(redlock_is_held(longest));
    EXPECT(redlock_release(longest), REDLOCK_OK);
    EXPECT(attempt(the->other, EXCLUSIVE(PATIENT)), REDLOCK_OK);
    EXPECT(redlock_release(brief), REDLOCK_LOST);
}

/* Pitfall 2: by one that knows, and by one that does not know yet. */
static void a_late_reader_throws_nobody_out(void **state)
{
    stage *the = *state;
    redlock_lock *late = take(the->client, name, SHARED(.ttl_ms = brief_ms()));
    eventually(is_unheld, late);
    redlock_lock *unaware = take(the->client, name, SHARED(.ttl_ms = LONG_MS));
    EXPECT(redlock_force_release(the->other, name, 1, NULL, NULL), REDLOCK_OK);
    redlock_lock *next = take(the->other, name, SHARED(.ttl_ms = LONG_MS));
    EXPECT(redlock_release(late), REDLOCK_LOST);
    EXPECT(redlock_release(unaware), REDLOCK_LOST);
    EXPECT(attempt(the->client, EXCLUSIVE(.wait_ms = 50)), REDLOCK_TIMED_OUT);
    await_waiters(the, name, 0); /* it leaves the queue in the background */
    assert_int_equal(stage_holders(the, name), 1);
    EXPECT(redlock_extend(next, 2 * LONG_MS), REDLOCK_OK);
    EXPECT(redlock_release(next), REDLOCK_OK);
    expect_free(the->client, name);
}

/* As the server has it: whose lease is over does not count. */
static size_t living_holders(stage *the)
{
    redlock_inspection *seen;
    EXPECT(redlock_inspect(the->client, name, 1, &seen, NULL), REDLOCK_OK);
    size_t living = seen->holders;
    redlock_inspection_free(seen);
    return living;
}

/* Pitfall 3: nobody gives `crashed` back; each of the others overlaps with the one before. */
static void a_crashed_reader_ends_although_others_come_and_go(void **state)
{
    stage *the = *state;
    redlock_lock *crashed = take(the->client, name, SHARED(.ttl_ms = brief_ms()));
    redlock_lock *now = take(the->other, name, SHARED(.ttl_ms = LONG_MS));
    do {
        redlock_lock *next = take(the->other, name, SHARED(.ttl_ms = LONG_MS));
        EXPECT(redlock_release(now), REDLOCK_OK);
        now = next;
    } while (living_holders(the) > 1);
    taker *writer = taker_start(the, the->other, name, EXCLUSIVE(PATIENT));
    await_waiters(the, name, 1);
    stall from = stall_begin();
    EXPECT(redlock_release(now), REDLOCK_OK);
    expect_soon(writer, &from);
    taker_release(writer);
    EXPECT(redlock_release(crashed), REDLOCK_LOST);
}

/* Pitfall 4 */
static void every_kind_of_lock_meets_every_other_on_one_name(void **state)
{
    static const redlock_options kinds[] = {
        {.mode = REDLOCK_EXCLUSIVE},
        {.mode = REDLOCK_SHARED},
        {.reentrant = true},
        {.reentrant = true, .owner = "a"},
        {.mode = REDLOCK_SHARED, .reentrant = true, .owner = "b"},
        {.mode = REDLOCK_SHARED, .permits = 2},
        {.mode = REDLOCK_SHARED, .policy = REDLOCK_FAIR},
        {.policy = REDLOCK_PREFER_WRITERS}};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    stage *the = *state;
    for (int i = 0; i < KINDS * KINDS; i++) {
        redlock_options held = kinds[i / KINDS], asked = kinds[i % KINDS];
        held.struct_size = asked.struct_size = sizeof held;
        if (asked.owner != NULL) asked.owner = "c";
        bool are_shared = held.mode == REDLOCK_SHARED && asked.mode == REDLOCK_SHARED;
        redlock_lock *lock = take(the->client, name, &held);
        assert_int_equal(attempt(the->other, &asked), are_shared ? REDLOCK_OK : REDLOCK_BUSY);
        EXPECT(redlock_release(lock), REDLOCK_OK);
        EXPECT(attempt(the->other, &asked), REDLOCK_OK);
    }
}

/* ---- Identity ---------------------------------------------------------------------------------*/

/* Pitfall 6 */
static void two_clients_of_one_thread_are_two_owners(void **state)
{
    stage *the = *state;
    redlock_inspection *seen;
    redlock_lock *one = take(the->client, name, OWN(.mode = REDLOCK_SHARED));
    redlock_lock *two = take(the->other, name, OWN(.mode = REDLOCK_SHARED));
    EXPECT(redlock_inspect(the->client, name, 1, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->holders, 2);
    assert_string_not_equal(seen->parties[0].hold_id, seen->parties[1].hold_id);
    redlock_inspection_free(seen);
    EXPECT(redlock_release(one), REDLOCK_OK);
    EXPECT(attempt(the->client, OWN()), REDLOCK_BUSY);
    EXPECT(redlock_release(two), REDLOCK_OK);
}

/* Where it is alike to the parent: process numbers may be the same in two containers, and thread
 * numbers here are. */
static int child_asks(stage *the)
{
    redlock_client *own;
    redlock_lock *lock;
    if (redlock_acquire(the->client, name, OWN(), &lock) != REDLOCK_ERR_FORKED) return 1;
    if (redlock_open(server_uri(the->server), NULL, &own) != REDLOCK_OK) return 2;
    if (redlock_acquire(own, name, OWN(), &lock) != REDLOCK_BUSY) return 3;
#ifndef __SANITIZE_THREAD__ /* which has no threads after a fork */
    if (redlock_acquire(own, name, OWN(.wait_ms = 50), &lock) != REDLOCK_TIMED_OUT) return 4;
#endif
    return redlock_close(own) == REDLOCK_OK ? 0 : 5;
}

/* Pitfall 6 */
static void a_child_with_a_client_of_its_own_is_another_owner(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, name, OWN());
    pid_t child = fork();
    if (child == 0) _exit(child_asks(the));
    expect_exit(child, 0);
    assert_true(redlock_is_held(lock));
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* Pitfall 7 */
static void a_late_release_or_extension_leaves_the_next_owner_alone(void **state)
{
    stage *the = *state;
    const redlock_options *kinds[] = {EXCLUSIVE(.ttl_ms = brief_ms()), SHARED(.ttl_ms = brief_ms()),
                                      SHARED(.ttl_ms = brief_ms(), .permits = 1),
                                      OWN(.ttl_ms = brief_ms(), .owner = "a")};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        redlock_lock *late = take(the->client, name, kinds[i]);
        redlock_lock *unaware = take(the->client, "s", EXCLUSIVE(.ttl_ms = LONG_MS));
        server_number(the->server, "DEL redlock:{s}");
        eventually(is_unheld, late);
        taker *next = taker_start(the, the->other, name, EXCLUSIVE(PATIENT));
        expect_taker(next, REDLOCK_OK);
        redlock_lock *other = take(the->other, "s", EXCLUSIVE(.ttl_ms = LONG_MS));
        EXPECT(redlock_extend(late, LONG_MS), REDLOCK_LOST);
        EXPECT(redlock_extend(unaware, 2 * LONG_MS), REDLOCK_LOST);
        EXPECT(redlock_release(late), REDLOCK_LOST);
        EXPECT(redlock_release(unaware), REDLOCK_LOST);
        EXPECT(redlock_extend(other, 2 * LONG_MS), REDLOCK_OK);
        EXPECT(redlock_extend(next->lock, 2 * LONG_MS), REDLOCK_OK);
        taker_release(next);
        EXPECT(redlock_release(other), REDLOCK_OK);
    }
}

/* Pitfall 10 */
static void a_repeated_acquire_counts_once_in_every_mode(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    const redlock_options *kinds[] = {
        EXCLUSIVE(), SHARED(),          SHARED(.permits = 1),
        OWN(),       OWN(.owner = "a"), SHARED(.reentrant = true, .owner = "a")};
    EXPECT(attempt(through, NULL), REDLOCK_OK);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        proxy_drop_reply_to(the->proxy, name);
        redlock_lock *lock = take(through, name, kinds[i]);
        assert_true(proxy_has_dropped(the->proxy));
        assert_int_equal(stage_holders(the, name), 1);
        proxy_drop_reply_to(the->proxy, name);
        EXPECT(redlock_release(lock), REDLOCK_OK);
        assert_int_equal(stage_holders(the, name), 0);
    }
}

/* ---- Waiters that died or froze ---------------------------------------------------------------*/

static bool has_one_subscriber(void *arg)
{
    redisReply *list = server_command(((stage *)arg)->server, "CLIENT LIST TYPE pubsub");
    const char *first = list->len > 0 ? strchr(list->str, '\n') : NULL;
    bool is_one = first != NULL && strchr(first + 1, '\n') == NULL;
    freeReplyObject(list);
    return is_one;
}

/* <program> writer <uri>: waits for "r" as a writer before whom readers do not go, with a claim of
 * CLAIM_MS. */
enum { CLAIM_MS = 300, MARGIN_MS = 100 };

static int writer_run(char **argv)
{
    redlock_client *client;
    redlock_lock *lock;
    const redlock_options *options = EXCLUSIVE(.policy = REDLOCK_PREFER_WRITERS,
                                               .claim_ms = CLAIM_MS,
                                               .wait_ms = REDLOCK_WAIT_FOREVER, .ttl_ms = LONG_MS);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (redlock_open(argv[2], NULL, &client) != REDLOCK_OK) return 2;
    if (redlock_acquire(client, name, options, &lock) != REDLOCK_OK) return 3;
    for (;;) pause();
}

/* It is the first in the queue. */
static pid_t writer_start(stage *the)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(actor_program, actor_program, "writer", server_uri(the->server), (char *)NULL);
        _exit(127);
    }
    the->actors[0] = pid;
    await_waiters(the, name, 1);
    return pid;
}

/* Pitfall 17: the dead one would be next. */
static void a_dead_waiter_delays_neither_readers_nor_writers(void **state)
{
    stage *the = *state;
    const redlock_options *kinds[] = {EXCLUSIVE(PATIENT),
                                      SHARED(PATIENT, .policy = REDLOCK_PREFER_WRITERS)};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        redlock_lock *lock = take(the->client, name, EXCLUSIVE(.ttl_ms = LONG_MS));
        pid_t dead = writer_start(the);
        taker *next = queued(the, the->other, 2, kinds[i]);
        actor_kill(the, dead);
        eventually(has_one_subscriber, the);
        stall from = stall_begin();
        EXPECT(redlock_release(lock), REDLOCK_OK);
        expect_soon(next, &from);
        taker_release(next);
    }
}

/* Pitfall 17: nobody frees the lock, and the dead one is never next; by the reader's own
 * re-check. */
static void a_dead_writer_bars_no_reader_beside_readers(void **state)
{
    stage *the = *state;
    redlock_lock *reader =
        take(the->client, name, SHARED(.ttl_ms = LONG_MS, .policy = REDLOCK_FAIR));
    pid_t dead = writer_start(the);
    EXPECT(attempt(the->other, SHARED(.policy = REDLOCK_FAIR)), REDLOCK_BUSY);
    actor_kill(the, dead);
    taker *next =
        taker_start(the, the->other, name,
                    SHARED(.policy = REDLOCK_FAIR, .wait_ms = LONG_MS, .claim_ms = CLAIM_MS));
    expect_taker(next, REDLOCK_OK);
    assert_true(redlock_is_held(reader));
    taker_release(next);
    EXPECT(redlock_release(reader), REDLOCK_OK);
}

/* Pitfall 18 */
static void a_frozen_writer_delays_readers_by_its_claim_at_the_most(void **state)
{
    enum { READERS = 3 };
    stage *the = *state;
    taker *readers[READERS];
    redlock_lock *lock = take(the->client, name, SHARED(.ttl_ms = LONG_MS));
    pid_t writer = writer_start(the);
    for (int i = 0; i < READERS; i++)
        readers[i] = queued(
            the, the->other, 2 + i,
            SHARED(.wait_ms = LONG_MS, .claim_ms = CLAIM_MS, .policy = REDLOCK_PREFER_WRITERS));
    actor_freeze(writer);
    stall from = stall_begin();
    EXPECT(redlock_release(lock), REDLOCK_OK);
    for (int i = 0; i < READERS; i++) expect_within(readers[i], &from, CLAIM_MS + MARGIN_MS);
    assert_true(readers[0]->took_us - from.began_us >
                200000); /* it was given to the frozen one, or nothing was tested */
    for (int i = 0; i < READERS; i++) taker_release(readers[i]);
}

static void cross(stage *the, redlock_client *through, redlock_options waiting)
{
    EXPECT(redlock_canceller_open(&waiting.canceller), REDLOCK_OK);
    redlock_lock *lock = take(the->client, name, EXCLUSIVE(.ttl_ms = LONG_MS));
    taker *deaf = queued(the, through, 1, &waiting);
    proxy_hold(the->proxy, true);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(stage_holders(the, name), 1); /* granted, though it has not heard of it */
    redlock_cancel(waiting.canceller);
    expect_taker(deaf, REDLOCK_CANCELLED);
    stall from = stall_begin();
    EXPECT(attempt(the->client, EXCLUSIVE(PATIENT)), REDLOCK_OK);
    ENDED(&from, 0, SOON_MS * 1000);
    proxy_hold(the->proxy, false);
    redlock_canceller_close(waiting.canceller);
}

/* Pitfall 19 */
static void a_cancel_that_crosses_a_grant_passes_the_lock_on_in_every_mode(void **state)
{
    stage *the = *state;
    const redlock_options *kinds[] = {EXCLUSIVE(PATIENT), SHARED(PATIENT),
                                      SHARED(PATIENT, .permits = 1), OWN(PATIENT),
                                      SHARED(PATIENT, .reentrant = true, .owner = "a")};
    redlock_client *through = stage_open_through(the);
    teach(the, SCRIPT_CANCEL);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) cross(the, through, *kinds[i]);
    assert_int_equal(stage_waiters(the, name), 0);
}

/* Pitfall 20: with only writers in line, and with a reader behind them. */
static void a_release_wakes_one_and_nobody_else_asks(void **state)
{
    enum { LINE = 6 };
    stage *the = *state;
    expect_free(the->client, name); /* so that the server knows the scripts */
    for (int readers = 0; readers <= 1; readers++) {
        taker *line[LINE + 1];
        redlock_lock *lock = take(the->client, name, EXCLUSIVE(.ttl_ms = LONG_MS));
        for (int i = 0; i < LINE + readers; i++)
            line[i] = queued(the, the->other, i + 1,
                             REDLOCK_OPTIONS(PATIENT,
                                             .mode = i == LINE ? REDLOCK_SHARED : REDLOCK_EXCLUSIVE,
                                             .policy = REDLOCK_PREFER_WRITERS));
        for (int i = 0; i < LINE + readers; i++) {
            long long calls = server_calls(the->server, "evalsha");
            if (i == 0) EXPECT(redlock_release(lock), REDLOCK_OK);
            else taker_release(line[i - 1]);
            expect_taker(line[i], REDLOCK_OK);
            assert_int_equal(server_calls(the->server, "evalsha"), calls + 1);
            assert_int_equal(stage_waiters(the, name), LINE + readers - 1 - i);
        }
        taker_release(line[LINE + readers - 1]);
    }
    assert_int_equal(stats_of(the->other).rechecks, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_writer_waits_for_the_longest_of_the_readers),
        ON_STAGE(a_late_reader_throws_nobody_out),
        ON_STAGE(a_crashed_reader_ends_although_others_come_and_go),
        ON_STAGE(every_kind_of_lock_meets_every_other_on_one_name),
        ON_STAGE(two_clients_of_one_thread_are_two_owners),
        ON_STAGE(a_child_with_a_client_of_its_own_is_another_owner),
        ON_STAGE(a_late_release_or_extension_leaves_the_next_owner_alone),
        ON_STAGE(a_repeated_acquire_counts_once_in_every_mode),
        ON_STAGE(a_dead_waiter_delays_neither_readers_nor_writers),
        ON_STAGE(a_dead_writer_bars_no_reader_beside_readers),
        ON_STAGE(a_frozen_writer_delays_readers_by_its_claim_at_the_most),
        ON_STAGE(a_cancel_that_crosses_a_grant_passes_the_lock_on_in_every_mode),
        ON_STAGE(a_release_wakes_one_and_nobody_else_asks),
    };
    if (argc > 1 && strcmp(argv[1], "writer") == 0) return writer_run(argv);
    ACTOR_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
