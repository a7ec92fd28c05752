/* SPDX-License-Identifier: MIT
 * The adapter for libevent, in a libevent base. */
#include <redlock/libevent.h>

#include "live/loop_laws.h"

struct attachment {
    struct redlock_event in_loop;
};

typedef struct ticker {
    bool (*tick)(void *arg);
    void *arg;
} ticker;

static struct event_base *base;

static void open_loop(void)
{
    base = event_base_new();
    assert_non_null(base);
}

static void close_loop(void)
{
    int left = event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED);
    event_base_free(base);
    assert_int_equal(left, 0);
}

static void after_fork(void) { (void)event_reinit(base); }

static redlock_status attach(redlock_client *client, attachment **made)
{
    *made = calloc(1, sizeof **made);
    return redlock_event_attach(client, base, &(*made)->in_loop);
}

static void detach(attachment *self) { redlock_event_detach(&self->in_loop); }
static bool is_attached(const attachment *self) { return self->in_loop.client != NULL; }
static void free_attachment(attachment *self) { free(self); }

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
    ticker *self = arg;
    (void)fd, (void)events;
    if (!self->tick(self->arg)) event_base_loopbreak(base);
}

static void run(bool (*tick)(void *arg), void *arg)
{
    ticker every = {tick, arg};
    struct event *timer = event_new(base, -1, EV_PERSIST, on_tick, &every);
    event_add(timer, &(const struct timeval){.tv_usec = 2000});
    event_base_dispatch(base);
    event_free(timer);
}

static const loop_library library = {open_loop, close_loop,  after_fork,      attach,
                                     detach,    is_attached, free_attachment, run};

int main(void) { return run_loop_laws("live loop_event, manual", "live loop_event, deliver"); }
