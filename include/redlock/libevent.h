/* SPDX-License-Identifier: MIT
 *
 * libevent.h - a client in a libevent base, which then runs its completions and, in manual mode,
 * everything else.
 *
 *     struct redlock_event in_loop;
 *     redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL), &client);
 *     redlock_event_attach(client, base, &in_loop);
 *     ... redlock_acquire_async(client, ...), event_base_dispatch(base) ...
 *     redlock_event_detach(&in_loop);
 *     redlock_close(client);
 *
 * Host.      The client is MANUAL or DELIVER. A MANUAL one renews only while the base runs: no
 *            callback of the base may take as long as a lease.
 * Ownership. The storage is the caller's, and stays where it is until it is detached.
 * Threads.   Attach, detach and event_base_dispatch on one thread; completions run there.
 *            Operations come from any thread.
 * Stopping.  An attached client keeps event_base_dispatch from ending. Detach it before
 *            redlock_close; both may be called inside a completion, and the storage may be freed
 *            there after the detach. A client that a completion closed, and one that fork() left
 *            behind in a child, detach by themselves. Detaching again does nothing.
 *
 * Header only; link libevent_core. */
#ifndef REDLOCK_LIBEVENT_H
#define REDLOCK_LIBEVENT_H

#include <event2/event.h>
#include <redlock/redlock.h>

struct redlock_event {
    struct event *readable;
    redlock_client *client; /* NULL: detached */
    bool *is_detached;      /* where to note a detach inside a completion; otherwise NULL */
};

static inline void redlock_event_detach(struct redlock_event *self)
{
    if (self->client == NULL) return;
    self->client = NULL;
    if (self->is_detached != NULL) *self->is_detached = true;
    event_free(self->readable);
}

/* A completion may detach, so `self` is looked at afterwards only if none did. */
static inline void redlock_event_readable_(evutil_socket_t fd, short events, void *arg)
{
    struct redlock_event *self = (struct redlock_event *)arg;
    bool is_detached = false;
    (void)fd, (void)events;
    self->is_detached = &is_detached;
    redlock_status processed = redlock_process(self->client);
    if (is_detached) return;
    self->is_detached = NULL;
    if (processed == REDLOCK_ERR_CLOSED || processed == REDLOCK_ERR_FORKED)
        redlock_event_detach(self);
}

/* REDLOCK_ERR_ARGUMENT for a client that has no descriptor, REDLOCK_ERR_SYSTEM when libevent
 * refuses it. */
static inline REDLOCK_MUST_CHECK redlock_status redlock_event_attach(redlock_client *client,
                                                                     struct event_base *base,
                                                                     struct redlock_event *self)
{
    self->client = NULL;
    self->is_detached = NULL;
    int fd = redlock_fd(client);
    if (fd < 0) return REDLOCK_ERR_ARGUMENT;
    self->readable = event_new(base, fd, EV_READ | EV_PERSIST, redlock_event_readable_, self);
    if (self->readable == NULL) return REDLOCK_ERR_SYSTEM;
    self->client = client;
    if (event_add(self->readable, NULL) == 0) return REDLOCK_OK;
    redlock_event_detach(self);
    return REDLOCK_ERR_SYSTEM;
}

#endif
