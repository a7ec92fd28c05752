/* SPDX-License-Identifier: MIT
 * The scripts of the model: what each answers, and what becomes of the lock, written from
 * docs/protocol.md.
 * Rule: pure. */
#ifndef REDLOCK_TESTS_MODEL_ANSWERS_H
#define REDLOCK_TESTS_MODEL_ANSWERS_H

#include "model/lock.h"
#include "wire/script.h"

/* The arguments of one call; each script reads its own. */
typedef struct call {
    enum script_id script;
    char holder[MEMBER_SIZE], mode[16], inbox[72];
    int64_t ttl_ms, grace_ms, linger_ms, burial_ms, nonce;
    int64_t arrival_us;
    int64_t fence; /* the hint, the least, the last given out, or the one that is known */
    bool is_plain; /* without the optional arguments */
} call;

enum { ANSWER_MOST = 8 };

typedef struct answer {
    int64_t values[ANSWER_MOST];
    int count;
} answer;

/* `self` has the lock, the clock and who is heard; it is told the grants. */
answer answer_of(call_state *self, const call *asked);

/* ---- acquire.c */

answer answer_to_acquire(call_state *self, const call *asked);
/* {code, nonce, now, fence, kind, lease left} */
answer tell_hold(const call_state *self, const call *asked, int64_t code, const holder *it);
answer tell_code(const call_state *self, const call *asked, int64_t code);

#endif
