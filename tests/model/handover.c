/* SPDX-License-Identifier: MIT
 * The model of the handover: who is let in, in which order, and who is told (docs/protocol.md,
 * "Handover").
 * Rule: pure. */
#include <stdio.h>
#include <string.h>

#include "model/lock.h"

static bool is_self(const call_state *self, const waiter *it)
{
    return strcmp(self->self, it->member) == 0;
}

static bool is_dead(const call_state *self, const waiter *it)
{
    return !is_self(self, it) && !self->is_heard(self->by, it->how.channel);
}

static void leave_line(call_state *self, waiter *it)
{
    self->gone++;
    remove_waiter(self->on, it);
}

/* The first of a kind that lives; the dead before it are dropped. */
static waiter *head_of(call_state *self, enum kind kind)
{
    for (waiter *it; (it = next_waiting(self->on, kind, NULL)) != NULL; leave_line(self, it))
        if (!is_dead(self, it)) return it;
    return NULL;
}

static bool is_held(const call_state *self)
{
    return count_live(self->on, EXCLUSIVE, self->now_ms) +
               count_live(self->on, SHARED, self->now_ms) >
           0;
}

static int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

static void mint(call_state *self)
{
    int64_t least = self->hint <= self->now_us + INT64_C(1000000) ? self->hint : 0;
    self->on->fence = greater(greater(self->on->fence + 1, self->now_us), least);
}

static void tell(call_state *self, const waiter *it)
{
    if (self->told_count == TOLD_MOST) return;
    grant *told = &self->told[self->told_count++];
    snprintf(told->channel, sizeof told->channel, "%s", it->how.channel);
    snprintf(told->text, sizeof told->text, "grant %lld %lld %lld %s %s",
             (long long)self->on->fence, (long long)it->how.claim_ms, (long long)self->now_us,
             it->who.member, self->key);
}

static void enter(call_state *self, waiter *it)
{
    waiter copy = *it;
    int64_t lease_ms = copy.how.claim_ms;
    if (!is_held(self)) mint(self);
    leave_line(self, it);
    if (is_self(self, &copy)) {
        lease_ms = self->self_lease_ms;
        self->granted = self->on->fence;
    } else {
        tell(self, &copy);
    }
    /* Whoever waits by two channels may hold already: a lease is never shortened. */
    const holder *had = find_holder(self->on, copy.who.member);
    int64_t ends_ms = self->now_ms + lease_ms;
    put_holder(self->on, &copy.who, copy.how.kind,
               had != NULL ? greater(had->ends_ms, ends_ms) : ends_ms);
    self->let_in++;
}

/* The next of the same owner that waits for the same kind, among the first `most` of the line. */
static waiter *next_mate(call_state *self, const waiter *of, int most)
{
    waiter *it = NULL;
    for (int i = 0; i < most && (it = next_waiting(self->on, of->how.kind, it)) != NULL; i++)
        if (strcmp(it->who.owner, of->who.owner) == 0) return it;
    return NULL;
}

static void enter_with_mates(call_state *self, waiter *it)
{
    waiter copy = *it;
    enter(self, it);
    if (strcmp(copy.who.owner, "-") == 0) return;
    int most = self->on->bounds->portion;
    for (waiter *mate; (mate = next_mate(self, &copy, most)) != NULL; most--) {
        if (is_dead(self, mate)) leave_line(self, mate);
        else enter(self, mate);
    }
}

/* Nobody holds the lock, and both wait. */
static bool writer_goes_first(const call_state *self, const waiter *writer, const waiter *reader)
{
    if (writer->how.policy == 0) return false;
    if (writer->how.policy == 'w' || self->left == SHARED) return true;
    return writer->arrival_us <= reader->arrival_us;
}

enum may { MAY, MAY_NOT, LOOK_AGAIN };

/* It keeps others out. Whoever does so for longer than its claim, without asking, leaves the
 * line. */
static enum may bar(call_state *self, waiter *it)
{
    if (is_self(self, it)) return MAY_NOT;
    const mark *note = find_mark(self->on->notes, self->on->note_count, it->who.hold_id);
    int64_t ends_ms = note != NULL ? note->ends_ms : self->now_ms + it->how.claim_ms;
    if (ends_ms <= self->now_ms) {
        leave_line(self, it);
        return LOOK_AGAIN;
    }
    if (note == NULL) set_note(self->on, it->who.hold_id, ends_ms);
    self->barred_ms = ends_ms - self->now_ms;
    return MAY_NOT;
}

static enum may may_enter(call_state *self, waiter *reader, waiter *writer)
{
    int inside = count_live(self->on, SHARED, self->now_ms);
    if (reader->how.limit > 0 && inside >= reader->how.limit) {
        bool keeps_others_out = count_waiting(self->on, SHARED) > 1;
        return keeps_others_out ? bar(self, reader) : MAY_NOT;
    }
    if (writer == NULL || inside == 0 || self->is_batch || reader->how.policy == 0) return MAY;
    return bar(self, writer);
}

void serve(call_state *self)
{
    self->barred_ms = -1;
    while (count_live(self->on, EXCLUSIVE, self->now_ms) == 0) {
        waiter *writer = head_of(self, EXCLUSIVE), *reader = head_of(self, SHARED);
        if (writer != NULL) writer = head_of(self, EXCLUSIVE); /* where it stands now */
        bool is_free = !is_held(self);
        if (is_free && writer != NULL &&
            (reader == NULL || writer_goes_first(self, writer, reader))) {
            enter_with_mates(self, writer);
            return;
        }
        if (reader == NULL) return;
        enum may may = may_enter(self, reader, writer);
        if (may == MAY_NOT) return;
        if (may == LOOK_AGAIN) continue;
        enter_with_mates(self, reader);
        self->is_batch = self->is_batch || is_free;
    }
}
