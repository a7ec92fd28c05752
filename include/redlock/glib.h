/* SPDX-License-Identifier: MIT
 *
 * glib.h - a client in a GLib main context, which then runs its completions and, in manual mode,
 * everything else.
 *
 *     struct redlock_glib in_loop;
 *     redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL), &client);
 *     redlock_glib_attach(client, NULL, &in_loop);
 *     ... redlock_acquire_async(client, ...), g_main_loop_run(loop) ...
 *     redlock_glib_detach(&in_loop);
 *     redlock_close(client);
 *
 * Host.      The client is MANUAL or DELIVER. A MANUAL one renews only while the context is
 *            iterated: no callback of it may take as long as a lease.
 * Ownership. The storage is the caller's, and stays where it is until it is detached.
 * Threads.   Attach and detach on the thread that iterates the context; completions run there.
 *            Operations come from any thread.
 * Stopping.  Detach before redlock_close; both may be called inside a completion, and the storage
 *            may be freed there after the detach. A client that a completion closed, and one that
 *            fork() left behind in a child, detach by themselves. Detaching again does nothing.
 *
 * Header only; link glib-2.0. */
#ifndef REDLOCK_GLIB_H
#define REDLOCK_GLIB_H

#include <glib-unix.h>
#include <redlock/redlock.h>

struct redlock_glib {
    GSource *readable;
    redlock_client *client; /* NULL: detached */
    bool *is_detached;      /* where to note a detach inside a completion; otherwise NULL */
};

static inline void redlock_glib_detach(struct redlock_glib *self)
{
    if (self->client == NULL) return;
    self->client = NULL;
    if (self->is_detached != NULL) *self->is_detached = true;
    g_source_destroy(self->readable);
    g_source_unref(self->readable);
}

/* A completion may detach, so `self` is looked at afterwards only if none did. */
static inline gboolean redlock_glib_readable_(gint fd, GIOCondition condition, gpointer arg)
{
    struct redlock_glib *self = (struct redlock_glib *)arg;
    bool is_detached = false;
    (void)fd, (void)condition;
    self->is_detached = &is_detached;
    redlock_status processed = redlock_process(self->client);
    if (is_detached) return G_SOURCE_REMOVE;
    self->is_detached = NULL;
    if (processed != REDLOCK_ERR_CLOSED && processed != REDLOCK_ERR_FORKED)
        return G_SOURCE_CONTINUE;
    redlock_glib_detach(self);
    return G_SOURCE_REMOVE;
}

/* `context` NULL is the default one. REDLOCK_ERR_ARGUMENT for a client that has no descriptor. */
static inline REDLOCK_MUST_CHECK redlock_status redlock_glib_attach(redlock_client *client,
                                                                    GMainContext *context,
                                                                    struct redlock_glib *self)
{
    self->client = NULL;
    self->is_detached = NULL;
    int fd = redlock_fd(client);
    if (fd < 0) return REDLOCK_ERR_ARGUMENT;
    self->readable = g_unix_fd_source_new(fd, G_IO_IN);
    g_source_set_callback(self->readable, (GSourceFunc)(void (*)(void))redlock_glib_readable_, self,
                          NULL);
    self->client = client;
    (void)g_source_attach(self->readable, context);
    return REDLOCK_OK;
}

#endif
