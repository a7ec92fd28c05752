/* SPDX-License-Identifier: MIT
 * The model of acquire. Rule: pure. */
#include <stdio.h>
#include <string.h>

#include "model/answers.h"

answer tell_code(const call_state *self, const call *asked, int64_t code)
{
    return (answer){{code, asked->nonce, self->now_us}, 3};
}

answer tell_hold(const call_state *self, const call *asked, int64_t code, const holder *it)
{
    int64_t lease_ms = it->ends_ms - self->now_ms;
    return (answer){{code, asked->nonce, self->now_us, self->on->fence, it->kind, lease_ms}, 6};
}

/* ---- What may be said at once ----------------------------------------------------------------*/

static bool ends_before(const holder *a, const holder *b)
{
    return a->ends_ms != b->ends_ms ? a->ends_ms < b->ends_ms
                                    : strcmp(a->who.member, b->who.member) < 0;
}

/* How many of its kind have a lease that ends before its own. */
static int rank_of(const lock *on, const holder *it, int64_t now_ms)
{
    int rank = 0;
    for (int i = 0; i < on->holder_count; i++) {
        const holder *other = &on->holders[i];
        rank += other->kind == it->kind && is_live(other, now_ms) && ends_before(other, it);
    }
    return rank;
}

/* A call looks at a portion of the holders. */
static bool owner_holds(const call_state *self, const person *who, enum kind kind)
{
    const lock *on = self->on;
    for (int i = 0; i < on->holder_count; i++) {
        const holder *it = &on->holders[i];
        if (it->kind == kind && is_live(it, self->now_ms) &&
            strcmp(it->who.owner, who->owner) == 0 &&
            rank_of(on, it, self->now_ms) < on->bounds->portion)
            return true;
    }
    return false;
}

/* It has asked: nothing is left of it in line, nor of its note. */
static void stop_waiting(call_state *self, const person *who, const wish *how)
{
    waiter *it = find_waiter(self->on, self->self);
    if (it != NULL) remove_waiter(self->on, it);
    if (how->claim_ms > 0) forget_note(self->on, who->hold_id);
}

/* An owner enters beside itself, and does not wait for itself. Does it, or is it told so? */
static bool is_its_own_affair(call_state *self, const call *asked, const person *who,
                              const wish *how, answer *out)
{
    if (strcmp(who->owner, "-") == 0) return false;
    enum kind other = how->kind == EXCLUSIVE ? SHARED : EXCLUSIVE;
    bool is_other = owner_holds(self, who, other);
    if (!is_other && !owner_holds(self, who, how->kind)) return false;
    stop_waiting(self, who, how);
    *out = tell_code(self, asked, 4);
    if (is_other) return true;
    put_holder(self->on, who, how->kind, self->now_ms + asked->ttl_ms);
    *out = tell_hold(self, asked, 1, find_holder(self->on, who->member));
    return true;
}

/* ---- The line ---------------------------------------------------------------------------------*/

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

/* Whoever does not queue stands last among those of its kind. */
static int64_t behind_all(const call_state *self, enum kind kind)
{
    int64_t last_us = self->now_us;
    for (waiter *it = NULL; (it = next_waiting(self->on, kind, it)) != NULL;)
        if (it->arrival_us >= last_us) last_us = it->arrival_us + 1;
    return last_us;
}

static void join(call_state *self, const call *asked, const person *who, const wish *how)
{
    waiter *it = find_waiter(self->on, self->self);
    if (it != NULL) {
        it->arrival_us = lesser(it->arrival_us, self->now_us);
        forget_note(self->on, who->hold_id);
        return;
    }
    int64_t arrival_us = asked->arrival_us > 0 ? asked->arrival_us : self->now_us;
    waiter fresh = {.who = *who, .how = *how, .arrival_us = lesser(arrival_us, self->now_us)};
    snprintf(fresh.member, sizeof fresh.member, "%s", self->self);
    if (how->claim_ms == 0) fresh.arrival_us = behind_all(self, how->kind);
    add_waiter(self->on, &fresh);
}

/* When to ask again: when the lease of the holder that matters ends, and no later than somebody
 * may keep others out. */
static int64_t lease_to_wait_for(const call_state *self, const wish *how)
{
    int64_t last_ms = self->now_ms, first_reader_ms = 0;
    for (int i = 0; i < self->on->holder_count; i++) {
        const holder *it = &self->on->holders[i];
        if (!is_live(it, self->now_ms)) continue;
        if (it->ends_ms > last_ms) last_ms = it->ends_ms;
        if (it->kind == SHARED && (first_reader_ms == 0 || it->ends_ms < first_reader_ms))
            first_reader_ms = it->ends_ms;
    }
    int64_t ends_ms = how->kind == SHARED && how->limit > 0 && first_reader_ms > 0 ? first_reader_ms
                                                                                   : last_ms;
    int64_t lease_ms = ends_ms - self->now_ms;
    return self->barred_ms >= 0 ? lesser(lease_ms, self->barred_ms) : lease_ms;
}

