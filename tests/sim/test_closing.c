/* SPDX-License-Identifier: MIT
 * The close of a client with ten thousand locks, on the simulator's clock: all are given back at
 * the cost of their releases, also when connections break and the server is away meanwhile; and
 * what is being acquired is told of once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <redlock/redlock.h>

#include "sim/dice.h"
#include "sim/machine/machine.h"
#include "sim/server/interpreter.h"
#include "sim/server/node.h"
#include "sim/trace.h"
#include "sim/world/events.h"
#include "sim/world/network.h"
#include "sim/world/world.h"

enum {
    LOCKS = 10000,
    STORIES = 6, /* of each kind, where chance decides */
    TIMEOUT_MS = 20000,
    OVERSHOOT_US = 20000,
    ENDS_WITHIN_US = 500, /* where nothing breaks */
    PORTION = 400,        /* is asked for at once, and then so long nothing: */
    PAUSE_US = 50,
    STEPS_MOST = 2000000
};
static const int64_t end_us = INT64_C(600) * 1000000, lease_ms = 3600000;

bool is_traced;
void trace_line(const char *format, ...) { (void)format; }

/* What became of each lock. */
typedef struct piece {
    redlock_lock *lock;
    redlock_status status;
    int completions, releases;
    bool is_released;
} piece;

typedef struct story {
    dice dice;
    int64_t midst_us;   /* so long after it began to ask it ends; SIM_NEVER: once it has all */
    int releases_every; /* so many-th lock before the client is closed, 0: none; 1: all, and only
                           then it is closed */
    bool is_disturbed;  /* while it ends, connections break and the server is away ... */
    bool is_silenced;   /* ... or is never heard of again */
    /* What happened: */
    redlock_client *client;
    piece pieces[LOCKS];
    int completions, releases;
    long blocks; /* of memory that the library has */
    int asked;
    int64_t began_us, took_us;
    redlock_status closed;
    bool is_over;
    int left; /* locks that another client does not get at once */
} story;

static story the;
static long scripts_run; /* by the server */

/* ---- The server ------------------------------------------------------------------------------ */

static int64_t puts_nothing_off(enum script_id id, const cable *from)
{
    (void)id;
    (void)from;
    return 0;
}

static void sees_no_replica(enum script_id id, words key, const words *argv, long code)
{
    (void)id;
    (void)key;
    (void)argv;
    (void)code;
}

static void ignores_before(words key) { (void)key; }

static void ignores_messages(words message, int64_t receivers)
{
    (void)message;
    (void)receivers;
}

static void counts(enum script_id id, words key, const words *argv, long code, cable *from,
                   bool is_stray)
{
    (void)id;
    (void)key;
    (void)argv;
    (void)code;
    (void)from;
    (void)is_stray;
    scripts_run++;
}

static const node_witness witness = {.puts_off = puts_nothing_off,
                                     .far = sees_no_replica,
                                     .before = ignores_before,
                                     .told = ignores_messages,
                                     .after = counts};

/* ---- What breaks ----------------------------------------------------------------------------- */

static void cut_all(void *subject, void *detail, size_t size)
{
    dice *chance = subject;
    (void)detail;
    (void)size;
    for (int i = 0; i < network_count(); i++) {
        cable *each = network_cable(i);
        if (each->is_closed || each->is_cut || dice_below(chance, 4) == 0) continue;
        cut how = {.loses_requests = dice_below(chance, 2) == 0,
                   .machine_learns_us = dice_spread(chance, 0, 100000),
                   .node_learns_us = dice_spread(chance, 0, 100000)};
        cable_cut(each, &how);
    }
}

static void freeze(void *subject, void *detail, size_t size)
{
    (void)detail;
    (void)size;
    node_freeze(now_us() + dice_spread(subject, 1000, 2000000));
}

static void come_up(void *subject, void *detail, size_t size)
{
    (void)subject;
    (void)detail;
    (void)size;
    node_come_up(RETURN_WITH_DATA);
}

static void restart(void *subject, void *detail, size_t size)
{
    (void)detail;
    (void)size;
    if (!node_is_up()) return;
    node_go_down();
    for (int i = 0; i < network_count(); i++)
        if (network_cable(i)->is_served)
            cable_drop(network_cable(i), dice_spread(subject, 0, 20000));
    event_at(now_us() + dice_spread(subject, 1000, 1000000), come_up, NULL, NULL, 0);
}

