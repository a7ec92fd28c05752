/* SPDX-License-Identifier: MIT
 * One acquisition, from the first try to the grant or the end of the wait. Pure: no clock, no
 * socket, no allocation; a driver sends what `asks` wants sent and tells what happened.
 *
 *             granted
 *   TRYING -------------------------------------------------------------+
 *      | busy, and may wait                                             |
 *      v                  inbox open               granted              v
 *   SUBSCRIBING ----------------------> ASKING ----------------------> DONE
 *      ^      ^                         |    ^                          ^
 *      |      +------ inbox lost ---+   |    | recheck                  |
 *      |                            |   v    |                          |
 *      +--------------------------- WAITING -+--------------------------+
 *                                              a grant's message; its end; cancel; close
 *
 * TRYING asks without queueing, and is skipped by a waiter whose inbox is open already. ASKING
 * queues, or finds itself queued or granted; WAITING sends nothing. Its end, cancel and close end
 * every state. For as long as no inbox can be had, SUBSCRIBING goes to ASKING once a while (between
 * a half and the whole of the claim), and back: asking serves then.
 *
 * When it ends. Whoever waits for 5 ms over a link of 20 ms must get a free lock as surely as
 * whoever does not wait at all, so the first question has the time that a try has:
 *
 *   began            wait_until                                  deadline, at least began + timeout
 *     |-------------------|----------------------------------------------|
 *     |  the first question is asked until it is answered, or ends here: |
 *     |    unanswered as yet: goes on, like a try                        +-- the last failure
 *     |    answered before wait_until: a wait, which ends there
 *     |    answered after it: granted, or over at once
 *
 * From the first answer on, the end of the wait ends whatever is under way, also a later question.
 *
 * When the server says that nobody hears us on its side, the inbox leads elsewhere, or is dead: the
 * first time it is opened anew at once, then at every interval of the claim, and each time the
 * question is asked again.
 *
 * Invariant: when DONE without the lock, is_owed tells whether the server may still hold or queue
 * us, and then the driver must undo it (script cancel). It completes exactly once. */
#ifndef REDLOCK_ENGINE_ACQUIRE_H
#define REDLOCK_ENGINE_ACQUIRE_H

#include "engine/lease.h"
#include "engine/request.h"
#include "wire/answer.h"

enum acquire_state {
    ACQUIRE_TRYING,
    ACQUIRE_SUBSCRIBING,
    ACQUIRE_ASKING,
    ACQUIRE_WAITING,
    ACQUIRE_DONE
};

typedef struct acquire_terms {
    const char *hold_id; /* as in the message of a grant; outlives the operation */
    size_t hold_id_length;
    int64_t ttl_ms;
    int64_t claim_ms;
    int64_t wait_until_us; /* the end, once the first question was answered; NEVER: wait for ever */
    int64_t deadline_us;   /* the end before that: no earlier than wait_until_us; NEVER likewise */
    int64_t timeout_us;    /* of one request */
    bool may_wait;
    bool queues_first; /* without a try: with many on one inbox, a try would let later ones overtake
                        */
    char kind;         /* that is asked for: KIND_EXCLUSIVE or KIND_SHARED */
    uint32_t seed;
} acquire_terms;

typedef struct acquire {
    enum acquire_state state;
    acquire_terms terms;
    request asks; /* the question of TRYING (no waiter's member) and ASKING (with it) */
    bool inbox_is_open;
    bool was_answered; /* the first question: only from then on the wait can be over */
    bool is_queued;    /* the last answer said so */
    bool is_owed;
    int64_t unanswered_us; /* when the latest question was sent that was cut, and may still be
                              carried out; 0: none */
    bool must_ask_again;   /* the inbox opened anew while a question was under way */
    int64_t recheck_us;    /* WAITING, SUBSCRIBING: when to ask again */
    int64_t arrival_us;    /* as the server told it, to keep the place in the line; 0: it did not */
    unsigned unheard;      /* how often in a row the server said that nobody hears us there */
    bool distrusts_inbox; /* the driver is to subscribe anew, if the subscription is older than this
                             question */
    server_instant known; /* from the last answer "queued"; before it, only when the first question
                             that queues was sent */
    bool has_early_grant; /* a grant's message overtook the answer that is under way: kept until it
                             is there */
    grant early_grant;
    int64_t early_grant_us;     /* when it was received */
    redlock_status at_deadline; /* what the end of the wait will say */
    char text[ANSWER_TEXT];     /* more words for it, or "" */
    unsigned rechecks;
    unsigned urged; /* the latest answers in a row that said "ask again now" */
    uint32_t jitter;
    /* DONE */
    redlock_status status;
    bool was_handed_over; /* granted by a message or after queueing: the lease is only a claim */
    standing held;        /* as it was told */
    int64_t valid_until_us;
} acquire;

void acquire_begin(acquire *self, const acquire_terms *terms, bool inbox_is_open, int64_t now_us);

/* Does the question in `asks` queue if the lock is taken? */
bool acquire_queues(const acquire *self);

/* Is the inbox to be opened, or kept open? */
bool acquire_wants_inbox(const acquire *self);

/* Is a message awaited, and no answer? */
bool acquire_is_waiting(const acquire *self);

/* When the latest question was sent that was never answered, and may still be carried out; 0: all
 * were. */
int64_t acquire_unanswered_us(const acquire *self);

/* The question was moved on by its connection: call after every event of `asks`. */
void acquire_asked(acquire *self, int64_t now_us);

void acquire_inbox_opened(acquire *self, int64_t now_us);
/* It was lost, or cannot be had for the reason `why`. */
void acquire_inbox_lost(acquire *self, redlock_status why, const char *text, int64_t now_us);
void acquire_granted(acquire *self, const grant *from, int64_t now_us);
/* The caller gives up: REDLOCK_CANCELLED or REDLOCK_ERR_CLOSED. */
void acquire_stop(acquire *self, redlock_status why, int64_t now_us);
/* The server has no room for whoever asks, who is not queued, and whom every question was answered:
 * over, and nothing is owed. */
void acquire_turned_away(acquire *self);
void acquire_tick(acquire *self, int64_t now_us);
/* When acquire_tick has something to do. A question that is in flight at its end is given up by its
 * connection, at the same instant: asks.deadline_us. */
int64_t acquire_wake_us(const acquire *self);

#endif
