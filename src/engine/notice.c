/* SPDX-License-Identifier: MIT
 * The table of what the user of a hold is told. Pure: no clock, no thread. */
#include "engine/notice.h"

#include <assert.h>

/* A row is a state, a column an event. What is not set means nothing, which is why NONE, where it
 * is led to, has another number. */
enum { NOTHING = 0, TO_NONE = NOTICE_STATES };

static const unsigned char notice_leads_to[NOTICE_STATES][NOTICE_EVENTS] = {
    [NOTICE_NONE] = {[NOTICE_WARNS] = NOTICE_WARNING, [NOTICE_ENDED] = NOTICE_LOST},
    [NOTICE_WARNING] = {[NOTICE_RETURNED] = NOTICE_WARNED,
                        [NOTICE_RENEWED] = NOTICE_RELIEVED,
                        [NOTICE_ENDED] = NOTICE_BEREFT},
    [NOTICE_RELIEVED] = {[NOTICE_RETURNED] = TO_NONE, [NOTICE_ENDED] = NOTICE_BEREFT},
    [NOTICE_BEREFT] = {[NOTICE_RETURNED] = NOTICE_LOST, [NOTICE_LET_GO] = NOTICE_WARNING},
    [NOTICE_WARNED] = {[NOTICE_RENEWED] = TO_NONE, [NOTICE_ENDED] = NOTICE_LOST},
    [NOTICE_LOST] = {[NOTICE_TELLS] = NOTICE_TELLING, [NOTICE_LET_GO] = TO_NONE},
    [NOTICE_TELLING] = {[NOTICE_RETURNED] = NOTICE_TOLD},
};

enum notice notice_after(enum notice self, enum notice_event what)
{
    assert(self < NOTICE_STATES);
    assert(what < NOTICE_EVENTS);
    unsigned char next = notice_leads_to[self][what];
    if (next == NOTHING) return self;
    return next == TO_NONE ? NOTICE_NONE : (enum notice)next;
}

bool notice_is_running(enum notice self)
{
    return self == NOTICE_WARNING || self == NOTICE_RELIEVED || self == NOTICE_BEREFT ||
           self == NOTICE_TELLING;
}
