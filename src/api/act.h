/* SPDX-License-Identifier: MIT
 * One act, one path: what is asked about a lock or a name in one exchange, whoever waits for it.
 *
 *   begin --- answered at once ----------------------> end ---> over
 *     |                                                 ^
 *     +------ asked ---> judge --- done, or a failure --+
 *               ^          |
 *               +----------+ another question
 *
 * What an act asks, what an answer means and what becomes of the lock is a constant table, an
 * act_kind. act_wait drives it on the calling thread; async.c hands it to the keeper. What was
 * begun is ended, once, also when it was never sent. Private to the api.
 *
 * Threads: an act belongs to the thread that pumps its connection. */
#ifndef REDLOCK_API_ACT_H
#define REDLOCK_API_ACT_H

#include "api/handle.h"
#include "api/limits.h"

typedef struct act act;

typedef struct act_kind {
    /* Writes the question; or sets the status, which is the answer (false). */
    bool (*begin)(act *self, question *about);
    /* A good answer came: sets the status, or changes the question that is asked next (true). */
    bool (*judge)(act *self, const answer *from);
    /* It is over: what its status is in the end. NULL: the same. */
    redlock_status (*end)(act *self, redlock_status status);
    void (*before_sending)(act *self);          /* NULL: nothing is to be done */
    void (*read)(act *self, const reply *from); /* what an answer cannot carry; NULL: nothing */
    bool needs_the_lease;                       /* without it there is no use in waiting */
    bool outlasts_close;                        /* a close of the client waits for it */
} act_kind;

struct act {
    const act_kind *kind;
    redlock_client *client;
    redlock_lock *lock;    /* NULL: it is about the name that the key is made of */
    redlock_status status; /* over: of all; before: as it was judged */
    exchange *asks;        /* NULL: it was answered at once */
    request *state;
    bool may_spin; /* nobody is known to need the processor more, as the next holder of a contended
                      lock does */
    bool is_submitted; /* nobody may wait */
    bool is_over;
    redlock_detail *detail; /* for the words of a failure; may be NULL */
    const char *words;      /* over, and failed: those words, while its request is there */
    redlock_loss loss;      /* over, and LOST: why */
    /* What the kinds need: */
    bool wants_exclusive; /* re-entry */
    bool is_done;         /* force: an answer said so */
    int64_t ttl_ms;       /* extension, re-entry */
    uint64_t own_fence;   /* of the hold, when it was asked about */
    char *key;            /* of a name */
    size_t key_length;
    const question *undo; /* of an acquisition that is over */
    int64_t fence;        /* force: that is named; 0: it looks */
    int64_t removed;      /* force: how many lost it */
    struct listing *made; /* inspection */
};

extern const act_kind act_extend, act_upgrade, act_downgrade, act_release, act_inspect, act_force;

/* Is a release that failed so logged already, wherever it was called? */
bool release_is_logged(redlock_status status);

/* A hold that was entered once more is made good for what is asked now; or the entry is taken
 * back. */
act act_reentry(redlock_lock *held, const wanted *what, int64_t ttl_ms);

/* What re-entry is made of, besides: the beginning and the judgement of an extension and of a
 * conversion. */
bool extension_is_asked(act *self, question *about);
bool extension_is_judged(act *self, const answer *from);
bool conversion_is_asked(act *self, question *about, enum script_id id);
bool conversion_is_judged(act *self, const answer *from);
void conversion_is_sent(act *self);

/* About a lock. */
act act_about(const act_kind *kind, redlock_lock *lock);

/* About a name: REDLOCK_OK, REDLOCK_ERR_NAME or REDLOCK_ERR_MEMORY. act_forget_name frees what it
 * takes. */
redlock_status act_about_name(act *self, const act_kind *kind, redlock_client *client,
                              const void *name, size_t name_length);
void act_forget_name(act *self);

/* What act_inspect found; NULL when it failed. */
redlock_inspection *act_inspection(const act *self);

enum { FROM_NOW = 0 }; /* for a deadline: timeout_ms from now */

/* Begins, by the deadline, with an exchange and a request that outlive the act. True: it is to be
 * driven on a connection. False: it was answered at once. */
bool act_begin(act *self, exchange *asks, request *state, int64_t deadline_us);

/* Ends what was begun: `why` is the status of its request, or why that did not come to its end, or
 * why nobody is to hear of it. */
void act_end(act *self, redlock_status why);

/* The public call about a lock: enters, asks, and waits. A failure's words are kept for
 * redlock_why_failed. */
redlock_status act_wait_about_lock(const act_kind *kind, redlock_lock *lock, int64_t ttl_ms);

/* Until when there is a use in waiting for it. */
int64_t act_needed_until_us(const act *self);

/* Begins, waits on a lane of the pool, and ends. The status is returned. NULL: timeout_ms from now.
 */
redlock_status act_wait(act *self, const limits *within);

/* The public call about a name: enters, asks, waits, and leaves. What it came to is in `self` after
 * REDLOCK_OK. `detail` may be NULL. */
redlock_status act_wait_about_name(act *self, const act_kind *kind, redlock_client *client,
                                   const void *name, size_t name_length, redlock_detail *detail);

/* The same on a lane that the caller has. */
redlock_status act_wait_on(act *self, lane *on, const limits *within);

enum { ACTS_AT_ONCE = 16 };

/* The same with many of one kind and client, which are under way together. Their status tells;
 * `detail` (may be NULL) has the words of the first of them that failed. */
void act_wait_each(act *all, size_t count, const limits *within, redlock_detail *detail);

#endif
