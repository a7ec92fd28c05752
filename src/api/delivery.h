/* SPDX-License-Identifier: MIT
 * What is to be told in redlock_process: a queue of items that carry their own function. Items come
 * from any thread, and are told by the one that comes for them, in order, outside of the mutex.
 * Private to the api; it knows no client. */
#ifndef REDLOCK_API_DELIVERY_H
#define REDLOCK_API_DELIVERY_H

#include "host/fork.h"
#include "host/mutex.h"
#include "host/wake.h"

typedef struct delivery_item delivery_item;
struct delivery_item {
    void (*tell)(delivery_item *self); /* may free it, and may close the client in its time */
    delivery_item *next;
};

typedef struct delivery {
    const fork_guard *fork; /* after a callback in a child of fork nothing is touched any more */
    mutex mutex;
    delivery_item *first, **end;
    wake posted;                  /* raised while some wait to be told; or to close */
    _Atomic uint64_t teller;      /* the number of the thread that tells; 0: none */
    _Atomic bool close_requested; /* by a callback: whoever tells closes the client afterwards */
} delivery;

void delivery_init(delivery *self, const fork_guard *fork);
void delivery_destroy(delivery *self);

/* From now on there is a descriptor for whoever comes for the items, self->posted.fd. False: the
 * system refuses it. */
bool delivery_open(delivery *self);

void delivery_post(delivery *self, delivery_item *item);
void delivery_tell_all(delivery *self);

/* Is this thread in one of the callbacks? */
bool delivery_is_telling(const delivery *self);

/* In a callback: whoever comes for the items closes the client, and comes for that once more. */
void delivery_request_close(delivery *self);

#endif