static answer tell_place(call_state *self, const call *asked, int64_t lease_ms)
{
    const waiter *it = find_waiter(self->on, self->self), *ahead = NULL;
    int64_t position = 1;
    for (waiter *at = NULL; (at = next_waiting(self->on, it->how.kind, at)) != it; position++)
        ahead = at;
    int64_t claim_ms = ahead != NULL ? ahead->how.claim_ms : 0;
    return (answer){{2, asked->nonce, self->now_us, lease_ms, position, claim_ms, it->arrival_us},
                    7};
}

static answer tell_refused(const call_state *self, const call *asked, int64_t code,
                           int64_t lease_ms)
{
    int64_t waiters = self->on->waiter_count;
    return (answer){{code, asked->nonce, self->now_us, lease_ms, waiters}, 5};
}

/* It was not let in: it goes on waiting, or goes. */
static answer tell_not_now(call_state *self, const call *asked, const wish *how)
{
    int64_t lease_ms = lease_to_wait_for(self, how);
    waiter *it = find_waiter(self->on, self->self);
    bool is_heard = how->claim_ms > 0 && self->is_heard(self->by, how->channel);
    if (is_heard) return tell_place(self, asked, lease_ms);
    if (it != NULL) take_from_line(self->on, it);
    if (how->claim_ms == 0) return tell_refused(self, asked, 0, lease_ms);
    return (answer){{5, asked->nonce, self->now_us, lease_ms}, 4};
}

static answer stand_in_line(call_state *self, const call *asked, const person *who, const wish *how)
{
    answer out;
    int writers = count_live(self->on, EXCLUSIVE, self->now_ms),
        readers = count_live(self->on, SHARED, self->now_ms);
    bool stands = how->claim_ms > 0 || (writers == 0 && (how->kind == SHARED || readers == 0));
    bool is_full = how->claim_ms > 0 && find_waiter(self->on, self->self) == NULL &&
                   self->on->waiter_count >= self->on->bounds->queue;
    if (stands && !is_full) join(self, asked, who, how);
    serve(self);
    if (is_full) return tell_refused(self, asked, 3, 0);
    if (self->granted == 0) return tell_not_now(self, asked, how);
    out = tell_hold(self, asked, 1, find_holder(self->on, who->member));
    out.values[5] = asked->ttl_ms; /* though it may have had a longer lease, by another channel */
    return out;
}

/* ---- The script -------------------------------------------------------------------------------*/

static bool is_span(int64_t ms, int64_t least) { return ms >= least && ms <= INT64_C(2592000000); }

static bool is_in_range(const call *asked, const wish *how)
{
    int64_t arrival = asked->arrival_us;
    return how->kind != 0 && is_span(asked->ttl_ms, 1) && is_span(asked->grace_ms, 0) &&
           asked->fence >= 0 && asked->fence <= INT64_C(5000000000000000) &&
           (arrival == 0 ||
            (arrival >= INT64_C(100000000000000) && arrival < INT64_C(4000000000000000)));
}

answer answer_to_acquire(call_state *self, const call *asked)
{
    person who = person_of(asked->holder);
    wish how = wish_of(asked->mode, asked->inbox);
    answer out;
    if (!is_in_range(asked, &how)) return (answer){{-1, asked->nonce, 0}, 3};
    if (how.claim_ms > 0)
        snprintf(self->self, sizeof self->self, "%s %s %s", asked->inbox, how.mode, asked->holder);
    else snprintf(self->self, sizeof self->self, "* %s %s", how.mode, asked->holder);
    self->self_lease_ms = asked->ttl_ms;
    self->hint = asked->fence;

    self->left = purge(self->on, self->now_us);
    if (find_mark(self->on->buried, self->on->buried_count, who.hold_id) != NULL)
        return tell_code(self, asked, 6);

    const holder *it = find_holder(self->on, asked->holder);
    if (it != NULL && is_live(it, self->now_ms)) {
        stop_waiting(self, &who, &how);
        return tell_hold(self, asked, 1, it);
    }
    if (is_its_own_affair(self, asked, &who, &how, &out)) return out;
    return stand_in_line(self, asked, &who, &how);
}
