/* SPDX-License-Identifier: MIT
 * Asynchronous operations: the same engine as for blocking calls, any number at once on the
 * keeper's lane.
 *
 *    operations_submit         the keeper's next turn      finished() runs        its call is back
 *   ------------------> SUBMITTED ------------> RUNNING -------------------> TOLD ---------> freed
 *    (any thread)                                |  ^
 *                                                +--+ answer, message, timer
 *
 * finished() runs exactly once for each submitted operation, on the thread that turns the keeper,
 * without its mutex.
 *
 * What concerns all at once (a connection came or went, the inbox opened or was lost) is not told
 * to all at once, since there may be ten thousand of them: a sweep goes through them in the order
 * of submission, in as many turns as it takes. Whoever has something to do before the sweep comes
 * by hears first what it missed.
 *
 * Threads: `by_id`, `submitted` and `cancelled` belong to the keeper's mutex; the rest to the
 * turning thread. */
#ifndef REDLOCK_KEEPER_OPERATION_H
#define REDLOCK_KEEPER_OPERATION_H

#include "engine/acquire.h"
#include "host/fork.h"
#include "host/mutex.h"
#include "keeper/directory.h"
#include "keeper/schedule.h"
#include "lane/exchange.h"
#include "lane/lane.h"

typedef struct operation operation;
struct operation {
    exchange asks; /* first */
    union {
        acquire acquisition; /* with its terms and question filled in by the submitter */
        request single;      /* any other request */
    };
    acquire_terms terms;
    bool acquires;
    bool is_ready;       /* in the ready list */
    bool is_told;        /* finished() ran */
    bool is_cancelled;   /* in the cancelled list; with the mutex */
    bool outlasts_close; /* a release: closing waits for it, as long as it waits at all */
    bool is_at_once;     /* nothing to ask: finishes with `status` in the next turn */
    redlock_status status;
    size_t inbox_length;
    timer timer;
    directory_entry entry;      /* in by_id; its number is the id */
    operation *previous, *next; /* of all that run */
    operation *after;           /* in one of the lists: submitted, ready */
    operation **listed_at;      /* in the ready list: what points to it */
    operation *next_cancelled;
    /* A request: until when there is a use in it; then it ends with REDLOCK_LOST. It may move while
     * it is under way. NULL: for ever. */
    int64_t (*needed_until_us)(const operation *self);
    void (*finished)(operation *self,
                     int64_t now_us); /* frees what only the operation knows; the status is set */
    void (*free_self)(operation *self);
};

/* All of it outlives the operations. */
typedef struct operations_terms {
    lane *on;
    mutex *mutex; /* the keeper's */
    const memory *memory;
    _Atomic int64_t *nonces;
    const fork_guard *fork; /* after a callback in a child of fork nothing is touched any more */
} operations_terms;

typedef struct operations {
    operations_terms terms;
    directory by_id;
    operation *submitted, **submitted_end;
    operation *cancelled;
    operation *all, *last; /* in the order of submission */
    operation *ready, **ready_end;
    operation *unswept; /* the sweep: this one and all behind it are to be looked at, before the
                           ready ones */
    schedule timers;
    size_t running;
    size_t untold; /* of them */
} operations;

/* It points into itself, and must not be copied. */
void operations_init(operations *self, const operations_terms *terms);
void operations_destroy(operations *self);

/* With the mutex: hands an operation in; and cancels one by its id, if it is still there. */
void operations_submit(operations *self, operation *op);
void operations_cancel(operations *self, uint64_t id);

/* On the turning thread, without the mutex: starts, stops and moves what is ready, for about
 * `budget_us`. Until when nothing more is to be done is returned (an instant in the past: there is
 * more to do now). */
int64_t operations_turn(operations *self, int64_t now_us, int64_t budget_us);

/* Is there more to do now, whatever the clock says? */
bool operations_has_work(const operations *self);

/* After the lane was pumped: notices connections that changed. */
void operations_notice(operations *self);

/* Finishes all with REDLOCK_ERR_CLOSED, but for those that outlast the beginning of the close
 * unless `even_those`. */
void operations_stop_all(operations *self, bool even_those, int64_t now_us);

extern const inbox_listener operations_listener; /* its argument is the operations */

#endif
