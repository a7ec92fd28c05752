/* SPDX-License-Identifier: MIT
 * A reply judged: what it means for the request that asked. Pure. */
#ifndef REDLOCK_WIRE_ANSWER_H
#define REDLOCK_WIRE_ANSWER_H

#include "wire/reply.h"

enum answer_kind {
    ANSWER_CODE,       /* a script's integers: code, nonce, value[] */
    ANSWER_NOSCRIPT,   /* send the source once */
    ANSWER_TRANSIENT,  /* LOADING, BUSY, READONLY, MASTERDOWN, CLUSTERDOWN, TRYAGAIN, MISCONF, OOM, NOREPLICAS: retry */
    ANSWER_REDIRECT,   /* MOVED or ASK: the text has it */
    ANSWER_DENIED,     /* NOAUTH, WRONGPASS, NOPERM */
    ANSWER_WRONG_TYPE, /* WRONGTYPE, also from within a script */
    ANSWER_ERROR,      /* any other error */
    ANSWER_MALFORMED,  /* not what this script answers: wrong type, too few integers */
    ANSWER_CUT         /* no reply: the connection ended or the time was up. The outcome is unknown */
};

enum { ANSWER_VALUES = 3, ANSWER_TEXT = 128 };

typedef struct answer {
    enum answer_kind kind;
    int64_t code;
    int64_t nonce;
    int64_t value[ANSWER_VALUES]; /* what follows the nonce; zero where nothing does */
    char text[ANSWER_TEXT];       /* an error's text, escaped; "" otherwise */
} answer;

/* Judges a script's reply. A reply whose first two elements are not integers is MALFORMED. */
void answer_read(answer *out, const reply *from);

/* Judges the error text of a reply of kind REPLY_ERROR; used by answer_read and for AUTH, SELECT.
 * Errors raised inside a script may carry the inner code after "-ERR ": both places are looked at. */
enum answer_kind answer_error_kind(const char *text, size_t length);

/* Codes by script (docs/protocol.md). */
enum { ACQUIRE_BUSY = 0, ACQUIRE_GRANTED = 1, ACQUIRE_QUEUED = 2, ACQUIRE_FULL = 3, ACQUIRE_DEADLOCK = 4 };
enum { RELEASE_ABSENT = 0, RELEASE_FREED = 1, RELEASE_HANDED_OVER = 2, CANCEL_LEFT = 3 };
enum { RENEW_ABSENT = 0, RENEW_DONE = 1 };
enum { CONVERT_ABSENT = 0, CONVERT_DONE = 1, CONVERT_DEADLOCK = 4 }; /* upgrade, downgrade */
enum { CODE_BAD_ARGUMENT = -1 };

/* A message of an inbox: "grant <hold id> <fence> <lease ms> <now us>". */
typedef struct grant {
    const char *hold_id; /* into the payload */
    size_t hold_id_length;
    uint64_t fence;
    int64_t lease_ms;
    int64_t server_us;
} grant;

/* False for anything that is not exactly a grant. */
_Bool grant_read(grant *out, const char *payload, size_t length);

#endif
