/* SPDX-License-Identifier: MIT
 * Whatever is done in a callback, and whichever callback it is: the hold is given back once, by the
 * door that was taken, or later by the one that was refused; nothing is left on the server, and no
 * memory. Each act at each point, on each host, on what another call took and on what the callback
 * itself is about. */
#include "live/async_stage.h"

typedef struct scene scene;

/* In the callback. What it must have answered is in `expected`. */
typedef struct act {
    const char *name;
    redlock_status (*perform)(scene *self);
    redlock_status expected;
    bool is_for_sets, closes;
} act;

/* A callback. `own` is what it is about, as far as it is still held behind it. */
typedef struct point {
    const char *name;
    void (*prepare)(scene *self); /* NULL: nothing is needed */
    redlock_status (*start)(scene *self);
    bool has_own, has_own_set;
} point;

/* What is held: a lock, or a set; NULL when it is given back. */
typedef struct held {
    redlock_lock *lock;
    redlock_set *set;
} held;

struct scene {
    async_stage *the;
    const act *act;
    const point *at;
    held own, other, *about; /* `about`: which of the two is given back */
    redlock_lock *busy;
    redlock_status answer;
    _Atomic bool is_frozen;
    _Atomic pid_t child;
    _Atomic int runs;
};

/* A callback of a test that failed may come late. */
static scene the_scene;

static redlock_client *client_in(const scene *self) { return self->the->loop.client; }
static const redlock_name_bytes others[] = {{"h", 1}, {"i", 1}}, owns[] = {{"p", 1}, {"q", 1}};

/* ---- Acts -------------------------------------------------------------------------------------*/

static redlock_status releases(scene *self) { return redlock_release(self->about->lock); }
static redlock_status clears(scene *self) { return redlock_release_and_clear(&self->about->lock); }
static redlock_status releases_set(scene *self) { return redlock_release_set(self->about->set); }

static redlock_status releases_later(scene *self)
{
    redlock_lock *lock = self->about->lock;
    self->about->lock = NULL;
    return redlock_release_async(lock, NULL, NULL);
}

static redlock_status releases_set_later(scene *self)
{
    redlock_set *set = self->about->set;
    self->about->set = NULL;
    return redlock_release_set_async(set, NULL, NULL);
}

static redlock_status leaves_its_block(scene *self)
{
    REDLOCK_AUTO redlock_lock *lock = self->about->lock;
    self->about->lock = NULL;
    return REDLOCK_OK;
}

static redlock_status ends_a_scope(scene *self)
{
    redlock_status status = REDLOCK_ERR_SYSTEM;
    redlock_scope scope = {.lock = self->about->lock, .status = &status};
    self->about->lock = NULL;
    redlock_scope_end(&scope);
    return status;
}

static redlock_status closes(scene *self) { return redlock_close(client_in(self)); }

/* The child has nothing, and can do nothing about it. */
static redlock_status forks(scene *self)
{
    pid_t child = fork();
    if (child == 0) {
        redlock_lock *lock = self->about->lock;
        bool is_refused = lock == NULL ||
                          (!redlock_is_held(lock) && redlock_release(lock) == REDLOCK_ERR_FORKED &&
                           redlock_release_async(lock, NULL, NULL) == REDLOCK_ERR_FORKED);
        _exit(is_refused ? 0 : 1);
    }
    atomic_store(&self->child, child);
    return REDLOCK_OK;
}

/* clang-format off */
static const act acts[] = {
    {"release", releases, REDLOCK_ERR_IN_CALLBACK, false, false},
    {"release_and_clear", clears, REDLOCK_ERR_IN_CALLBACK, false, false},
    {"release_async", releases_later, REDLOCK_OK, false, false},
    {"REDLOCK_AUTO", leaves_its_block, REDLOCK_OK, false, false},
    {"REDLOCK_WITH", ends_a_scope, REDLOCK_OK, false, false},
    {"release_set", releases_set, REDLOCK_ERR_IN_CALLBACK, true, false},
    {"release_set_async", releases_set_later, REDLOCK_OK, true, false},
    {"close", closes, REDLOCK_OK, false, true},
    {"close, a set", closes, REDLOCK_OK, true, true},
    {"fork", forks, REDLOCK_OK, false, false},
};
/* clang-format on */
enum { ACTS = sizeof acts / sizeof *acts };

/* ---- Points -----------------------------------------------------------------------------------*/

static void happens(scene *self)
{
    if (atomic_load(&self->runs) == 0) self->answer = self->act->perform(self);
    atomic_fetch_add(&self->runs, 1); /* last: the test's thread may look from now on */
}

static void on_done(void *arg, redlock_status status)
{
    (void)status;
    happens(arg);
}

static void on_acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    (void)status;
    ((scene *)arg)->own.lock = lock;
    happens(arg);
}

