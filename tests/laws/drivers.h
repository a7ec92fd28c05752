/* SPDX-License-Identifier: MIT
 * The ways of calling that the laws run through: blocking, on a lane or carried by the keeper; or
 * asynchronous on each host. An asynchronous call is submitted and then waited for, and a canceller
 * becomes redlock_cancel_async. Where a host wants an event loop, each client has a thread that is
 * one: it sleeps on redlock_fd and calls redlock_process. */
#ifndef REDLOCK_TESTS_LAWS_DRIVERS_H
#define REDLOCK_TESTS_LAWS_DRIVERS_H

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api/canceller.h"
#include "api/client.h"
#include "laws/laws.h"

/* ---- Waiting for a completion -----------------------------------------------------------------*/

typedef struct law_outcome {
    int fd; /* readable once it is complete */
    redlock_status status;
    redlock_lock *lock;
    _Atomic int completions;
} law_outcome;

static inline void law_outcome_done(void *arg, redlock_status status)
{
    law_outcome *self = arg;
    self->status = status;
    atomic_fetch_add(&self->completions, 1);
    eventfd_write(self->fd, 1);
}

static inline void law_outcome_acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    ((law_outcome *)arg)->lock = lock;
    law_outcome_done(arg, status);
}

static inline void law_outcome_await(law_outcome *self, redlock_client *client,
                                     redlock_operation id, const redlock_canceller *canceller)
{
    struct pollfd fds[] = {{.fd = self->fd, .events = POLLIN},
                           {.fd = canceller_fd(canceller), .events = POLLIN}};
    eventfd_t count;
    while (poll(fds, 2, -1) < 0 || fds[0].revents == 0) {
        if (fds[1].revents == 0) continue;
        redlock_cancel_async(client, id);
        fds[1] = (struct pollfd){.fd = -1};
    }
    eventfd_read(self->fd, &count); /* what the completion wrote is seen from here on */
}

/* The status, or that of a completion that did not come exactly once. */
static inline redlock_status law_outcome_end(law_outcome *self)
{
    close(self->fd);
    return atomic_load(&self->completions) == 1 ? self->status : REDLOCK_ERR_SYSTEM;
}

/* ---- The calls --------------------------------------------------------------------------------*/

static inline redlock_status law_acquire_async(redlock_client *client, const char *name,
                                               const redlock_options *options, redlock_lock **lock)
{
    law_outcome outcome = {.fd = eventfd(0, EFD_CLOEXEC)};
    redlock_options own = *options;
    redlock_operation id;
    own.canceller = NULL;
    *lock = NULL;
    redlock_status status = redlock_acquire_async(client, name, strlen(name), &own,
                                                  law_outcome_acquired, &outcome, &id);
    if (status == REDLOCK_OK) {
        law_outcome_await(&outcome, client, id, options->canceller);
        *lock = outcome.lock;
    } else {
        law_outcome_done(&outcome, status);
    }
    return law_outcome_end(&outcome);
}

static inline redlock_status law_release_async(redlock_lock *lock)
{
    law_outcome outcome = {.fd = eventfd(0, EFD_CLOEXEC)};
    redlock_status status = redlock_release_async(lock, law_outcome_done, &outcome);
    if (status == REDLOCK_OK) law_outcome_await(&outcome, NULL, 0, NULL);
    else law_outcome_done(&outcome, status);
    return law_outcome_end(&outcome);
}

/* ---- Clients, and the event loops of those that need one --------------------------------------*/

typedef struct law_loop {
    redlock_client *client; /* NULL: this place is free */
    pthread_t thread;
    int stop_fd;
    redlock_host host;
} law_loop;

static law_loop law_loops[LAW_CLIENTS];

static inline void *law_loop_run(void *arg)
{
    law_loop *self = arg;
    struct pollfd fds[] = {{.fd = redlock_fd(self->client), .events = POLLIN},
                           {.fd = self->stop_fd, .events = POLLIN}};
    while (fds[1].revents == 0) {
        if (poll(fds, 2, -1) > 0 && fds[0].revents != 0) (void)redlock_process(self->client);
    }
    return NULL;
}

static inline law_loop *law_loop_of(const redlock_client *client)
{
    for (int i = 0; i < LAW_CLIENTS; i++)
        if (law_loops[i].client == client) return &law_loops[i];
    return NULL;
}

static inline redlock_status law_open_on(const char *uri, redlock_host host,
                                         redlock_client **client)
{
    law_loop *self = law_loop_of(NULL);
    if (self == NULL) return REDLOCK_ERR_SYSTEM;
    redlock_status status = redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.host = host), client);
    if (status != REDLOCK_OK) return status;
    *self = (law_loop){.client = *client, .stop_fd = eventfd(0, EFD_CLOEXEC), .host = host};
    if (host == REDLOCK_HOST_KEEPER) return REDLOCK_OK;
    return pthread_create(&self->thread, NULL, law_loop_run, self) == 0 ? REDLOCK_OK
                                                                        : REDLOCK_ERR_SYSTEM;
}

static inline redlock_status law_close_looped(redlock_client *client)
{
    law_loop *self = law_loop_of(client);
    if (self == NULL || client == NULL) return redlock_close(client);
    eventfd_write(self->stop_fd, 1);
    if (self->host != REDLOCK_HOST_KEEPER) pthread_join(self->thread, NULL);
    close(self->stop_fd);
    self->client = NULL;
    return redlock_close(client);
}

static inline redlock_status law_open_blocking(const char *uri, redlock_client **client)
{
    return redlock_open(uri, NULL, client);
}

/* As if all of its lanes were lent: the keeper carries every call. */
static inline redlock_status law_open_carried(const char *uri, redlock_client **client)
{
    redlock_status status = redlock_open(uri, NULL, client);
    if (status == REDLOCK_OK) (*client)->lanes.count = (*client)->lane_terms.lanes_most;
    return status;
}

static inline redlock_status law_open_keeper(const char *uri, redlock_client **client)
{
    return law_open_on(uri, REDLOCK_HOST_KEEPER, client);
}

static inline redlock_status law_open_delivered(const char *uri, redlock_client **client)
{
    return law_open_on(uri, REDLOCK_HOST_DELIVER, client);
}

static inline redlock_status law_open_manual(const char *uri, redlock_client **client)
{
    return law_open_on(uri, REDLOCK_HOST_MANUAL, client);
}

/* ---- All of them ------------------------------------------------------------------------------*/

enum { LAW_BLOCKING_DRIVERS = 2, LAW_DRIVERS = 5 };

/* The blocking ones are the first. */
static const law_driver law_drivers[LAW_DRIVERS] = {
    {"blocking", law_open_blocking, redlock_close, redlock_acquire, redlock_release},
    {"carried", law_open_carried, redlock_close, redlock_acquire, redlock_release},
    {"on the keeper", law_open_keeper, law_close_looped, law_acquire_async, law_release_async},
    {"delivered", law_open_delivered, law_close_looped, law_acquire_async, law_release_async},
    {"manual", law_open_manual, law_close_looped, law_acquire_async, law_release_async},
};

#endif