static void disturb(story *self)
{
    static event_fn *const kinds[] = {cut_all, cut_all, freeze, restart};
    int count = (int)dice_between(&self->dice, 1, 4);
    for (int i = 0; i < count; i++)
        event_at(now_us() + dice_between(&self->dice, 0, ENDS_WITHIN_US),
                 kinds[dice_below(&self->dice, 4)], &self->dice, NULL, 0);
}

/* ---- The user -------------------------------------------------------------------------------- */

static void *allocate(void *owner, size_t size)
{
    (void)owner;
    the.blocks++;
    return arena_take(size);
}

static void give_back(void *owner, void *block)
{
    (void)owner;
    the.blocks -= block != NULL;
    arena_give_back(block);
}

static redlock_status open_client(redlock_client **client)
{
    return redlock_open(
        "redis://127.0.0.1:6379",
        REDLOCK_CLIENT_OPTIONS(.timeout_ms = TIMEOUT_MS, .spin_us = -1,
                               .log_level = REDLOCK_LOG_SILENT,
                               .allocator = {.allocate = allocate, .release = give_back}),
        client);
}

static void acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    piece *self = arg;
    self->status = status;
    self->lock = lock;
    self->completions++;
    the.completions++;
    fibers_wake(&the.completions);
}

static void released(void *arg, redlock_status status)
{
    piece *self = arg;
    self->status = status;
    self->releases++;
    the.releases++;
    fibers_wake(&the.completions);
}

/* A third of them is renewed. */
static void ask(story *self)
{
    char name[16];
    for (int i = 0; i < LOCKS && now_us() - self->began_us < self->midst_us; i++) {
        piece *one = &self->pieces[i];
        size_t length = (size_t)snprintf(name, sizeof name, "l%d", i);
        const redlock_options *options =
            REDLOCK_OPTIONS(.ttl_ms = lease_ms, .auto_renew = i % 3 == 0);
        redlock_status status =
            redlock_acquire_async(self->client, name, length, options, acquired, one, NULL);
        if (status != REDLOCK_OK) acquired(one, status, NULL);
        self->asked = i + 1;
        if (self->asked % PORTION == 0) fiber_wait(now_us() + PAUSE_US, NULL);
    }
}

static void await(const int *count)
{
    while (*count < the.asked) fiber_wait(SIM_NEVER, &the.completions);
}

/* Every so many-th of those that are held. */
static void release(story *self, int step)
{
    for (int i = 0; i < self->asked; i += step) {
        piece *one = &self->pieces[i];
        if (one->lock == NULL) continue;
        redlock_status status = redlock_release_async(one->lock, released, one);
        if (status != REDLOCK_OK) released(one, status);
        one->lock = NULL;
        one->is_released = true;
    }
}

static void end(story *self)
{
    self->began_us = now_us();
    scripts_run = 0;
    if (self->is_disturbed) disturb(self);
    if (self->is_silenced) node_freeze(end_us);
    if (self->releases_every > 0) release(self, self->releases_every);
    if (self->releases_every == 1) await(&self->releases);
    else self->closed = redlock_close(self->client);
    self->took_us = now_us() - self->began_us;
    if (self->releases_every == 1) self->closed = redlock_close(self->client);
}

static void *live(void *of)
{
    story *self = of;
    if (open_client(&self->client) == REDLOCK_OK) {
        self->began_us = now_us();
        ask(self);
        if (self->midst_us == SIM_NEVER) await(&self->completions);
        end(self);
    }
    self->is_over = true;
    return NULL;
}

/* Another client, on another machine: who gets a lock by one try finds it free. */
static void *look_for_what_is_left(void *of)
{
    story *self = of;
    redlock_client *client;
    char name[16];
    if (open_client(&client) != REDLOCK_OK) return NULL;
    for (int i = 0; i < LOCKS; i++) {
        redlock_lock *lock;
        snprintf(name, sizeof name, "l%d", i);
        self->left += redlock_acquire(client, name, NULL, &lock) != REDLOCK_OK;
        redlock_release(lock);
    }
    redlock_close(client);
    self->is_over = true;
    return NULL;
}

/* ---- The run --------------------------------------------------------------------------------- */

static void run_until_over(story *self)
{
    for (int steps = 0; !self->is_over; steps++) {
        int64_t next_us = world_next_us();
        if (next_us >= end_us || steps >= STEPS_MOST) fail_msg("it does not end");
        world_step(next_us);
    }
}

