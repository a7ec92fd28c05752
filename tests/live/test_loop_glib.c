/* SPDX-License-Identifier: MIT
 * The adapter for GLib, in a main context of its own. */
#include <redlock/glib.h>

#include "live/loop_laws.h"

struct attachment {
    struct redlock_glib in_loop;
};

typedef struct ticker {
    bool (*tick)(void *arg);
    void *arg;
    GMainLoop *loop;
} ticker;

static GMainContext *context;

static void open_loop(void) { context = g_main_context_new(); }

/* The one source that it has without anybody's doing is its own wake-up. */
static void close_loop(void)
{
    gint timeout;
    GPollFD fds[4];
    assert_true(g_main_context_acquire(context));
    (void)g_main_context_prepare(context, NULL);
    gint left = g_main_context_query(context, G_MAXINT, &timeout, fds, 4);
    (void)g_main_context_check(context, G_MAXINT, fds, 0);
    g_main_context_release(context);
    g_main_context_unref(context);
    assert_int_equal(left, 1);
}

static void after_fork(void) {}

static redlock_status attach(redlock_client *client, attachment **made)
{
    *made = calloc(1, sizeof **made);
    return redlock_glib_attach(client, context, &(*made)->in_loop);
}

static void detach(attachment *self) { redlock_glib_detach(&self->in_loop); }
static bool is_attached(const attachment *self) { return self->in_loop.client != NULL; }
static void free_attachment(attachment *self) { free(self); }

static gboolean on_tick(gpointer arg)
{
    ticker *self = arg;
    if (!self->tick(self->arg)) g_main_loop_quit(self->loop);
    return G_SOURCE_CONTINUE;
}

static void run(bool (*tick)(void *arg), void *arg)
{
    ticker every = {tick, arg, g_main_loop_new(context, FALSE)};
    GSource *timer = g_timeout_source_new(2);
    g_source_set_callback(timer, on_tick, &every, NULL);
    (void)g_source_attach(timer, context);
    g_main_loop_run(every.loop);
    g_source_destroy(timer);
    g_source_unref(timer);
    g_main_loop_unref(every.loop);
}

static const loop_library library = {open_loop, close_loop,  after_fork,      attach,
                                     detach,    is_attached, free_attachment, run};

int main(void)
{
    (void)g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL |
                                 G_LOG_LEVEL_WARNING); /* what GLib thinks of its callers */
    return run_loop_laws("live loop_glib, manual", "live loop_glib, deliver");
}