static void on_set(void *arg, redlock_status status, redlock_set *set)
{
    (void)status;
    ((scene *)arg)->own.set = set;
    happens(arg);
}

static void on_inspected(void *arg, redlock_status status, redlock_inspection *inspection)
{
    (void)status;
    redlock_inspection_free(inspection);
    happens(arg);
}

static void on_forced(void *arg, redlock_status status, size_t removed)
{
    (void)status;
    (void)removed;
    happens(arg);
}

static void on_lost(void *arg, redlock_lock *lock)
{
    (void)lock;
    happens(arg);
}

static void on_risk(void *arg, redlock_lock *lock, int64_t left_ms)
{
    (void)lock;
    (void)left_ms;
    /* Nothing else but the clock is between what the test's thread wrote and this. */
    if (atomic_load(&((scene *)arg)->is_frozen)) happens(arg);
}

static void takes_its_own(scene *self) { self->own.lock = take(client_in(self), "p", NULL); }

static void reads_its_own(scene *self)
{
    self->own.lock = take(client_in(self), "p", REDLOCK_OPTIONS(.mode = REDLOCK_SHARED));
}

static void takes_its_own_set(scene *self)
{
    EXPECT(redlock_acquire_set(client_in(self), owns, 2, NULL, &self->own.set), REDLOCK_OK);
}

static void somebody_has_it(scene *self) { self->busy = take(self->the->stage->other, "p", NULL); }

static void will_lose_its_own(scene *self)
{
    self->own.lock = take(client_in(self), "p",
                          REDLOCK_OPTIONS(.ttl_ms = brief_ms(), .auto_renew = true,
                                          .on_lost = on_lost, .on_lost_arg = self));
}

static void will_be_at_risk(scene *self)
{
    self->own.lock = take(client_in(self), "p",
                          REDLOCK_OPTIONS(.ttl_ms = 3 * brief_ms(), .auto_renew = true,
                                          .on_risk = on_risk, .on_risk_arg = self));
}

static redlock_status acquires(scene *self)
{
    return redlock_acquire_async(client_in(self), "p", 1, NULL, on_acquired, self, NULL);
}

static redlock_status acquires_set(scene *self)
{
    return redlock_acquire_set_async(client_in(self), owns, 2, NULL, on_set, self, NULL);
}

static redlock_status extends(scene *self)
{
    return redlock_extend_async(self->own.lock, LONG_MS, on_done, self);
}

static redlock_status upgrades(scene *self)
{
    return redlock_upgrade_async(self->own.lock, on_done, self);
}

static redlock_status downgrades(scene *self)
{
    return redlock_downgrade_async(self->own.lock, on_done, self);
}

static redlock_status gives_back(scene *self)
{
    redlock_lock *lock = self->own.lock;
    self->own.lock = NULL;
    return redlock_release_async(lock, on_done, self);
}

static redlock_status gives_set_back(scene *self)
{
    redlock_set *set = self->own.set;
    self->own.set = NULL;
    return redlock_release_set_async(set, on_done, self);
}

static redlock_status inspects(scene *self)
{
    return redlock_inspect_async(client_in(self), "p", 1, on_inspected, self);
}

static redlock_status forces(scene *self)
{
    return redlock_force_release_async(client_in(self), "p", 1, on_forced, self);
}

static redlock_status is_robbed(scene *self)
{
    server_number(self->the->stage->server, "DEL redlock:{p}");
    return REDLOCK_OK;
}

static redlock_status is_not_answered(scene *self)
{
    atomic_store(&self->is_frozen, true);
    server_freeze(self->the->stage->server);
    return REDLOCK_OK;
}

/* clang-format off */
enum {
    ACQUIRED, REFUSED, EXTENDED, UPGRADED, DOWNGRADED, RELEASED, SET_ACQUIRED, SET_RELEASED,
    INSPECTED, FORCED, LOST, RISKED
};
static const point points[] = {
    [ACQUIRED] = {"acquire_async", NULL, acquires, true, false},
    [REFUSED] = {"acquire_async, busy", somebody_has_it, acquires, false, false},
    [EXTENDED] = {"extend_async", takes_its_own, extends, true, false},
    [UPGRADED] = {"upgrade_async", reads_its_own, upgrades, true, false},
    [DOWNGRADED] = {"downgrade_async", takes_its_own, downgrades, true, false},
    [RELEASED] = {"release_async", takes_its_own, gives_back, false, false},
    [SET_ACQUIRED] = {"acquire_set_async", NULL, acquires_set, false, true},
    [SET_RELEASED] = {"release_set_async", takes_its_own_set, gives_set_back, false, false},
    [INSPECTED] = {"inspect_async", NULL, inspects, false, false},
    [FORCED] = {"force_release_async", NULL, forces, false, false},
    [LOST] = {"on_lost", will_lose_its_own, is_robbed, true, false},
    [RISKED] = {"on_risk", will_be_at_risk, is_not_answered, true, false},
};
/* clang-format on */

