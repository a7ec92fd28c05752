/* SPDX-License-Identifier: MIT
 * Completions, and the caller's event loop that runs them. */
#include "api/delivery.h"

#include <assert.h>

#include "engine/lease.h"
#include "host/clock.h"
#include "host/thread.h"

/* ---- One completion ---- */

static void end_half(completion *self, bool *half)
{
    assert(!*half);
    redlock_client *client = self->client;
    mutex_lock(&client->completions_mutex);
    *half = true;
    bool is_whole = self->is_dropped && self->is_told;
    mutex_unlock(&client->completions_mutex);
    if (is_whole) completion_free(self);
}

static void dropped(operation *op)
{
    completion *self = (completion *)op;
    end_half(self, &self->is_dropped);
}

void *completion_new(redlock_client *client, size_t size,
                     void (*finished)(operation *op, int64_t now_us),
                     void (*tell)(completion *self))
{
    completion *self = memory_new(&client->memory, size);
    if (self == NULL) return NULL;
    self->client = client;
    self->tell = tell;
    self->op.finished = finished;
    self->op.free_self = dropped;
    self->op.asks.round_trip = &client->stats.round_trip;
    self->op.entry.number =
        atomic_fetch_add_explicit(&client->hold_count, 1, memory_order_relaxed) + 1;
    return self;
}

redlock_status completion_submit(completion *self)
{
    return keeper_submit(&self->client->keeper, &self->op);
}

void completion_free(completion *self) { memory_free(&self->client->memory, self); }

static void tell(completion *self)
{
    assert(!self->is_told);
    redlock_client *client = self->client;
    self->tell(self);
    if (fork_guard_is_child(&client->fork)) return; /* which the callback made */
    end_half(self, &self->is_told);
}

static void post(redlock_client *client, completion *self)
{
    mutex_lock(&client->completions_mutex);
    bool is_first = client->completions == NULL;
    *client->completions_end = self;
    client->completions_end = &self->next;
    mutex_unlock(&client->completions_mutex);
    if (is_first) wake_raise(&client->completions_wait);
}

void completion_conclude(completion *self)
{
    bool waits = self->client->host == REDLOCK_HOST_DELIVER && !self->is_a_part;
    if (waits) post(self->client, self);
    else tell(self);
}

void completion_conclude_alone(completion *self)
{
    self->is_dropped = true;
    completion_conclude(self);
}

/* ---- The caller's event loop ---- */

int redlock_fd(const redlock_client *client)
{
    if (client == NULL) return -1;
    return client->host == REDLOCK_HOST_DELIVER ? client->completions_wait.fd
                                                : client->keeper.poller.fd;
}

int64_t redlock_timeout_ms(const redlock_client *client)
{
    bool has_none = client == NULL || client->host != REDLOCK_HOST_MANUAL;
    if (has_none || fork_guard_is_child(&client->fork)) return -1;
    int64_t wake_us = keeper_wake_us((keeper *)&client->keeper);
    int64_t now_us = clock_now_us();
    if (wake_us == NEVER) return -1;
    return wake_us <= now_us ? 0 : (wake_us - now_us + US_PER_MS - 1) / US_PER_MS;
}

void completions_tell_all(redlock_client *client)
{
    atomic_store(&client->delivering, thread_number());
    wake_clear(&client->completions_wait);
    mutex_lock(&client->completions_mutex);
    completion *first = client->completions;
    client->completions = NULL;
    client->completions_end = &client->completions;
    mutex_unlock(&client->completions_mutex);
    while (first != NULL) {
        completion *self = first;
        first = self->next;
        tell(self);
        if (fork_guard_is_child(&client->fork)) return;
    }
    atomic_store(&client->delivering, 0);
}

redlock_status redlock_process(redlock_client *client)
{
    if (client == NULL || client->host == REDLOCK_HOST_KEEPER) return REDLOCK_ERR_ARGUMENT;
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    if (keeper_is_calling(&client->keeper) || atomic_load(&client->delivering) == thread_number())
        return REDLOCK_ERR_IN_CALLBACK;
    if (client->host == REDLOCK_HOST_MANUAL) {
        keeper_process(&client->keeper);
    } else {
        completions_tell_all(client);
    }
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    bool closes = client->host == REDLOCK_HOST_MANUAL ? atomic_load(&client->keeper.close_requested)
                                                      : atomic_load(&client->close_after_delivery);
    if (!closes) return REDLOCK_OK;
    redlock_status status = client_close(client);
    return status == REDLOCK_OK ? REDLOCK_ERR_CLOSED : status;
}
