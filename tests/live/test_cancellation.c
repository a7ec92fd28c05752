/* SPDX-License-Identifier: MIT
 * A thread that is cancelled inside of a call of ours (pthread_cancel) ends behind that call, and
 * takes nothing with it that others wait for: the client is closed in its time. */
#include "live/modes_stage.h"

enum { TIMEOUT_MS = 300, ASLEEP_MS = 50 };

typedef struct victim victim;
struct victim {
    redlock_client *client;
    redlock_lock *lock;
    redlock_set *set;
    void (*call)(victim *self);
    redlock_status status;
    _Atomic bool has_begun, is_behind;
    pthread_t thread;
};

static const redlock_name_bytes names[] = {{"a", 1}, {"b", 1}, {"c", 1}};
enum { NAMES = sizeof names / sizeof *names };

/* What could not be given back to a frozen server ends soon, and is waited for by the next. */
#define LEFT_TO_ITS_LEASE REDLOCK_OPTIONS(.ttl_ms = SOON_MS, .wait_ms = LONG_MS)

static void waits(victim *self)
{
    self->status = redlock_acquire(self->client, "busy",
                                   REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER), &self->lock);
}

static void tries(victim *self)
{
    self->status = redlock_acquire(self->client, "free", LEFT_TO_ITS_LEASE, &self->lock);
}
static void releases(victim *self) { self->status = redlock_release(self->lock); }
static void extends(victim *self) { self->status = redlock_extend(self->lock, LONG_MS); }
static void downgrades(victim *self) { self->status = redlock_downgrade(self->lock); }
static void acquires_a_set(victim *self)
{
    self->status = redlock_acquire_set(self->client, names, NAMES, LEFT_TO_ITS_LEASE, &self->set);
}
static void releases_a_set(victim *self) { self->status = redlock_release_set(self->set); }
static void inspects(victim *self)
{
    redlock_inspection *seen;
    if (redlock_inspect(self->client, "r", 1, &seen, NULL) == REDLOCK_OK)
        redlock_inspection_free(seen);
}
static void forces(victim *self)
{
    self->status = redlock_force_release(self->client, "other", 5, NULL, NULL);
}

static void go_through(victim *self)
{
    atomic_store(&self->has_begun, true);
    self->call(self);
    atomic_store(&self->is_behind, true);
}

/* It has no variables of its own whose places a sanitizer would watch: nobody tells that of the end
 * of a thread that is cancelled. */
static void *run(void *arg)
{
    go_through(arg);
    pthread_testcancel();
    return NULL;
}

static bool has_begun(void *arg) { return atomic_load(&((victim *)arg)->has_begun); }

static void make_ready(stage *the, victim *self)
{
    self->client = stage_open(the, server_uri(the->server),
                              REDLOCK_CLIENT_OPTIONS(.timeout_ms = TIMEOUT_MS, LOGGED(the)));
    if (self->call == releases || self->call == extends || self->call == downgrades)
        self->lock = take(self->client, "r", LEFT_TO_ITS_LEASE);
    if (self->call == releases_a_set)
        EXPECT(redlock_acquire_set(self->client, names, NAMES, LEFT_TO_ITS_LEASE, &self->set),
               REDLOCK_OK);
}

/* What the call was about to hand out, or failed to give back, is the test's. */
static void clean_up(victim *self)
{
    bool has_lock = self->call == waits || self->call == tries || self->call == extends ||
                    self->call == downgrades;
    if (has_lock) (void)redlock_release(self->lock);
    if (self->call == acquires_a_set) (void)redlock_release_set(self->set);
}

static void expect_a_close_in_time(stage *the, void (*call)(victim *self))
{
    void *result;
    victim self = {.call = call};
    make_ready(the, &self);
    server_freeze(the->server);
    assert_int_equal(pthread_create(&self.thread, NULL, run, &self), 0);
    eventually(has_begun, &self);
    let_pass_ms(ASLEEP_MS); /* it is asleep by then; if not, it finds the client closed */
    assert_int_equal(pthread_cancel(self.thread), 0);
    stall from = stall_begin();
    stage_close(the, self.client);
    ENDED(&from, 0, 3 * TIMEOUT_MS * 1000);
    assert_int_equal(pthread_join(self.thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_true(atomic_load(&self.is_behind));
    server_thaw(the->server);
    clean_up(&self);
}

static void a_thread_that_is_cancelled_ends_behind_its_call(void **state)
{
    static void (*const calls[])(victim * self) = {
        waits,    tries,  releases,       extends,        downgrades,
        inspects, forces, acquires_a_set, releases_a_set,
    };
    stage *the = *state;
    redlock_lock *busy = take(the->other, "busy", EXCLUSIVE());
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) expect_a_close_in_time(the, calls[i]);
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

/* Its request to end is neither lost nor taken for something else. */
static void a_thread_that_cannot_be_cancelled_stays_so(void **state)
{
    stage *the = *state;
    int before, now;
    for (int kind = 0; kind < 2; kind++) {
        pthread_setcancelstate(kind == 0 ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE, &before);
        EXPECT(attempt(the->client, EXCLUSIVE()), REDLOCK_OK);
        pthread_setcancelstate(before, &now);
        assert_int_equal(now, kind == 0 ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_thread_that_is_cancelled_ends_behind_its_call),
        ON_STAGE(a_thread_that_cannot_be_cancelled_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
