/* SPDX-License-Identifier: MIT
 * The adapter for libev, in a libev loop. */
#include <redlock/libev.h>

#include "live/loop_laws.h"

struct attachment {
    struct redlock_ev in_loop;
};

typedef struct ticker {
    bool (*tick)(void *arg);
    void *arg;
} ticker;

static struct ev_loop *loop;

static void open_loop(void)
{
    loop = ev_loop_new(EVFLAG_AUTO);
    assert_non_null(loop);
}

/* ev_run says whether anything is left that would keep it alive. */
static void close_loop(void)
{
    bool is_alive = ev_run(loop, EVRUN_NOWAIT);
    ev_loop_destroy(loop);
    assert_false(is_alive);
}

static void after_fork(void) { ev_loop_fork(loop); }

static redlock_status attach(redlock_client *client, attachment **made)
{
    *made = calloc(1, sizeof **made);
    return redlock_ev_attach(client, loop, &(*made)->in_loop);
}

static void detach(attachment *self) { redlock_ev_detach(&self->in_loop); }
static bool is_attached(const attachment *self) { return self->in_loop.client != NULL; }
static void free_attachment(attachment *self) { free(self); }

static void on_tick(struct ev_loop *on, ev_timer *timer, int events)
{
    ticker *self = timer->data;
    (void)events;
    if (!self->tick(self->arg)) ev_break(on, EVBREAK_ONE);
}

static void run(bool (*tick)(void *arg), void *arg)
{
    ticker every = {tick, arg};
    ev_timer timer;
    ev_timer_init(&timer, on_tick, 0.002, 0.002);
    timer.data = &every;
    ev_timer_start(loop, &timer);
    ev_run(loop, 0);
    ev_timer_stop(loop, &timer);
}

static bool goes_on_ticking(void *arg) { return !is_counted_down(arg); }

typedef struct nested {
    looped *the;
    outcome next;
} nested;

/* Delivery of the next completion knocks while this one runs. */
static void run_inside_and_leave(void *arg)
{
    nested *self = arg;
    (void)ask(self->the->client, "s", NULL, &self->next);
    run(goes_on_ticking, &(countdown){10});
    leave_loop(self->the);
}

/* libev alone lets a callback run the loop: the adapter is entered while it is in the middle of
 * itself. */
static void a_completion_may_run_the_loop_and_leave_it(void **state)
{
    looped *the = *state;
    nested inside = {.the = the};
    outcome seen = {.then = run_inside_and_leave, .then_arg = &inside};
    (void)ask(the->client, "r", NULL, &seen);
    (void)loop_until(has_come, &seen);
    assert_int_equal(inside.next.times, 0);
    EXPECT(library.attach(the->client, &the->attached), REDLOCK_OK);
    (void)loop_until(has_come, &inside.next);
    expect_outcome(&seen, REDLOCK_OK);
    expect_outcome(&inside.next, REDLOCK_OK);
    release_in_loop(seen.lock, REDLOCK_OK);
    release_in_loop(inside.next.lock, REDLOCK_OK);
}

static const loop_library library = {open_loop, close_loop,  after_fork,      attach,
                                     detach,    is_attached, free_attachment, run};

int main(void)
{
    const struct CMUnitTest tests[] = {IN_LOOP(a_completion_may_run_the_loop_and_leave_it)};
    host = REDLOCK_HOST_DELIVER;
    int failed = cmocka_run_group_tests_name("live loop_ev, nested", tests, NULL, NULL);
    return failed + run_loop_laws("live loop_ev, manual", "live loop_ev, deliver");
}
