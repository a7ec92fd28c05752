/* SPDX-License-Identifier: MIT
 * What the tests of the loop adapters share: a loop that they write once for each library (struct
 * loop_library), a client attached to it, and what its completions saw. Rule: nothing asserts
 * inside a callback of the loop; a test looks when the loop has stopped. */
#ifndef REDLOCK_TESTS_LIVE_LOOP_STAGE_H
#define REDLOCK_TESTS_LIVE_LOOP_STAGE_H

#include <poll.h>

#include "live/stage.h"

/* ---- The library under test, written in each test_loop_<name>.c ------------------------------ */

typedef struct attachment attachment; /* the adapter's storage */

typedef struct loop_library {
    void (*open)(void);
    void (*close)(void); /* fails the test if the loop still has anything of ours */
    void (*after_fork)(void);
    redlock_status (*attach)(redlock_client *client, attachment **made); /* in fresh memory */
    void (*detach)(attachment *self);
    bool (*is_attached)(const attachment *self);
    void (*free)(attachment *self); /* detached; inside a completion too */
    /* Runs the loop until `tick`, called about every 2 ms by a timer of the loop's, answers
     * false. */
    void (*run)(bool (*tick)(void *arg), void *arg);
} loop_library;

static const loop_library library;

/* ---- The stage --------------------------------------------------------------------------------*/

static redlock_host host =
    REDLOCK_HOST_MANUAL; /* of the client in the loop; the tests run once for each */

typedef struct looped {
    stage *stage;
    redlock_client *client; /* in the loop */
    attachment *attached;
} looped;

static inline redlock_client *open_for_loop(stage *self)
{
    return stage_open(self, server_uri(self->server),
                      REDLOCK_CLIENT_OPTIONS(.host = host, LOGGED(self)));
}

static inline int looped_begin(void **state)
{
    static looped the;
    void *began;
    stage_begin(&began);
    library.open();
    the = (looped){.stage = began, .client = open_for_loop(began)};
    EXPECT(library.attach(the.client, &the.attached), REDLOCK_OK);
    *state = &the;
    return 0;
}

static inline void leave_loop(looped *self)
{
    if (self->attached == NULL) return;
    library.detach(self->attached);
    library.free(self->attached);
    self->attached = NULL;
}

static inline int looped_end(void **state)
{
    looped *the = *state;
    void *began = the->stage;
    leave_loop(the);
    library.close();
    return stage_end(&began);
}

#define IN_LOOP(name) cmocka_unit_test_setup_teardown(name, looped_begin, looped_end)

/* ---- Running the loop -------------------------------------------------------------------------*/

typedef struct loop_wait {
    bool (*is_so)(void *arg);
    void *arg;
    patience patience;
    bool has_come;
    int ticks;
} loop_wait;

static inline bool goes_on_waiting(void *arg)
{
    loop_wait *self = arg;
    self->ticks++;
    self->has_come = self->is_so(self->arg);
    return !self->has_come && !patience_is_over(&self->patience);
}

/* Like eventually(), but the loop runs meanwhile. Answers how often its timer ticked. */
static inline int loop_until_at(bool (*is_so)(void *arg), void *arg, const char *what, int line)
{
    loop_wait wait = {.is_so = is_so, .arg = arg, .patience = patience_begin()};
    library.run(goes_on_waiting, &wait);
    if (!wait.has_come) fail_msg("line %d: not within the time: %s", line, what);
    return wait.ticks;
}
#define loop_until(is_so, arg) loop_until_at((is_so), (arg), #is_so, __LINE__)

typedef struct countdown {
    int ticks;
} countdown;

static inline bool is_counted_down(void *arg) { return --((countdown *)arg)->ticks <= 0; }
static inline void loop_some_ticks(void) { (void)loop_until(is_counted_down, (&(countdown){10})); }

/* ---- Completions ------------------------------------------------------------------------------*/

typedef struct outcome {
    int times;
    redlock_status status;
    redlock_lock *lock;
    pthread_t thread;
    bool is_submitting; /* set by the test around the call that submits */
    bool came_too_early;
    void (*then)(void *arg); /* done inside the completion */
    void *then_arg;
} outcome;

static inline void note(outcome *self, redlock_status status)
{
    self->times++;
    self->status = status;
    self->thread = pthread_self();
    self->came_too_early |= self->is_submitting;
    if (self->then != NULL) self->then(self->then_arg);
}

static inline void acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    outcome *self = arg;
    self->lock = lock;
    note(self, status);
}

static inline void done(void *arg, redlock_status status) { note(arg, status); }
static inline bool has_come(void *arg) { return ((outcome *)arg)->times > 0; }

/* Once, later, and on the thread of the loop. */
static inline void expect_outcome(outcome *self, redlock_status status)
{
    assert_int_equal(self->times, 1);
    assert_string_equal(redlock_status_name(self->status), redlock_status_name(status));
    assert_false(self->came_too_early);
    assert_true(pthread_equal(self->thread, pthread_self()));
    if (status != REDLOCK_OK) assert_null(self->lock);
}

static inline redlock_operation ask(redlock_client *client, const char *name,
                                    const redlock_options *options, outcome *self)
{
    redlock_operation id;
    self->is_submitting = true;
    EXPECT(redlock_acquire_async(client, name, strlen(name), options, acquired, self, &id),
           REDLOCK_OK);
    self->is_submitting = false;
    return id;
}

static inline void give_back(redlock_lock *lock, outcome *self)
{
    self->is_submitting = true;
    EXPECT(redlock_release_async(lock, done, self), REDLOCK_OK);
    self->is_submitting = false;
}

static inline redlock_lock *take_in_loop(redlock_client *client, const char *name,
                                         const redlock_options *options)
{
    outcome seen = {0};
    (void)ask(client, name, options, &seen);
    (void)loop_until(has_come, &seen);
    expect_outcome(&seen, REDLOCK_OK);
    assert_true(redlock_is_held(seen.lock));
    return seen.lock;
}

static inline void release_in_loop(redlock_lock *lock, redlock_status status)
{
    outcome seen = {0};
    give_back(lock, &seen);
    (void)loop_until(has_come, &seen);
    expect_outcome(&seen, status);
}

#endif
