/* SPDX-License-Identifier: MIT
 * No call takes longer than it promises: on a server that is frozen each is back by its deadline
 * and 20 ms. A row is a call; what it needs is made ready while the server runs. The figures are
 * printed. */
#include "live/async_stage.h"

enum { TIMEOUT_MS = 100, SHORT_MS = 30, WAIT_MS = 175, LONG_WAIT_MS = 500, PARTING_MS = 5 };
enum { MANY = 12 }; /* names of a set */

typedef struct scene scene;

typedef struct row {
    const char *call;
    void (*prepare)(scene *self); /* NULL: nothing is needed */
    redlock_status (*make)(scene *self);
    int64_t due_ms; /* when it has to be back */
    redlock_status status;
    redlock_host host;
    const char *line;          /* the server freezes when it waits here; NULL: before the call */
    void (*then)(scene *self); /* what is done to it there, from when on it is due; may be NULL */
} row;

struct scene {
    const row *row;
    stage *the;
    loop loop;
    redlock_lock *lock;
    redlock_set *set;
    redlock_canceller *canceller;
    redlock_status status;
    int64_t ended_us;
    bool was_closed;
};

static stage *the_stage;

/* ---- Lateness ---------------------------------------------------------------------------------*/

/* The meter sees what keeps a thread from waking; the one that measures was ready to run, too, and
 * may have had no processor. */
static int64_t starved_us(void)
{
    long long ran_ns, waited_ns = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "r");
    if (file != NULL && fscanf(file, "%lld %lld", &ran_ns, &waited_ns) != 2) waited_ns = 0;
    if (file != NULL) fclose(file);
    return waited_ns / 1000;
}

typedef struct watch {
    stall meter;
    int64_t began_us, starved_us;
} watch;

static watch watch_start(void)
{
    watch self = {.starved_us = starved_us(), .meter = stall_begin()};
    self.began_us = now_us();
    return self;
}

/* What may be late is bounded here and nowhere else. */
static int64_t late_most_us(const watch *since)
{
    return stall_late_us() + stall_us(&since->meter) + starved_us() - since->starved_us;
}

static void expect_back(const char *call, const watch *since, int64_t ended_us, int64_t due_ms)
{
    long long due = due_ms, most = late_most_us(since);
    long long over = ended_us - since->began_us - due_ms * 1000;
    print_message("%-42s due %4lld ms, late %7lld of %7lld us\n", call, due, over, most);
    if (over > most || over < -(PARTING_MS + 1) * 1000) fail_msg("%s: %lld us late", call, over);
}

/* ---- What is made ready -----------------------------------------------------------------------*/

#define MINE .reentrant = true, .owner = "job 7"

static void take_as(scene *self, const redlock_options *options)
{
    EXPECT(redlock_acquire(self->loop.client, "r", options, &self->lock), REDLOCK_OK);
}

static void connects(scene *self) { expect_free(self->loop.client, "w"); }
static void holds(scene *self) { take_as(self, REDLOCK_OPTIONS(.ttl_ms = LONG_MS)); }
static void renews(scene *self)
{
    const redlock_options *options = REDLOCK_OPTIONS(.ttl_ms = LONG_MS, .auto_renew = true);
    take_as(self, options);
}

static void reads(scene *self) { take_as(self, REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, MINE)); }

static void is_inside_twice(scene *self)
{
    reads(self);
    reads(self);
}

static void another_holds(scene *self) { self->lock = take(self->the->client, "r", FOR_EVER); }

