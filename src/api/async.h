/* SPDX-License-Identifier: MIT
 * Acquisitions and acts that are handed to the keeper. Private to the api. */
#ifndef REDLOCK_API_ASYNC_H
#define REDLOCK_API_ASYNC_H

#include "api/acquisition.h"
#include "api/completion.h"

typedef struct acquiring {
    completion base; /* first */
    redlock_lock *lock;
    redlock_options options;
    redlock_acquired_fn *acquired;
    void *arg;
    int64_t began_us;
    char inbox[]; /* where it may wait */
} acquiring;

/* May it be asked for here? REDLOCK_OK; REDLOCK_ERR_ARGUMENT: a canceller or a detail is not for
 * asynchronous calls; REDLOCK_ERR_FORKED. */
redlock_status acquiring_check(const redlock_client *client, const redlock_options *o);

/* One that is not started; the options were checked. NULL when out of memory. */
acquiring *acquiring_new(redlock_client *client, const redlock_options *o,
                         redlock_acquired_fn *acquired, void *arg);

/* Starts it, or frees it and says why not. `id` may be NULL. */
redlock_status acquiring_start(acquiring *self, const void *name, size_t name_length,
                               const limits *within, redlock_operation *id);

/* The same with a handle that has its place with the keeper. It is handed in; or all is given up,
 * and why is told. */
redlock_status acquiring_hand_in(acquiring *self, redlock_lock *lock, const limits *within,
                                 redlock_operation *id);

/* An act that is handed to the keeper, and who is told of its end. */
typedef struct acting acting;
struct acting {
    completion base; /* first */
    act what;
    union {
        redlock_done_fn *done; /* may be NULL */
        redlock_acquired_fn *acquired;
        redlock_inspected_fn *inspected;
        redlock_forced_fn *forced;
        void (*parted)(acting *self, redlock_status status);
    };
    void *arg;
    char words[ANSWER_TEXT]; /* of its failure: its request may hear more, behind its end */
};

/* Of an act about a lock, that is not submitted yet. NULL when out of memory. */
acting *acting_new(const act *what, redlock_done_fn *done, void *arg);

/* Begins it, and those that its operation's `after` leads to, and hands all of them in, or none:
 * then they are ended, and freed, and why is told. */
redlock_status acting_submit(acting *first, int64_t deadline_us);

/* Of one that was begun, and is not under way: it is copied, with its exchange and its request.
 * When it is over, `parted` is told on the keeper's thread. NULL when out of memory. */
acting *acting_adopt(const act *begun, void (*parted)(acting *self, redlock_status status),
                     void *arg);

/* Those that were adopted are not handed in: the acts are the caller's as before. NULL is
 * allowed. */
void acting_disown(acting *first);

/* Cancels the acquisition of a set; false: the id is none of one. */
bool set_cancel_async(redlock_client *client, redlock_operation id);

/* A hold that was entered once more is made good for what is asked, or the entry is taken back. */
redlock_status reenter_async(redlock_lock *held, const wanted *what, int64_t ttl_ms,
                             redlock_acquired_fn *acquired, void *arg);

#endif
