/* SPDX-License-Identifier: MIT
 *
 * libev.h - a client in a libev loop, which then runs its completions and, in manual mode,
 * everything else.
 *
 *     struct redlock_ev in_loop;
 *     redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL), &client);
 *     redlock_ev_attach(client, loop, &in_loop);
 *     ... redlock_acquire_async(client, ...), ev_run(loop, 0) ...
 *     redlock_ev_detach(&in_loop);
 *     redlock_close(client);
 *
 * Host.      The client is MANUAL or DELIVER. A MANUAL one renews only while the loop runs: no
 *            callback of the loop may take as long as a lease.
 * Ownership. The storage is the caller's, and stays where it is until it is detached.
 * Threads.   Attach, detach and ev_run on one thread; completions run there. Operations come from
 *            any thread.
 * Stopping.  An attached client keeps ev_run from ending (unless ev_unref is called). Detach it
 *            before redlock_close; both may be called inside a completion, and the storage may be
 *            freed there after the detach. A client that a completion closed, and one that fork()
 *            left behind in a child, detach by themselves. Detaching again does nothing.
 *
 * Header only; link libev (built with EV_MULTIPLICITY, as it is by default). */
#ifndef REDLOCK_LIBEV_H
#define REDLOCK_LIBEV_H

#include <ev.h>
#include <redlock/redlock.h>

struct redlock_ev {
    ev_io readable;
    struct ev_loop *loop;
    redlock_client *client; /* NULL: detached */
    bool *is_detached;      /* where to note a detach inside a completion; otherwise NULL */
};

static inline void redlock_ev_detach(struct redlock_ev *self)
{
    if (self->client == NULL) return;
    self->client = NULL;
    if (self->is_detached != NULL) *self->is_detached = true;
    ev_io_stop(self->loop, &self->readable);
}

/* A completion may detach, so `self` is looked at afterwards only if none did. One that runs the
 * loop gets here a second time, when nothing can be done. */
static inline void redlock_ev_readable_(struct ev_loop *loop, ev_io *readable, int events)
{
    struct redlock_ev *self = (struct redlock_ev *)readable->data;
    bool is_detached = false;
    (void)loop, (void)events;
    if (self->is_detached != NULL) return;
    self->is_detached = &is_detached;
    redlock_status processed = redlock_process(self->client);
    if (is_detached) return;
    self->is_detached = NULL;
    if (processed == REDLOCK_ERR_CLOSED || processed == REDLOCK_ERR_FORKED) redlock_ev_detach(self);
}

/* REDLOCK_ERR_ARGUMENT for a client that has no descriptor. */
static inline REDLOCK_MUST_CHECK redlock_status redlock_ev_attach(redlock_client *client,
                                                                  struct ev_loop *loop,
                                                                  struct redlock_ev *self)
{
    self->client = NULL;
    self->is_detached = NULL;
    int fd = redlock_fd(client);
    if (fd < 0) return REDLOCK_ERR_ARGUMENT;
    ev_io_init(&self->readable, redlock_ev_readable_, fd, EV_READ);
    self->readable.data = self;
    self->loop = loop;
    self->client = client;
    ev_io_start(loop, &self->readable);
    return REDLOCK_OK;
}

#endif
