/* SPDX-License-Identifier: MIT
 * A script's command on a connection, and what is done about a server that does not know the
 * script. After EVALSHA was answered that the script is unknown, there goes
 *
 *   SCRIPT LOAD, EVALSHA    in one write; but
 *   EVALSHA alone           where a source went on this connection since the question was asked,
 *                           and
 *   EVAL                    where SCRIPT LOAD is refused, or was of no use.
 *
 * What SCRIPT LOAD loads is never evicted; what EVAL loads may be, from Redis 7.4 on. The rule:
 * after a restart ten thousand requests on a connection need one source, and only this file knows
 * how. */
#ifndef REDLOCK_LANE_LOADING_H
#define REDLOCK_LANE_LOADING_H

#include "net/conn.h"
#include "wire/question.h"

/* What whoever asks remembers of a question and its repetitions. All zero: it was not asked yet. */
typedef struct loading {
    uint32_t behind;  /* so many sources had the connection taken when it was last asked */
    uint16_t in_vain; /* such answers in a row that a source was to prevent */
    bool is_asking;   /* ASKING is to go right before the question: it serves for one command */
} loading;

/* Submits the question as `asks`, whose callback and deadline are set, and a SCRIPT LOAD before it
 * if need be, whose answer goes to the connection. `*by_source` says whether the last answer was
 * that the script is unknown, and is told whether the source goes with the question itself, so that
 * this would be no answer to it. False as from conn_submit. */
bool loading_submit(loading *self, conn *on, call *asks, const question *about, bool *by_source,
                    int64_t now_us);

#endif
