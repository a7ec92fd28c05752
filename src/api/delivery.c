/* SPDX-License-Identifier: MIT
 * The queue of what is to be told. */
#include "api/delivery.h"

#include <assert.h>

#include "host/thread.h"

void delivery_init(delivery *self, const fork_guard *fork)
{
    *self = (delivery){.fork = fork, .posted.fd = -1};
    self->end = &self->first;
    mutex_init(&self->mutex);
}

void delivery_destroy(delivery *self)
{
    assert(self->first == NULL);
    wake_close(&self->posted);
    mutex_destroy(&self->mutex);
}

bool delivery_open(delivery *self) { return wake_open(&self->posted); }

void delivery_post(delivery *self, delivery_item *item)
{
    assert(item->next == NULL);
    mutex_lock(&self->mutex);
    bool is_first = self->first == NULL;
    *self->end = item;
    self->end = &item->next;
    mutex_unlock(&self->mutex);
    if (is_first) wake_raise(&self->posted);
}

/* Whatever waits now, in order. */
static delivery_item *take_items(delivery *self)
{
    mutex_lock(&self->mutex);
    delivery_item *first = self->first;
    self->first = NULL;
    self->end = &self->first;
    mutex_unlock(&self->mutex);
    return first;
}

void delivery_tell_all(delivery *self)
{
    atomic_store(&self->teller, thread_number());
    wake_clear(&self->posted);
    delivery_item *next = take_items(self);
    while (next != NULL) {
        delivery_item *item = next;
        next = item->next;
        item->tell(item);
        if (fork_guard_is_child(self->fork)) return;
    }
    atomic_store(&self->teller, 0);
}

bool delivery_is_telling(const delivery *self)
{
    return atomic_load(&self->teller) == thread_number();
}

void delivery_request_close(delivery *self)
{
    atomic_store(&self->close_requested, true);
    wake_raise(&self->posted);
}
