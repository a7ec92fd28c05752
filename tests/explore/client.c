/* SPDX-License-Identifier: MIT
 * What the library does with a hold: engine/tenure, and the rules of its callers. */
#include <string.h>

#include "explore/world.h"
#include "wire/mode.h"

static char letter(uint8_t place) { return place == EXCLUSIVE ? KIND_EXCLUSIVE : KIND_SHARED; }
static bool converts(const asker *self)
{
    return self->phase != IDLE && (self->asks.act == DOWNGRADE || self->asks.act == UPGRADE);
}

bool is_believed(const world *w) { return tenure_is_held(&w->hold) && !w->is_time_up; }

/* on_lost is due on the way out of HELD, but not when the user or the client's close leaves it. */
void client_move(world *w, enum tenure_event what)
{
    enum tenure_state before = w->hold.state;
    bool is_moved = tenure_move(&w->hold, what);
    bool is_loss = before == TENURE_HELD &&
                   (w->hold.state == TENURE_LAPSED || w->hold.state == TENURE_GONE);
    if (is_moved && is_loss && w->was_told_lost) found("on_lost is told twice");
    if (is_moved && is_loss) w->was_told_lost = true;
}

/* ---- The end of a call ---- */

static void end(world *w, asker *self)
{
    if (keeps(RULE_A_CALL_PINS)) w->hold.pins--;
    memset(self, 0, sizeof *self);
}

static void answer_ok(world *w)
{
    if (!is_believed(w)) found("a call is OK for what is not held");
}

static void told(world *w, const asker *self)
{
    uint8_t own = keeps(RULE_LOST_DATA_IS_NOTICED) ? self->own_fence : 0;
    if (!keeps(RULE_THE_NEWEST_VERSION_IS_KNOWN)) w->hold.version.fence = 0;
    if (!tenure_told(&w->hold, self->told_fence, letter(self->told_kind), own))
        client_move(w, TENURE_LAPSES);
    if (self->told_fence < self->own_fence && is_believed(w))
        found("belief outlives a loss of data that it heard of");
}

static void told_absent(world *w)
{
    client_move(w, TENURE_ABSENT);
    if (is_believed(w)) found("belief outlives an absence that it heard of");
}

/* The lease that was granted counts from the question's sending. */
static void lengthen(world *w, const asker *self)
{
    bool was_over = w->is_time_up && keeps(RULE_NO_ANSWER_BRINGS_BELIEF_BACK);
    if (was_over) client_move(w, TENURE_LAPSES);
    if (self->asks.is_old || was_over) return;
    w->is_time_up = false;
    w->server.is_ahead = false;
}

static void judge_acquisition(world *w, asker *self, bool is_answered)
{
    bool is_granted = is_answered && self->code == DONE && !self->asks.is_old;
    bool is_settled = is_answered && self->code == BUSY &&
                      !(self->was_cut && keeps(RULE_A_BUSY_AFTER_A_CUT_IS_OWED));
    w->is_owed |= self->was_cut || !is_answered;
    if (is_granted) {
        client_move(w, TENURE_GRANTED);
        tenure_granted(&w->hold, self->told_fence, letter(self->told_kind));
        w->entries = 1;
        w->server.is_ahead = false;
    } else {
        client_move(w, is_settled ? TENURE_GIVEN_UP : TENURE_GIVEN_UP_OWED);
    }
    end(w, self);
}

static void judge_renewal(world *w, asker *self, bool is_call, bool is_answered)
{
    bool matters = tenure_is_held(&w->hold) || !keeps(RULE_A_LATE_ANSWER_MEANS_NOTHING);
    if (is_answered && self->code == DONE && matters) {
        told(w, self);
        lengthen(w, self);
        if (!keeps(RULE_A_LATE_ANSWER_MEANS_NOTHING)) w->hold.state = TENURE_HELD;
    }
    if (is_answered && self->code == ABSENT) told_absent(w);
    bool is_ok = is_call && is_answered && self->code == DONE;
    if (is_ok && (is_believed(w) || !keeps(RULE_OK_IS_FOR_THE_HELD))) answer_ok(w);
    end(w, self);
}

static bool has_kind(const world *w, uint8_t place)
{
    bool is_settled = version_is_settled(&w->hold.version) ||
                      !keeps(RULE_KIND_IS_KNOWN_WHEN_IT_IS_SETTLED);
    return is_settled && w->hold.version.kind == letter(place);
}

static uint8_t wanted_place(const asker *self)
{
    return self->asks.act == UPGRADE ? EXCLUSIVE : SHARED;
}

static void doubt(world *w, const asker *self)
{
    if (keeps(RULE_WHAT_IS_SENT_IS_IN_DOUBT)) tenure_doubted(&w->hold, self->asks.fence);
}

/* What it did is gone, or it did nothing. */
static bool is_void(const world *w, const asker *self)
{
    conversion asked = {.own_fence = self->own_fence,
                        .kind = letter(wanted_place(self)),
                        .is_stale = self->code == STALE};
    bool is_of_a_conversion = self->code == STALE || self->code == DONE;
    return is_of_a_conversion && tenure_voids(&w->hold, &asked, self->told_fence);
}

/* True: it is asked again, for the fence that is known. */
static bool asks_again(world *w, asker *self)
{
    if (!is_void(w, self) || has_kind(w, wanted_place(self)) || self->attempts >= 2) return false;
    if (!is_believed(w)) return false;
    self->asks.fence = (uint8_t)w->hold.version.fence;
    self->asks.is_old = false;
    self->own_fence = (uint8_t)w->hold.own_fence;
    self->attempts++;
    self->phase = SENT;
    doubt(w, self);
    return true;
}

