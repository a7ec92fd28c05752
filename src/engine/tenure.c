/* SPDX-License-Identifier: MIT
 * The table of a hold's moves. Pure: no clock, no socket, no lock. */
#include "engine/tenure.h"

#include <assert.h>

/* A row is a state, a column an event. SOUGHT, to which nothing leads, marks what means nothing. */
enum { NOT = TENURE_SOUGHT };

static const unsigned char leads_to[TENURE_STATES][TENURE_EVENTS] = {
    [TENURE_SOUGHT] = {[TENURE_GRANTED] = TENURE_HELD,
                       [TENURE_GIVEN_UP] = TENURE_OVER,
                       [TENURE_GIVEN_UP_OWED] = TENURE_UNDOING},
    [TENURE_HELD] = {[TENURE_LAPSES] = TENURE_LAPSED,
                     [TENURE_ABSENT] = TENURE_GONE,
                     [TENURE_CLOSED] = TENURE_TAKING,
                     [TENURE_LET_GO] = TENURE_LEAVING,
                     [TENURE_LET_GO_OWED] = TENURE_LEAVING},
    [TENURE_LAPSED] = {[TENURE_ABSENT] = TENURE_GONE,
                       [TENURE_CLOSED] = TENURE_TAKING,
                       [TENURE_LET_GO] = TENURE_UNDOING,
                       [TENURE_LET_GO_OWED] = TENURE_UNDOING},
    [TENURE_GONE] = {[TENURE_LET_GO] = TENURE_OVER, [TENURE_LET_GO_OWED] = TENURE_UNDOING},
    [TENURE_TAKING] = {[TENURE_LET_GO] = TENURE_UNDOING,
                       [TENURE_LET_GO_OWED] = TENURE_UNDOING,
                       [TENURE_UNDONE] = TENURE_TAKEN},
    [TENURE_TAKEN] = {[TENURE_LET_GO] = TENURE_OVER, [TENURE_LET_GO_OWED] = TENURE_OVER},
    [TENURE_LEAVING] = {[TENURE_RELEASED] = TENURE_OVER, [TENURE_UNANSWERED] = TENURE_UNDOING},
    [TENURE_UNDOING] = {[TENURE_UNDONE] = TENURE_OVER},
};

bool tenure_move(tenure *self, enum tenure_event what)
{
    assert(self->state < TENURE_STATES);
    assert(what < TENURE_EVENTS);
    unsigned char next = leads_to[self->state][what];
    if (next == NOT) return false;
    self->state = next;
    return true;
}

/* ---- What the server told ---- */

void tenure_granted(tenure *self, uint64_t fence, char kind)
{
    assert(self->state == TENURE_HELD);
    version_told(&self->version, fence, kind);
    self->own_fence = fence;
}

bool tenure_told(tenure *self, uint64_t fence, char kind, uint64_t own_fence)
{
    if (fence < own_fence) return false;
    version_told(&self->version, fence, kind);
    return true;
}

void tenure_doubted(tenure *self, uint64_t fence) { version_doubted(&self->version, fence); }

void tenure_converted(tenure *self, uint64_t fence)
{
    if (fence > self->own_fence) self->own_fence = fence;
}

bool tenure_has_kind(const tenure *self, char kind)
{
    return version_is_settled(&self->version) && self->version.kind == kind;
}

/* Something newer is known than what was done, and no conversion of ours made it: what was done is
 * gone. */
static bool is_overtaken(const tenure *self, uint64_t fence, char kind)
{
    uint64_t newest = self->version.fence;
    return newest > fence && newest > self->own_fence && self->version.kind != kind;
}

bool tenure_voids(const tenure *self, const conversion *asked, uint64_t fence)
{
    bool is_gone = asked->is_stale || is_overtaken(self, fence, asked->kind);
    return is_gone && tenure_is_held(self) && !tenure_has_kind(self, asked->kind);
}

/* ---- What follows from it ---- */

bool tenure_is_held(const tenure *self) { return self->state == TENURE_HELD; }

char tenure_kind(const tenure *self) { return version_kind(&self->version); }

bool tenure_has_handle(const tenure *self)
{
    return self->state >= TENURE_HELD && self->state <= TENURE_TAKEN;
}

enum tenure_wants tenure_wants(const tenure *self)
{
    switch (self->state) {
    case TENURE_HELD: return TENURE_WANTS_RENEWAL;
    case TENURE_LEAVING: return TENURE_WANTS_RELEASE;
    case TENURE_TAKING:
    case TENURE_UNDOING: return TENURE_WANTS_UNDO;
    default: return TENURE_WANTS_NOTHING;
    }
}

bool tenure_is_freeable(const tenure *self)
{
    return self->state == TENURE_OVER && self->pins == 0;
}
