/* SPDX-License-Identifier: MIT
 * What the user of a hold is being told of it by callbacks, and was told. Pure.
 *
 *          warns                returned             renewed
 *     NONE ------> WARNING -----------------> WARNED -------> NONE
 *      |             |    | renewed             |
 *      |       ended |    +--> RELIEVED --------|-- returned -> NONE
 *      |             v            | ended       |
 *      |           BEREFT <-------+             |
 *      | ended       | returned                 | ended
 *      +-----------> LOST <---------------------+
 *                     |  tells           returned
 *                     +--------> TELLING -------> TOLD
 *
 *     warns, tells   on_risk or on_lost begins; then it returns
 *     renewed        an answer made the lease longer
 *     ended          the belief did, and not because the user let go
 *     let go         by the user, who hears no more: LOST becomes NONE, BEREFT becomes WARNING
 *
 * So a loss is told once, and nothing after it; a risk once, and again only behind a renewal. While
 * on_risk runs, what it tells may be over: RELIEVED, BEREFT. */
#ifndef REDLOCK_ENGINE_NOTICE_H
#define REDLOCK_ENGINE_NOTICE_H

#include <stdbool.h>

enum notice {
    NOTICE_NONE,
    NOTICE_WARNING,
    NOTICE_RELIEVED,
    NOTICE_BEREFT,
    NOTICE_WARNED,
    NOTICE_LOST,
    NOTICE_TELLING,
    NOTICE_TOLD,
    NOTICE_STATES
};

enum notice_event {
    NOTICE_WARNS,
    NOTICE_TELLS,
    NOTICE_RETURNED,
    NOTICE_RENEWED,
    NOTICE_ENDED,
    NOTICE_LET_GO,
    NOTICE_EVENTS
};

/* What it is after the event: the same, where that means nothing. */
enum notice notice_after(enum notice self, enum notice_event what);

/* Is a callback running? */
bool notice_is_running(enum notice self);

#endif