/* What it answers says that the hold is shared, and was told by the newest version: only another
 * upgrade changes that.
 */
static void note_promise(world *w, const asker *self, bool is_ok)
{
    bool is_refused = self->code == DEADLOCK && is_believed(w);
    bool is_shared = is_refused || (is_ok && wanted_place(self) == SHARED);
    if (is_shared && self->is_alone) w->is_promised_shared = true;
}

static void end_conversion(world *w, asker *self, bool is_answered, bool is_done)
{
    bool is_ok = is_done && (is_believed(w) || !keeps(RULE_OK_IS_FOR_THE_HELD));
    if (is_ok) answer_ok(w);
    if (is_ok && self->is_alone && wanted_place(self) == EXCLUSIVE &&
        tenure_kind(&w->hold) != KIND_EXCLUSIVE)
        found("an upgrade is OK, and not known to be exclusive");
    if (is_answered) note_promise(w, self, is_ok);
    if (!is_ok && self->is_entry) w->entries--;
    end(w, self);
}

static void judge_conversion(world *w, asker *self, bool is_answered)
{
    bool is_told = is_answered && self->code != ABSENT && tenure_is_held(&w->hold);
    if (is_answered && self->code == ABSENT) told_absent(w);
    if (is_told) told(w, self);
    if (is_told && asks_again(w, self)) return;
    bool is_answer = is_told && (self->code == DONE || self->code == STALE);
    bool is_done = is_answer && self->told_kind == wanted_place(self) && !is_void(w, self);
    if (is_done) tenure_converted(&w->hold, self->told_fence);
    if (is_done && self->code == DONE && self->asks.act == UPGRADE) lengthen(w, self);
    end_conversion(w, self, is_answered, is_done);
}

void client_judge(world *w, enum who who, bool is_answered)
{
    asker *self = &w->askers[who];
    switch (self->asks.act) {
    case ACQUIRE: judge_acquisition(w, self, is_answered); return;
    case RENEW: judge_renewal(w, self, who != KEEPER, is_answered); return;
    case RELEASE:
        if (is_answered) client_move(w, TENURE_RELEASED);
        else
            client_move(w, keeps(RULE_WHAT_IS_UNANSWERED_IS_UNDONE) ? TENURE_UNANSWERED
                                                                    : TENURE_RELEASED);
        end(w, self);
        return;
    case CANCEL:
        if (is_answered) client_move(w, TENURE_UNDONE);
        end(w, self);
        return;
    default: judge_conversion(w, self, is_answered);
    }
}

/* ---- The beginning of a call ---- */

static void ask(world *w, enum who who, message asks)
{
    asker *self = &w->askers[who];
    self->phase = SENT;
    self->attempts = 1;
    self->asks = asks;
    self->own_fence = (uint8_t)w->hold.own_fence;
    if (keeps(RULE_A_CALL_PINS)) w->hold.pins++;
}

static void note_company(world *w, enum who who)
{
    asker *self = &w->askers[who], *beside = &w->askers[FIRST + SECOND - who];
    self->is_alone = !converts(beside);
    if (converts(beside)) beside->is_alone = false;
    if (self->asks.act == UPGRADE) w->is_promised_shared = false;
}

static bool begin_conversion(world *w, enum who who, enum act act, bool is_entry, bool is_sent)
{
    if (is_entry) w->entries++;
    if (has_kind(w, act == UPGRADE ? EXCLUSIVE : SHARED)) {
        bool is_promise = act == DOWNGRADE && !converts(&w->askers[FIRST + SECOND - who]);
        if (is_promise) w->is_promised_shared = true;
        if (is_entry && w->server.place == SHARED && !w->was_forced && !w->has_lost_data)
            found("an exclusive entry is OK at once, and the server has it shared");
        return false;
    }
    ask(w, who, (message){.act = (uint8_t)act, .fence = (uint8_t)w->hold.version.fence});
    w->askers[who].is_entry = is_entry;
    note_company(w, who);
    if (is_sent) doubt(w, &w->askers[who]);
    else client_judge(w, who, false);
    return true;
}

bool client_begin(world *w, enum who who, enum act act, bool is_entry, bool is_sent)
{
    if (!is_believed(w)) return false;
    if (act != RENEW) return begin_conversion(w, who, act, is_entry, is_sent);
    ask(w, who, (message){.act = RENEW});
    return true;
}

void client_release(world *w, enum who who)
{
    if (w->entries > 1) {
        w->entries--;
        return;
    }
    w->entries = 0;
    bool is_owed = w->is_owed && keeps(RULE_GONE_AND_OWED_IS_UNDONE);
    if (w->is_time_up) client_move(w, TENURE_LAPSES); /* the loss is told before it is let go of */
    client_move(w, is_owed ? TENURE_LET_GO_OWED : TENURE_LET_GO);
    bool buries = w->is_owed && keeps(RULE_A_RELEASE_BURIES);
    if (tenure_wants(&w->hold) == TENURE_WANTS_RELEASE)
        ask(w, who, (message){.act = RELEASE, .buries = buries});
}

void client_attend(world *w)
{
    bool undoes = tenure_wants(&w->hold) == TENURE_WANTS_UNDO;
    bool buries = undoes && w->is_owed && keeps(RULE_AN_UNDO_BURIES);
    ask(w, KEEPER, (message){.act = undoes ? CANCEL : RENEW, .buries = buries});
}
