/* SPDX-License-Identifier: MIT
 *
 * libuv.h - a client in a libuv loop, which then runs its completions and, in manual mode,
 * everything else.
 *
 *     static struct redlock_uv in_loop;
 *     redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL), &client);
 *     redlock_uv_attach(client, loop, &in_loop);
 *     ... redlock_acquire_async(client, ...), uv_run(loop, UV_RUN_DEFAULT) ...
 *     redlock_uv_detach(&in_loop);
 *     redlock_close(client);
 *
 * Host.      The client is MANUAL or DELIVER. A MANUAL one renews only while the loop runs: no
 *            callback of the loop may take as long as a lease.
 * Ownership. The storage is the caller's. It stays where it is until the loop has closed its
 * handle, which is after the
 *            detach: then `detached`, if it was set after the attach, is called and may free it.
 * Threads.   Attach, detach and uv_run on one thread; completions run there. Operations come from
 *            any thread.
 * Stopping.  An attached client keeps uv_run from ending (unless uv_unref is called on `poll`).
 *            Detach it before redlock_close; both may be called inside a completion. A client that
 *            a completion closed, and one that fork() left behind in a child, detach by themselves.
 *            Detaching again does nothing.
 *
 * Header only; link libuv. */
#ifndef REDLOCK_LIBUV_H
#define REDLOCK_LIBUV_H

#include <redlock/redlock.h>
#include <uv.h>

struct redlock_uv {
    uv_poll_t poll;
    redlock_client *client;                    /* NULL: detached */
    void (*detached)(struct redlock_uv *self); /* for the caller to set, or NULL: the loop needs the
                                                  storage no more */
    void *data;                                /* for the caller */
};

static inline void redlock_uv_closed_(uv_handle_t *handle)
{
    struct redlock_uv *self = (struct redlock_uv *)handle->data;
    if (self->detached != NULL) self->detached(self);
}

static inline void redlock_uv_detach(struct redlock_uv *self)
{
    if (self->client == NULL) return;
    self->client = NULL;
    uv_close((uv_handle_t *)&self->poll, redlock_uv_closed_);
}

/* A completion may detach; the storage lasts for longer than this call all the same. */
static inline void redlock_uv_readable_(uv_poll_t *poll, int status, int events)
{
    struct redlock_uv *self = (struct redlock_uv *)poll->data;
    (void)status, (void)events;
    redlock_status processed = redlock_process(self->client);
    if (processed == REDLOCK_ERR_CLOSED || processed == REDLOCK_ERR_FORKED) redlock_uv_detach(self);
}

/* REDLOCK_ERR_ARGUMENT for a client that has no descriptor, REDLOCK_ERR_SYSTEM when libuv refuses
 * it, as the second time. */
static inline REDLOCK_MUST_CHECK redlock_status redlock_uv_attach(redlock_client *client,
                                                                  uv_loop_t *loop,
                                                                  struct redlock_uv *self)
{
    self->client = NULL;
    self->detached = NULL;
    int fd = redlock_fd(client);
    if (fd < 0) return REDLOCK_ERR_ARGUMENT;
    if (uv_poll_init(loop, &self->poll, fd) != 0) return REDLOCK_ERR_SYSTEM;
    self->poll.data = self;
    self->client = client;
    if (uv_poll_start(&self->poll, UV_READABLE, redlock_uv_readable_) == 0) return REDLOCK_OK;
    redlock_uv_detach(self);
    return REDLOCK_ERR_SYSTEM;
}

#endif
