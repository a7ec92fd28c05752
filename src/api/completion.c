/* SPDX-License-Identifier: MIT
 * Completions, from their operation to whom they are told. */
#include "api/completion.h"

#include <assert.h>
#include <stddef.h>

enum { HALVES = 2 };

static void end_half(completion *self)
{
    unsigned left = atomic_fetch_sub(&self->halves, 1);
    assert(left > 0 && left <= HALVES);
    if (left == 1) completion_free(self);
}

static void dropped(operation *op) { end_half((completion *)op); }

static void tell_completion(completion *self)
{
    redlock_client *client = self->client;
    self->tell(self);
    if (fork_guard_is_child(&client->fork)) return; /* which the callback made */
    end_half(self);
}

static void tell_item(delivery_item *item)
{
    tell_completion((completion *)((char *)item - offsetof(completion, item)));
}

void *completion_new(redlock_client *client, size_t size,
                     void (*finished)(operation *op, int64_t now_us),
                     void (*tell_it)(completion *self))
{
    completion *self = memory_new(&client->memory, size);
    if (self == NULL) return NULL;
    self->client = client;
    self->tell = tell_it;
    self->item.tell = tell_item;
    atomic_init(&self->halves, HALVES);
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

void completion_conclude(completion *self)
{
    bool waits = self->client->host == REDLOCK_HOST_DELIVER && !self->is_a_part;
    if (waits) delivery_post(&self->client->delivery, &self->item);
    else tell_completion(self);
}

void completion_conclude_alone(completion *self)
{
    atomic_store(&self->halves, 1);
    completion_conclude(self);
}