/* ---- The play ---------------------------------------------------------------------------------*/

static void take_other(scene *self)
{
    if (!self->act->is_for_sets) self->other.lock = take(client_in(self), "h", NULL);
    else
        EXPECT(redlock_acquire_set(client_in(self), others, 2, NULL, &self->other.set), REDLOCK_OK);
}

static bool has_run(void *arg) { return atomic_load(&((scene *)arg)->runs) > 0; }

static void expect_nothing_left(scene *self)
{
    static const char *const names[] = {"h", "i", "p", "q"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        loop_until(&self->the->loop, has_holders, (&(expected){self->the->stage, names[i], 0}));
}

/* What nobody gave back in the callback. Behind a close it answers that, and is over; but what was
 * lost before is lost, and what was at risk may be. */
static void give_back(const scene *self, const held *left)
{
    bool is_lost = left == &self->own && self->at == &points[LOST];
    redlock_status due = is_lost             ? REDLOCK_LOST
                         : self->act->closes ? REDLOCK_ERR_CLOSED
                                             : REDLOCK_OK;
    if (left->set == NULL && left->lock == NULL) return;
    redlock_status status = left->set != NULL ? redlock_release_set(left->set)
                                              : redlock_release(left->lock);
    bool may_be_lost = left == &self->own && self->at == &points[RISKED];
    if (!may_be_lost || status != REDLOCK_LOST)
        assert_string_equal(redlock_status_name(status), redlock_status_name(due));
}

static void end_by_close(scene *self)
{
    loop_await_close(&self->the->loop);
    expect_nothing_left(self);
    give_back(self, &self->other);
    give_back(self, &self->own);
}

static void end_by_giving_back(scene *self)
{
    give_back(self, &self->other);
    give_back(self, &self->own);
    expect_nothing_left(self);
    async_close(self->the);
}

static void play(scene *self)
{
    async_open_plain(self->the);
    take_other(self);
    if (self->at->prepare != NULL) self->at->prepare(self);
    EXPECT(self->at->start(self), REDLOCK_OK);
    loop_until(&self->the->loop, has_run, self);
    if (self->at == &points[RISKED]) server_thaw(self->the->stage->server);
    EXPECT(redlock_release(self->busy), REDLOCK_OK);
    if (self->act->closes) end_by_close(self);
    else end_by_giving_back(self);
    if (self->child != 0) expect_exit(self->child, 0);
    assert_string_equal(redlock_status_name(self->answer),
                        redlock_status_name(self->act->expected));
    assert_int_equal(self->runs, 1);
    eventually(is_all_given_back, &self->the->account);
}

static void play_at(async_stage *the, const point *at, bool is_about_own)
{
    for (int i = 0; i < ACTS; i++) {
        scene *self = &the_scene;
        bool has_it = acts[i].is_for_sets ? at->has_own_set : at->has_own;
        if (is_about_own && !has_it) continue;
        *self = (scene){.the = the, .act = &acts[i], .at = at};
        self->about = is_about_own ? &self->own : &self->other;
        print_message("%s: %s%s\n", at->name, acts[i].name, is_about_own ? ", its own" : "");
        play(self);
    }
}

#define AT(name, point)                                                                            \
    static void name(void **state)                                                                 \
    {                                                                                              \
        play_at(*state, &points[point], false);                                                    \
        play_at(*state, &points[point], true);                                                     \
    }
AT(in_an_acquisition, ACQUIRED)
AT(in_a_refusal, REFUSED)
AT(in_an_extension, EXTENDED)
AT(in_an_upgrade, UPGRADED)
AT(in_a_downgrade, DOWNGRADED)
AT(in_a_release, RELEASED)
AT(in_an_acquisition_of_a_set, SET_ACQUIRED)
AT(in_a_release_of_a_set, SET_RELEASED)
AT(in_an_inspection, INSPECTED)
AT(in_a_release_by_force, FORCED)
AT(in_on_lost, LOST)
AT(in_on_risk, RISKED)

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        ON_EVERY_HOST(in_an_acquisition),
        ON_EVERY_HOST(in_a_refusal),
        ON_EVERY_HOST(in_an_extension),
        ON_EVERY_HOST(in_an_upgrade),
        ON_EVERY_HOST(in_a_downgrade),
        ON_EVERY_HOST(in_a_release),
        ON_EVERY_HOST(in_an_acquisition_of_a_set),
        ON_EVERY_HOST(in_a_release_of_a_set),
        ON_EVERY_HOST(in_an_inspection),
        ON_EVERY_HOST(in_a_release_by_force),
        ON_EVERY_HOST(in_on_lost),
        ON_EVERY_HOST(in_on_risk),
    };
    /* clang-format on */
    return cmocka_run_group_tests_name("live callbacks", tests, NULL, NULL);
}
