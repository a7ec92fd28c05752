/* SPDX-License-Identifier: MIT
 * How the end of an asynchronous operation is told: at once, on the thread that turns the keeper;
 * or, for REDLOCK_HOST_DELIVER, in redlock_process. Private to the api.
 *
 *   completion_submit --> the operation runs --> finished() --> completion_conclude --> tell()
 *
 * It is freed when both are done with: the keeper's part (a call may still be in flight after the
 * end), and the telling (which may wait for redlock_process). */
#ifndef REDLOCK_API_COMPLETION_H
#define REDLOCK_API_COMPLETION_H

#include "api/client.h"

typedef struct completion completion;
struct completion {
    operation op; /* first */
    redlock_client *client;
    void (*tell)(completion *self);
    delivery_item item;
    bool is_a_part; /* of something that is told as a whole: on the keeper's thread, whatever the
                       host */
    _Atomic unsigned char halves; /* not done with yet */
};

/* Of a structure of `size` bytes that begins with a completion; the rest is zero. NULL when out of
 * memory. */
void *completion_new(redlock_client *client, size_t size,
                     void (*finished)(operation *op, int64_t now_us),
                     void (*tell)(completion *self));

/* Hands it to the keeper, and those that its operation's `after` leads to. Otherwise they still are
 * the caller's, who frees them with completion_free. */
redlock_status completion_submit(completion *self);
void completion_free(completion *self);

/* Its operation is finished: it is told, now or later, exactly once. */
void completion_conclude(completion *self);

/* The same for one that was never submitted. */
void completion_conclude_alone(completion *self);

#endif
