/* SPDX-License-Identifier: MIT
 * One hold, from the first question for it to the moment when nobody owes anybody anything. Pure.
 *
 *   SOUGHT --> HELD --> LAPSED --> GONE     the user has the handle from HELD on: the belief ends
 *     |         | |       |         |       once, by the clock, or by the server's word
 *     |         | +---+---+         |
 *     |         |     | closed      |
 *     |         |     v             |
 *     |         |   TAKING -> TAKEN |       the client's close has it undone
 *     |         |     |         |   |
 *   - + - - - - + - - + - - - - + - + - -   the handle is let go of, or was never given
 *     |         v     v         |   |
 *     |      LEAVING  |         |   |       a release is waited for,
 *     |       |  |    v         |   |
 *     +-------|--+> UNDOING     |   |       or an undo is owed,
 *     v       v        v        v   v
 *   OVER <-- OVER <-- OVER <-- OVER         or nothing
 *
 *   SOUGHT  an acquisition is under way             HELD    believed, while now < valid_until
 *   LAPSED  the belief ended; the server may        GONE    the server said that it has no such
 *           have the hold still                             holder
 *   TAKING  closed, being undone                    TAKEN   closed, undone
 *   LEAVING let go of, a release is waited for      UNDOING let go of; nobody waits
 *   OVER    nothing is owed; freed without pins
 *
 * The user has the handle from HELD to TAKEN. Belief is left for good: a late answer means nothing
 * in the state that it meets, and changes nothing. on_lost is due on the way from HELD to LAPSED or
 * GONE. An undo is wanted in TAKING and UNDOING, a renewal in HELD, a release in LEAVING.
 *
 * The kind is that of the version (engine/version.h): exclusive is believed while no conversion is
 * in doubt. tests/explore walks through every order of events within its bounds. */
#ifndef REDLOCK_ENGINE_TENURE_H
#define REDLOCK_ENGINE_TENURE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/version.h"

enum tenure_state {
    TENURE_SOUGHT,
    TENURE_HELD,
    TENURE_LAPSED,
    TENURE_GONE,
    TENURE_TAKING,
    TENURE_TAKEN,
    TENURE_LEAVING,
    TENURE_UNDOING,
    TENURE_OVER,
    TENURE_STATES
};

enum tenure_event {
    TENURE_GRANTED,
    TENURE_GIVEN_UP,      /* the acquisition failed, and the server said why */
    TENURE_GIVEN_UP_OWED, /* ... or did not: the server may have the hold, or a waiter */
    TENURE_LAPSES,        /* valid_until has passed, or the server has lost data */
    TENURE_ABSENT,        /* the server has no such holder */
    TENURE_CLOSED,        /* the client is closed */
    TENURE_LET_GO,        /* by the user */
    TENURE_LET_GO_OWED,   /* the same, while an attempt to acquire may still be carried out */
    TENURE_RELEASED,      /* the release was answered */
    TENURE_UNANSWERED,    /* ... or never was, or only in part */
    TENURE_UNDONE,        /* or there is no hope of it any more */
    TENURE_EVENTS
};

enum tenure_wants {
    TENURE_WANTS_NOTHING,
    TENURE_WANTS_RENEWAL,
    TENURE_WANTS_RELEASE,
    TENURE_WANTS_UNDO
};

/* All zero: the hold is sought, and nothing is known of it. */
typedef struct tenure {
    version version;
    uint64_t own_fence; /* of the grant, or of the latest conversion of its own that it heard of */
    unsigned pins;      /* calls and callbacks that point here */
    enum tenure_state state;
} tenure;

/* False: the event means nothing in this state, and nothing was done. */
bool tenure_move(tenure *self, enum tenure_event what);

/* The hold was granted, and its answer told this version. */
void tenure_granted(tenure *self, uint64_t fence, char kind);

/* An answer tells a version; own_fence is what it was when the question left. False: it is older,
 * so the server has lost data since: the hold lapses. For a shared hold it is no loss that somebody
 * else's fence was lost. */
bool tenure_told(tenure *self, uint64_t fence, char kind, uint64_t own_fence);

/* A conversion that names this fence is written to a socket: from now on it may be carried out. */
void tenure_doubted(tenure *self, uint64_t fence);

/* A conversion that is answered, and has told its version. */
typedef struct conversion {
    uint64_t own_fence; /* what it was when the question left */
    char kind;          /* that is asked for */
    bool is_stale; /* another fence was the last one: it is made by an earlier attempt, or not at
                      all */
} conversion;

/* Is it made for nothing, as far as is known now, so that it is to be asked for the newest
 * fence? */
bool tenure_voids(const tenure *self, const conversion *asked, uint64_t fence);

/* Is it of that kind already, with nothing on its way that may still change it? */
bool tenure_has_kind(const tenure *self, char kind);

/* ... and was carried out: the version that its answer told is the hold's own. */
void tenure_converted(tenure *self, uint64_t fence);

/* Is it held, as far as the state goes? The clock has its say besides. */
bool tenure_is_held(const tenure *self);

/* The kind that may be believed. */
char tenure_kind(const tenure *self);

/* Does the user have the handle? */
bool tenure_has_handle(const tenure *self);

/* What is to be asked of the server for it. */
enum tenure_wants tenure_wants(const tenure *self);

/* Nobody points here, and nothing is owed. */
bool tenure_is_freeable(const tenure *self);

#endif