/* clang-format off */
static const redlock_name_bytes names[MANY] = {
    {"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}, {"e", 1}, {"f", 1},
    {"g", 1}, {"h", 1}, {"i", 1}, {"j", 1}, {"k", 1}, {"l", 1},
};
/* clang-format on */

static void holds_a_set(scene *self)
{
    const redlock_options *options = REDLOCK_OPTIONS(.ttl_ms = LONG_MS);
    EXPECT(redlock_acquire_set(self->loop.client, names, MANY, options, &self->set), REDLOCK_OK);
}

static void another_holds_one_of_the_set(scene *self)
{
    self->lock = take(self->the->client, "c", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
}

static void has_used_a_canceller(scene *self)
{
    EXPECT(redlock_canceller_open(&self->canceller), REDLOCK_OK);
    redlock_cancel(self->canceller);
}

static void another_holds_and_it_may_be_cancelled(scene *self)
{
    another_holds(self);
    EXPECT(redlock_canceller_open(&self->canceller), REDLOCK_OK);
}

/* ---- Blocking calls ---------------------------------------------------------------------------*/

static redlock_status acquire_for(scene *self, int64_t wait_ms)
{
    redlock_lock *none;
    return redlock_acquire(self->loop.client, "r", REDLOCK_OPTIONS(.wait_ms = wait_ms), &none);
}

static redlock_status tries(scene *self) { return acquire_for(self, 0); }
static redlock_status waits_briefly(scene *self) { return acquire_for(self, SHORT_MS); }
static redlock_status waits(scene *self) { return acquire_for(self, WAIT_MS); }
static redlock_status waits_long(scene *self) { return acquire_for(self, LONG_WAIT_MS); }

static redlock_status waits_for_ever(scene *self)
{
    redlock_lock *none;
    const redlock_options *options = REDLOCK_OPTIONS(.wait_ms = -1, .canceller = self->canceller);
    return redlock_acquire(self->loop.client, "r", options, &none);
}

static void cancels(scene *self) { redlock_cancel(self->canceller); }

static redlock_status enter(scene *self, redlock_mode mode, int64_t ttl_ms, int64_t wait_ms)
{
    redlock_lock *none;
    redlock_options options = *REDLOCK_OPTIONS(MINE, .mode = mode, .ttl_ms = ttl_ms);
    options.wait_ms = wait_ms;
    return redlock_acquire(self->loop.client, "r", &options, &none);
}

static redlock_status enters_longer(scene *self) { return enter(self, REDLOCK_SHARED, LONG_MS, 0); }
static redlock_status enters_upgraded(scene *self) { return enter(self, REDLOCK_EXCLUSIVE, 0, 0); }

static redlock_status enters_both(scene *self)
{
    redlock_mode to = REDLOCK_EXCLUSIVE;
    return enter(self, to, LONG_MS, WAIT_MS);
}

static redlock_lock *taken_from(scene *self)
{
    redlock_lock *lock = self->lock;
    self->lock = NULL;
    return lock;
}

static redlock_status releases(scene *self) { return redlock_release(taken_from(self)); }
static redlock_status leaves_the_inner_one(scene *self) { return redlock_release(self->lock); }
static redlock_status clears(scene *self) { return redlock_release_and_clear(&self->lock); }
static redlock_status extends(scene *self) { return redlock_extend(self->lock, 2 * LONG_MS); }
static redlock_status upgrades(scene *self) { return redlock_upgrade(self->lock); }
static redlock_status downgrades(scene *self) { return redlock_downgrade(self->lock); }

static redlock_status releases_itself(scene *self)
{
    REDLOCK_AUTO redlock_lock *lock = taken_from(self);
    return REDLOCK_OK;
}

static redlock_status begins_a_scope(scene *self)
{
    redlock_status status;
    REDLOCK_WITH (self->loop.client, "r", &status, (int *)NULL, .ttl_ms = LONG_MS) continue;
    return status;
}

static redlock_status ends_a_scope(scene *self)
{
    redlock_status status = REDLOCK_OK;
    redlock_scope scope = {.lock = taken_from(self), .status = &status};
    redlock_scope_end(&scope);
    return status;
}

static redlock_status take_set_for(scene *self, int64_t wait_ms)
{
    redlock_set *none;
    const redlock_options *options = REDLOCK_OPTIONS(.wait_ms = wait_ms);
    return redlock_acquire_set(self->loop.client, names, MANY, options, &none);
}

static redlock_status tries_a_set(scene *self) { return take_set_for(self, 0); }
static redlock_status waits_for_a_set(scene *self) { return take_set_for(self, WAIT_MS); }
static redlock_status waits_long_for_a_set(scene *self) { return take_set_for(self, LONG_WAIT_MS); }

static redlock_status releases_a_set(scene *self)
{
    redlock_set *set = self->set;
    self->set = NULL;
    return redlock_release_set(set);
}

static redlock_status inspects(scene *self)
{
    redlock_inspection *none;
    return redlock_inspect(self->loop.client, "r", 1, &none, NULL);
}

static redlock_status forces(scene *self)
{
    redlock_client *client = self->loop.client;
    return redlock_force_release(client, "r", 1, NULL, NULL);
}

static redlock_status opens(scene *self)
{
    redlock_client *none;
    redlock_client_options options = *REDLOCK_CLIENT_OPTIONS(.password = "none");
    options.connect_now = true;
    options.connect_timeout_ms = TIMEOUT_MS;
    return redlock_open(server_uri(self->the->server), &options, &none);
}

static redlock_status closes(scene *self)
{
    self->was_closed = true;
    return redlock_close(self->loop.client);
}

/* Its thread still looks at what it was given. */
static void is_closed(scene *self)
{
    self->was_closed = true;
    EXPECT(redlock_close(self->loop.client), REDLOCK_OK);
}

static bool tells_that_it_is_held(const redlock_lock *lock)
{
    bool is_believed = redlock_is_held(lock) && redlock_remaining_ms(lock) > 0 &&
                       redlock_why_lost(lock) == REDLOCK_LOSS_NONE && redlock_why_failed() != NULL;
    bool is_known = redlock_fence(lock) > 0 && redlock_lock_mode(lock) == REDLOCK_EXCLUSIVE;
    return is_believed && is_known && strcmp(redlock_name(lock, NULL), "r") == 0;
}

static redlock_status looks(scene *self)
{
    redlock_client *client = self->loop.client;
    redlock_adopt(self->lock);
    redlock_cancel_async(client, 999999);
    bool is_sound = tells_that_it_is_held(self->lock) && stats_of(client).acquired == 1;
    is_sound = is_sound && redlock_fd(client) >= 0 && redlock_timeout_ms(client) >= -1;
    return is_sound ? redlock_process(client) : REDLOCK_ERR_ARGUMENT;
}

/* ---- Asynchronous calls: until they are complete ----------------------------------------------*/

static redlock_status completion_of(scene *self, deed *what, redlock_status submitted)
{
    if (submitted != REDLOCK_OK) return submitted;
    loop_until(&self->loop, deed_is_done, what);
    self->ended_us = what->at_us;
    return what->status;
}

static redlock_status acquire_later(scene *self, const redlock_options *options)
{
    deed *what = deed_new(&self->loop);
    return completion_of(self, what, deed_submit(what, "r", options));
}

static redlock_status tries_later(scene *self) { return acquire_later(self, NULL); }

static redlock_status waits_later(scene *self)
{
    const redlock_options *options = REDLOCK_OPTIONS(.wait_ms = WAIT_MS);
    return acquire_later(self, options);
}

static redlock_status enters_longer_later(scene *self)
{
    return acquire_later(self, REDLOCK_OPTIONS(MINE, .mode = REDLOCK_SHARED, .ttl_ms = LONG_MS));
}

static redlock_status enters_upgraded_later(scene *self)
{
    const redlock_options *exclusive = REDLOCK_OPTIONS(MINE);
    return acquire_later(self, exclusive);
}

static redlock_status extends_later(scene *self)
{
    deed *what = deed_new(&self->loop);
    redlock_status status = redlock_extend_async(self->lock, 2 * LONG_MS, deed_done, what);
    return completion_of(self, what, status);
}

static redlock_status releases_later(scene *self)
{
    deed *what = deed_new(&self->loop);
    return completion_of(self, what, redlock_release_async(taken_from(self), deed_done, what));
}

static redlock_status upgrades_later(scene *self)
{
    deed *what = deed_new(&self->loop);
    return completion_of(self, what, redlock_upgrade_async(self->lock, deed_done, what));
}

static redlock_status downgrades_later(scene *self)
{
    deed *what = deed_new(&self->loop);
    return completion_of(self, what, redlock_downgrade_async(self->lock, deed_done, what));
}

static void set_taken(void *arg, redlock_status status, redlock_set *set)
{
    assert_null(set);
    deed_note(arg, status, NULL);
}

static redlock_status tries_a_set_later(scene *self)
{
    deed *what = deed_new(&self->loop);
    redlock_client *client = self->loop.client;
    return completion_of(
        self, what, redlock_acquire_set_async(client, names, MANY, NULL, set_taken, what, NULL));
}

static redlock_status releases_a_set_later(scene *self)
{
    deed *what = deed_new(&self->loop);
    redlock_set *set = self->set;
    self->set = NULL;
    return completion_of(self, what, redlock_release_set_async(set, deed_done, what));
}

static void has_looked(void *arg, redlock_status status, redlock_inspection *seen)
{
    assert_null(seen);
    deed_note(arg, status, NULL);
}

static redlock_status inspects_later(scene *self)
{
    deed *what = deed_new(&self->loop);
    return completion_of(self, what,
                         redlock_inspect_async(self->loop.client, "r", 1, has_looked, what));
}

static void has_forced(void *arg, redlock_status status, size_t removed)
{
    assert_int_equal(removed, 0);
    deed_note(arg, status, NULL);
}

static redlock_status forces_later(scene *self)
{
    deed *what = deed_new(&self->loop);
    return completion_of(self, what,
                         redlock_force_release_async(self->loop.client, "r", 1, has_forced, what));
}

/* ---- All of them ------------------------------------------------------------------------------*/

/* clang-format off */
#define KEEPER REDLOCK_HOST_KEEPER
#define MANUAL REDLOCK_HOST_MANUAL
#define FROZEN(call, prepare, make, due, status, host)                                             \
    {call, prepare, make, due, REDLOCK_##status, host, NULL, NULL}
#define IN_LINE(call, prepare, make, due, status, host, line, then)                                \
    {call, prepare, make, due, REDLOCK_##status, host, line, then}
#define LATE(call, prepare, make, due, host) FROZEN(call, prepare, make, due, ERR_TIMEOUT, host)
#define ON_EACH_HOST(call, prepare, make, due, status)                                             \
    FROZEN(call " (keeper)", prepare, make, due, status, KEEPER),                                  \
    FROZEN(call " (deliver)", prepare, make, due, status, REDLOCK_HOST_DELIVER),                   \
    FROZEN(call " (manual)", prepare, make, due, status, MANUAL)

static const row rows[] = {
    LATE("acquire, not connected", NULL, tries, TIMEOUT_MS, KEEPER),
    LATE("acquire", connects, tries, TIMEOUT_MS, KEEPER),
    LATE("acquire (manual)", connects, tries, TIMEOUT_MS, MANUAL),
    LATE("acquire, short wait", connects, waits_briefly, TIMEOUT_MS, KEEPER),
    LATE("acquire, wait", connects, waits, WAIT_MS, KEEPER),
    LATE("acquire, wait (manual)", connects, waits, WAIT_MS, MANUAL),
    FROZEN("acquire, cancelled before", has_used_a_canceller, waits_for_ever, 0, CANCELLED, KEEPER),
    LATE("acquire again, longer", reads, enters_longer, TIMEOUT_MS, KEEPER),
    LATE("acquire again, upgraded", reads, enters_upgraded, TIMEOUT_MS, KEEPER),
    LATE("acquire again, both, wait", reads, enters_both, WAIT_MS, KEEPER),
    LATE("release", holds, releases, TIMEOUT_MS, KEEPER),
    LATE("release (manual)", holds, releases, TIMEOUT_MS, MANUAL),
    LATE("release, renewed", renews, releases, TIMEOUT_MS, KEEPER),
    FROZEN("release, inner", is_inside_twice, leaves_the_inner_one, 0, OK, KEEPER),
    LATE("release_and_clear", holds, clears, TIMEOUT_MS, KEEPER),
    FROZEN("REDLOCK_AUTO", holds, releases_itself, TIMEOUT_MS, OK, KEEPER),
    LATE("REDLOCK_WITH, its beginning", connects, begins_a_scope, TIMEOUT_MS, KEEPER),
    LATE("REDLOCK_WITH, its end", holds, ends_a_scope, TIMEOUT_MS, KEEPER),
    LATE("extend", holds, extends, TIMEOUT_MS, KEEPER),
    LATE("upgrade", reads, upgrades, TIMEOUT_MS, KEEPER),
    LATE("downgrade", holds, downgrades, TIMEOUT_MS, KEEPER),
    LATE("acquire_set", connects, tries_a_set, TIMEOUT_MS, KEEPER),
    LATE("acquire_set, wait", connects, waits_for_a_set, WAIT_MS, KEEPER),
    LATE("release_set, twelve names", holds_a_set, releases_a_set, TIMEOUT_MS, KEEPER),
    LATE("inspect", connects, inspects, TIMEOUT_MS, KEEPER),
    LATE("force_release", connects, forces, TIMEOUT_MS, KEEPER),
    LATE("open, connect_now", NULL, opens, TIMEOUT_MS, KEEPER),
    FROZEN("close, nothing held", connects, closes, 0, OK, KEEPER),
    FROZEN("is_held and what else only looks", holds, looks, 0, OK, MANUAL),
    ON_EACH_HOST("close, one held", renews, closes, TIMEOUT_MS, OK),
    ON_EACH_HOST("close, a set of twelve held", holds_a_set, closes, TIMEOUT_MS, OK),
    ON_EACH_HOST("acquire_async", connects, tries_later, TIMEOUT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("acquire_async, wait", connects, waits_later, WAIT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("acquire_async, longer", reads, enters_longer_later, TIMEOUT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("acquire_async, upgraded", reads, enters_upgraded_later, TIMEOUT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("extend_async", holds, extends_later, TIMEOUT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("release_async", holds, releases_later, TIMEOUT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("upgrade_async", reads, upgrades_later, TIMEOUT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("downgrade_async", holds, downgrades_later, TIMEOUT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("acquire_set_async", connects, tries_a_set_later, TIMEOUT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("release_set_async", holds_a_set, releases_a_set_later, TIMEOUT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("inspect_async", connects, inspects_later, TIMEOUT_MS, ERR_TIMEOUT),
    ON_EACH_HOST("force_release_async", connects, forces_later, TIMEOUT_MS, ERR_TIMEOUT),
    IN_LINE("acquire, in the line", another_holds, waits_long, LONG_WAIT_MS, TIMED_OUT, KEEPER, "r",
            NULL),
    IN_LINE("acquire, in the line (manual)", another_holds, waits_long, LONG_WAIT_MS + PARTING_MS,
            TIMED_OUT, MANUAL, "r", NULL),
    IN_LINE("acquire_set, in a line", another_holds_one_of_the_set, waits_long_for_a_set,
            LONG_WAIT_MS, TIMED_OUT, KEEPER, "c", NULL),
    IN_LINE("acquire_set, in a line (manual)", another_holds_one_of_the_set, waits_long_for_a_set,
            LONG_WAIT_MS + PARTING_MS, TIMED_OUT, MANUAL, "c", NULL),
    IN_LINE("acquire, cancelled in the line", another_holds_and_it_may_be_cancelled,
            waits_for_ever, PARTING_MS, CANCELLED, KEEPER, "r", cancels),
    IN_LINE("acquire, cancelled in the line (manual)", another_holds_and_it_may_be_cancelled,
            waits_for_ever, TIMEOUT_MS, CANCELLED, MANUAL, "r", cancels),
    IN_LINE("acquire, closed in the line", another_holds, waits_for_ever, 0, ERR_CLOSED, KEEPER,
            "r", is_closed),
    IN_LINE("acquire, closed in the line (manual)", another_holds, waits_for_ever, 0, ERR_CLOSED,
            MANUAL, "r", is_closed),
};
/* clang-format on */

enum { ROWS = sizeof rows / sizeof *rows };

static void make_at_once(scene *self, watch *since)
{
    server_freeze(self->the->server);
    *since = watch_start();
    self->status = self->row->make(self);
    if (self->ended_us == 0) self->ended_us = now_us();
}

static void *make_elsewhere(void *arg)
{
    scene *self = arg;
    self->status = self->row->make(self);
    self->ended_us = now_us();
    return NULL;
}

static void make_and_freeze(scene *self, watch *since)
{
    pthread_t thread;
    *since = watch_start();
    assert_int_equal(pthread_create(&thread, NULL, make_elsewhere, self), 0);
    await_waiters(self->the, self->row->line, 1);
    server_freeze(self->the->server);
    if (self->row->then != NULL) *since = watch_start();
    if (self->row->then != NULL) self->row->then(self);
    pthread_join(thread, NULL);
}

static void is_back_by_its_deadline(void **state)
{
    scene *self = *state;
    watch since;
    if (self->row->prepare != NULL) self->row->prepare(self);
    if (self->row->line == NULL) make_at_once(self, &since);
    else make_and_freeze(self, &since);
    assert_string_equal(redlock_status_name(self->status), redlock_status_name(self->row->status));
    expect_back(self->row->call, &since, self->ended_us, self->row->due_ms);
}

/* ---- Setting up -------------------------------------------------------------------------------*/

/* One server for all rows: what is thawed is as good as new. */
static int begin_all(void **state)
{
    void *the = NULL;
    (void)state;
    stage_begin(&the);
    the_stage = the;
    return 0;
}

static int end_all(void **state)
{
    void *the = the_stage;
    (void)state;
    return stage_end(&the);
}

/* Is given the row, and leaves the scene. */
static int begin_one(void **state)
{
    static scene the;
    the = (scene){.row = *state, .the = the_stage};
    the.loop = (loop){.host = the.row->host, .thread = thread_id()};
    *state = &the;
    const redlock_client_options *options =
        REDLOCK_CLIENT_OPTIONS(.host = the.row->host, .timeout_ms = TIMEOUT_MS, LOGGED(the_stage));
    return redlock_open(server_uri(the_stage->server), options, &the.loop.client);
}

static int end_one(void **state)
{
    scene *self = *state;
    server_thaw(self->the->server);
    redlock_release(self->lock);
    redlock_release_set(self->set);
    if (!self->was_closed) redlock_close(self->loop.client);
    redlock_canceller_close(self->canceller);
    while (kept_count > 0) free(kept_deeds[--kept_count]);
    server_order(self->the->server, "FLUSHALL");
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        void *what = (void *)(uintptr_t)&rows[i];
        struct CMUnitTest one = {rows[i].call, is_back_by_its_deadline, begin_one, end_one, what};
        tests[i] = one;
    }
    return cmocka_run_group_tests_name("live promises, frozen", tests, begin_all, end_all);
}
