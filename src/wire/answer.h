/* SPDX-License-Identifier: MIT
 * A reply judged: what it means for the request that asked. Pure. */
#ifndef REDLOCK_WIRE_ANSWER_H
#define REDLOCK_WIRE_ANSWER_H

#include "wire/bands.h"
#include "wire/reply.h"

enum answer_kind {
    ANSWER_CODE,           /* a script's integers: code, nonce, now us, value[] */
    ANSWER_UNKNOWN_SCRIPT, /* send the source once */
    ANSWER_TRANSIENT,  /* LOADING, BUSY, CLUSTERDOWN, TRYAGAIN, MISCONF, OOM, NOREPLICAS: retry */
    ANSWER_MISPLACED,  /* READONLY, MASTERDOWN, UNBLOCKED: a replica, or about to be one; retry on a
                          new connection */
    ANSWER_REDIRECT,   /* MOVED or ASK: the text has it */
    ANSWER_ELSEWHERE,  /* such a one, and the route knows where: ask again at once */
    ANSWER_DENIED,     /* NOAUTH, WRONGPASS, NOPERM */
    ANSWER_WRONG_TYPE, /* WRONGTYPE, also from within a script */
    ANSWER_UNSUPPORTED, /* the command, or the script, is unknown or refused here for good */
    ANSWER_ERROR,       /* any other error: a proxy says so of a server that is away; retry */
    ANSWER_MALFORMED,   /* not what this script answers: wrong type, too few integers */
    ANSWER_CUT /* no reply: the connection ended or the time was up. The outcome is unknown */
};

enum { ANSWER_VALUES = 4, ANSWER_TEXT = 128 };

typedef struct answer {
    enum answer_kind kind;
    int64_t code;
    int64_t nonce;
    int64_t server_us;            /* 0: the script did not look at the clock */
    int64_t value[ANSWER_VALUES]; /* what follows; zero where nothing does */
    char text[ANSWER_TEXT];       /* an error's text, escaped; "" otherwise */
} answer;

/* Judges a script's reply. A reply whose first three elements are not integers is MALFORMED. */
void answer_read(answer *out, const reply *from);

/* The same for the answer to a question with this nonce: another one's is MALFORMED. NULL is
 * ANSWER_CUT. */
void answer_to(answer *out, const reply *from, int64_t nonce);

/* Judges the error text of a reply of kind REPLY_ERROR; used by answer_read and for AUTH, SELECT.
 * Errors raised inside a script may carry the inner code after "-ERR ": both places are looked
 * at. */
enum answer_kind answer_error_kind(const char *text, size_t length);

/* Is such an error worth another try? */
_Bool answer_may_pass(enum answer_kind kind);

/* Codes by script (docs/protocol.md). */
enum {
    ACQUIRE_BUSY = 0,
    ACQUIRE_GRANTED = 1,
    ACQUIRE_QUEUED = 2,
    ACQUIRE_FULL = 3,
    ACQUIRE_DEADLOCK = 4,
    ACQUIRE_UNHEARD = 5,
    ACQUIRE_BURIED = 6
};
enum { RELEASE_ABSENT = 0, RELEASE_FREED = 1, RELEASE_HANDED_OVER = 2, CANCEL_LEFT = 3 };
enum { RENEW_ABSENT = 0, RENEW_DONE = 1 };
enum {
    CONVERT_ABSENT = 0,
    CONVERT_DONE = 1,
    CONVERT_DEADLOCK = 4,
    CONVERT_STALE = 8
}; /* upgrade, downgrade */
enum { FORCE_FREED = 1, FORCE_HANDED_OVER = 2, FORCE_STALE = 8 };
enum { CODE_FOREIGN = -2, CODE_BAD_ARGUMENT = -1, CODE_MORE = 7 }; /* of every script */

/* What an answer tells of a hold: its version, and what is left of its lease. */
typedef struct standing {
    uint64_t fence; /* the last one of the lock */
    char kind;      /* KIND_EXCLUSIVE or KIND_SHARED */
    int64_t lease_ms;
} standing;

/* Reads value[0..2] of an answer that tells it; false when they are none that a script of ours
 * gives. */
_Bool standing_read(standing *out, const int64_t value[ANSWER_VALUES]);

/* A message of an inbox: "grant <fence> <lease ms> <now us> <holder> <key>". The pointers go into
 * the payload. */
typedef struct grant {
    uint64_t fence;
    int64_t lease_ms;
    int64_t server_us;
    const char *holder;
    size_t holder_length;
    const char *hold_id; /* the second field of the holder */
    size_t hold_id_length;
    const char *key;
    size_t key_length;
} grant;

/* False for anything that is not exactly a grant. */
_Bool grant_read(grant *out, const char *payload, size_t length);

#endif
