/* SPDX-License-Identifier: MIT
 * The adapter for libuv, in a libuv loop. */
#include <redlock/libuv.h>

#include "live/loop_laws.h"

struct attachment {
    struct redlock_uv in_loop; /* first */
    bool is_known;             /* to the loop, which alone may free it then */
    bool is_unwanted;
};

typedef struct ticker {
    bool (*tick)(void *arg);
    void *arg;
} ticker;

static uv_loop_t loop;
static uv_timer_t timer;

static void open_loop(void)
{
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
}

/* What was detached is closed by now, or by one more turn; anything else makes the loop refuse. */
static void close_loop(void)
{
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void after_fork(void) { (void)uv_loop_fork(&loop); }

static void forgotten(struct redlock_uv *in_loop)
{
    attachment *self = (attachment *)in_loop;
    self->is_known = false;
    if (self->is_unwanted) free(self);
}

static redlock_status attach(redlock_client *client, attachment **made)
{
    attachment *self = *made = calloc(1, sizeof *self);
    redlock_status status = redlock_uv_attach(client, &loop, &self->in_loop);
    self->is_known = status == REDLOCK_OK;
    self->in_loop.detached = forgotten;
    return status;
}

static void detach(attachment *self) { redlock_uv_detach(&self->in_loop); }
static bool is_attached(const attachment *self) { return self->in_loop.client != NULL; }

static void free_attachment(attachment *self)
{
    self->is_unwanted = true;
    if (!self->is_known) free(self);
}

static void on_tick(uv_timer_t *ticking)
{
    ticker *self = ticking->data;
    if (!self->tick(self->arg)) uv_stop(ticking->loop);
}

static void run(bool (*tick)(void *arg), void *arg)
{
    ticker every = {tick, arg};
    timer.data = &every;
    (void)uv_timer_start(&timer, on_tick, 2, 2);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_timer_stop(&timer);
}

static const loop_library library = {open_loop, close_loop,  after_fork,      attach,
                                     detach,    is_attached, free_attachment, run};

int main(void) { return run_loop_laws("live loop_uv, manual", "live loop_uv, deliver"); }