static void tell(uint64_t seed)
{
    the = (story){.midst_us = SIM_NEVER, .dice = dice_for(seed, 1)};
    const network_terms network = {.base_us = 50, .jitter_us = 50, .pieces_permille = 20};
    const world_terms terms = {.seed = seed,
                               .machines = 2,
                               .network = &network,
                               .clock_us = INT64_C(1800000000000000),
                               .load = LOAD_IS_TAKEN,
                               .witness = &witness};
    world_begin(&terms);
}

static void play(story *self)
{
    fiber_start(0, live, self);
    run_until_over(self);
}

/* What was still under way has arrived by then. */
static void look(story *self)
{
    self->is_over = false;
    fiber_start(1, look_for_what_is_left, self);
    run_until_over(self);
}

static void *let_go_of_handles(void *of)
{
    story *self = of;
    for (int i = 0; i < LOCKS; i++) {
        piece *one = &self->pieces[i];
        if (one->lock != NULL) one->status = redlock_release(one->lock);
    }
    self->is_over = true;
    return NULL;
}

/* Every handle that the user has outlives the client, holds nothing, and is given back. */
static void expect_handles_of_nothing(story *self)
{
    self->is_over = false;
    fiber_start(0, let_go_of_handles, self);
    run_until_over(self);
    for (int i = 0; i < LOCKS; i++)
        if (self->pieces[i].lock != NULL)
            assert_int_equal(self->pieces[i].status, REDLOCK_ERR_CLOSED);
    assert_int_equal(self->blocks, 0);
}

static void expect_each_told_once(const story *self)
{
    for (int i = 0; i < LOCKS; i++) {
        const piece *one = &self->pieces[i];
        assert_int_equal(one->completions, i < self->asked);
        assert_int_equal(one->releases, one->is_released);
        if (one->is_released) assert_int_equal(one->status, REDLOCK_OK);
        else assert_int_equal(one->status == REDLOCK_OK && i < self->asked, one->lock != NULL);
    }
}

static void expect_all_given_back(story *self)
{
    assert_int_equal(self->closed, REDLOCK_OK);
    expect_handles_of_nothing(self);
    look(self);
    assert_int_equal(self->left, 0);
}

/* ---- The tests ------------------------------------------------------------------------------- */

static void a_close_takes_as_long_as_the_releases_and_asks_as_often(void **state)
{
    (void)state;
    tell(1);
    the.releases_every = 1;
    play(&the);
    int64_t releases_us = the.took_us;
    assert_int_equal(scripts_run, LOCKS);
    tell(1);
    play(&the);
    assert_int_equal(scripts_run, LOCKS);
    assert_in_range(the.took_us, 1, 2 * releases_us);
    assert_in_range(the.took_us, 1, ENDS_WITHIN_US);
    expect_each_told_once(&the);
    expect_all_given_back(&the);
}

static void what_breaks_meanwhile_leaves_nothing_on_the_server(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= STORIES; seed++) {
        tell(seed);
        the.is_disturbed = true;
        play(&the);
        assert_in_range(the.took_us, 1, TIMEOUT_MS * 1000);
        expect_all_given_back(&the);
    }
}

static void what_is_being_acquired_is_told_once_and_given_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= STORIES; seed++) {
        tell(seed);
        the.midst_us = dice_between(&the.dice, 1, LOCKS / PORTION * PAUSE_US);
        the.is_disturbed = seed % 2 == 0;
        the.releases_every = (int)dice_below(&the.dice, 4) + 2;
        play(&the);
        expect_each_told_once(&the);
        expect_all_given_back(&the);
    }
}

static void on_a_silent_server_it_is_back_in_time(void **state)
{
    (void)state;
    tell(1);
    the.is_silenced = true;
    play(&the);
    assert_in_range(the.took_us, TIMEOUT_MS * 1000 - OVERSHOOT_US,
                    TIMEOUT_MS * 1000 + OVERSHOOT_US);
    expect_each_told_once(&the);
    expect_handles_of_nothing(&the);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_takes_as_long_as_the_releases_and_asks_as_often),
        cmocka_unit_test(what_breaks_meanwhile_leaves_nothing_on_the_server),
        cmocka_unit_test(what_is_being_acquired_is_told_once_and_given_back),
        cmocka_unit_test(on_a_silent_server_it_is_back_in_time),
    };
    interpreter_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    interpreter_close();
    return failed;
}
