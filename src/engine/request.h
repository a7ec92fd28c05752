/* SPDX-License-Identifier: MIT
 * One question to a server, asked until it is answered: retries, unknown scripts, and what an
 * unanswered attempt means. Pure: no clock, no socket; the driver sends, and tells what happened.
 *
 *              request_sent              a script's code, or a hopeless error
 *   READY -----------------------> SENT -----------------------------------------> DONE
 *     ^ ^                           | |                                             ^
 *     | +-- unknown script, more ---+ | transient error, connection cut             |
 *     |                               v                                             |
 *     +---------- wake_us -------- BACKOFF ------------ deadline_us ----------------+
 *
 * READY also ends by the deadline, and by request_refused when no connection can be had.
 * Invariant: wake_us is the next instant at which request_tick moves something.
 *
 * Every script can be repeated, so an attempt without an answer is simply asked again; is_ambiguous
 * remembers that an earlier attempt may have taken effect. */
#ifndef REDLOCK_ENGINE_REQUEST_H
#define REDLOCK_ENGINE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <redlock/redlock.h>

#include "wire/answer.h"

#define NEVER INT64_MAX

enum request_state { REQUEST_READY, REQUEST_SENT, REQUEST_BACKOFF, REQUEST_DONE };

typedef struct request {
    enum request_state state;
    bool by_source;    /* READY: the script is unknown there, and its source is wanted; whoever
                          sends clears it unless the question itself carries the source (EVAL):
                          another such answer is then a failure */
    bool is_ambiguous; /* an attempt was cut: it may have taken effect */
    bool is_partial; /* an answer said that more are left: what was asked is done, but for those */
    unsigned failures; /* attempts that came to nothing, in a row */
    uint32_t jitter;
    int64_t deadline_us;   /* the whole request ends here */
    int64_t timeout_us;    /* how long one attempt may go unanswered */
    int64_t sent_us;       /* of the latest attempt, from before its bytes could leave */
    int64_t unanswered_us; /* when the latest attempt was sent that was cut; 0: none was */
    int64_t wake_us;
    redlock_status
        status;        /* DONE: REDLOCK_OK with an answer; before: why the last attempt failed */
    int64_t code;      /* DONE, REDLOCK_OK: the script's code, ... */
    int64_t server_us; /* ... the server's clock (0: not told) ... */
    int64_t value[ANSWER_VALUES]; /* ... and integers */
    char text[ANSWER_TEXT];       /* more words for a failed status, or "" */
} request;

void request_begin(request *self, int64_t deadline_us, int64_t timeout_us, uint32_t seed);

/* The attempt is in the hands of a connection. */
void request_sent(request *self, int64_t now_us);

/* When the attempt in flight is to be given up. */
int64_t request_attempt_deadline_us(const request *self);

/* It was answered. (ANSWER_CUT: no answer will come.) That more are left is no end: it is READY to
 * ask once more. */
void request_answered(request *self, const answer *from, int64_t now_us);
/* It was answered, but something else is to be asked now: READY again. */
void request_again(request *self);
void request_cut(request *self, redlock_status why, const char *text, int64_t now_us);

/* READY, but no connection is to be had now: ends if there is no hope, otherwise waits. */
void request_refused(request *self, redlock_status why, const char *text, int64_t now_us);

void request_tick(request *self, int64_t now_us);

/* Here ends the patience of whoever asks and waits alone: what is unanswered at the deadline is
 * cut, whatever else the connection answers. True: it was. */
bool request_end_patience(request *self, int64_t now_us);

/* May an attempt of it have been carried out of which no answer tells? */
bool request_is_unanswered(const request *self);

/* What an answer means for whoever asked, whatever the question. */
enum verdict {
    VERDICT_DONE, /* the script's code is the answer */
    VERDICT_MORE, /* done, but for others that are left: the same is to be asked again at once */
    VERDICT_ELSEWHERE, /* another server is to be asked, at once */
    VERDICT_BY_SOURCE, /* the server does not know the script: it is to be asked again with its
                          source */
    VERDICT_LATER,     /* it is worth another try */
    VERDICT_HOPELESS   /* it is not */
};
/* by_source: it was asked so that the server cannot have missed the script. */
enum verdict request_verdict(const answer *from, bool by_source);

/* What a bad answer comes to for whoever asked. REDLOCK_OK for a script's code. */
redlock_status request_failure(const answer *from);

/* Does a failure of this kind end a request at once, whatever time is left? */
bool status_is_hopeless(redlock_status status);

/* xorshift32 (Marsaglia 2003): a number in [0, bound). Never for secrets. */
uint32_t jitter_below(uint32_t *state, uint32_t bound);

#endif
