/* SPDX-License-Identifier: MIT
 * The model of all scripts but acquire. Rule: pure. */
#include "model/answers.h"

#include <stdio.h>
#include <string.h>

static int64_t greater_of(int64_t a, int64_t b) { return a > b ? a : b; }

static answer tell_nothing_done(const call *asked) { return (answer){{-1, asked->nonce, 0}, 3}; }

static bool is_span_or_none(int64_t ms) { return ms >= 0 && ms <= INT64_C(2592000000); }

static bool is_fence(int64_t fence) { return fence >= 0 && fence <= INT64_C(5000000000000000); }

static holder *live_holder(call_state *self, const call *asked)
{
    holder *it = find_holder(self->on, asked->holder);
    return it != NULL && is_live(it, self->now_ms) ? it : NULL;
}

static int count_holders(const call_state *self)
{
    return count_live(self->on, EXCLUSIVE, self->now_ms) +
           count_live(self->on, SHARED, self->now_ms);
}

/* The key lingers for its fence, unless it is not to, and nothing is buried. */
static void let_linger(call_state *self, const call *asked)
{
    const lock *on = self->on;
    if (on->holder_count + on->waiter_count + on->buried_count == 0 && asked->linger_ms == 0)
        erase(self->on);
}

/* ---- Leaving ----------------------------------------------------------------------------------*/

/* Takes out the holder. Its kind; 0: it was not there. */
static enum kind take_away(call_state *self, const call *asked)
{
    holder *it = find_holder(self->on, asked->holder);
    if (it == NULL) return (enum kind)0;
    enum kind kind = it->kind;
    remove_holder(self->on, it);
    return kind;
}

static answer give_to_the_next(call_state *self, const call *asked, int64_t code)
{
    serve(self);
    if (code != 0 || self->gone > 0) let_linger(self, asked);
    return tell_code(self, asked, code == 1 && self->let_in > 0 ? 2 : code);
}

/* Some leave while others stay, and nobody waits: who is over may stay until somebody looks. */
static bool leaves_others_behind(const call_state *self, const call *asked)
{
    return asked->is_plain && !self->is_thorough && self->on->waiter_count + self->gone == 0 &&
           self->on->holder_count > 1;
}

static answer answer_to_release(call_state *self, const call *asked)
{
    int64_t burial_ms = asked->is_plain ? 0 : asked->burial_ms,
            given = asked->is_plain ? 0 : asked->fence;
    bool has_others = leaves_others_behind(self, asked);
    if (!is_span_or_none(burial_ms) || !is_fence(given)) return tell_nothing_done(asked);
    bool was_there = self->on->fence > 0;
    enum kind kind = take_away(self, asked);
    if (has_others && kind != 0) return tell_code(self, asked, 1);
    if (kind != 0 && given > self->on->fence) self->on->fence = given;
    bury(self->on, person_of(asked->holder).hold_id, burial_ms, self->now_us);
    if (!was_there) return tell_code(self, asked, 0);
    enum kind expired = purge(self->on, self->now_us);
    self->left = kind != 0 ? kind : expired;
    return give_to_the_next(self, asked, kind != 0);
}

static answer answer_to_cancel(call_state *self, const call *asked)
{
    char member[2 * MEMBER_SIZE];
    if (!is_span_or_none(asked->burial_ms)) return tell_nothing_done(asked);
    bool was_there = self->on->fence > 0;
    enum kind kind = take_away(self, asked);
    snprintf(member, sizeof member, "%s %s %s", asked->inbox, asked->mode, asked->holder);
    waiter *it = *asked->inbox != '\0' ? find_waiter(self->on, member) : NULL;
    int64_t code = kind != 0 ? 1 : it != NULL ? 3 : 0;
    if (it != NULL) remove_waiter(self->on, it);
    bury(self->on, person_of(asked->holder).hold_id, asked->burial_ms, self->now_us);
    if (!was_there) return tell_code(self, asked, 0);
    enum kind expired = purge(self->on, self->now_us);
    /* When nothing shows who left last, somebody has read. */
    self->left = kind != 0 ? kind : expired != 0 ? expired : SHARED;
    return give_to_the_next(self, asked, code);
}

static answer answer_to_force(call_state *self, const call *asked)
{
    if (!is_fence(asked->fence)) return tell_nothing_done(asked);
    int64_t held = count_holders(self), code = 8;
    int64_t readers = count_live(self->on, SHARED, self->now_ms);
    if (asked->fence > 0) {
        enum kind expired = purge(self->on, self->now_us);
        self->left = readers > 0 ? SHARED : held > 0 ? EXCLUSIVE : expired;
        if (asked->fence == self->on->fence) {
            self->on->holder_count = 0;
            code = 1;
        }
        serve(self);
    }
    if (code == 1 && self->let_in > 0) code = 2;
    answer out = {{code, asked->nonce, self->now_us, self->on->fence, held}, 5};
    if (code == 1) let_linger(self, asked);
    return out;
}

/* ---- Staying ----------------------------------------------------------------------------------*/

static answer answer_to_renew(call_state *self, const call *asked)
{
    holder *it = live_holder(self, asked);
    if (asked->ttl_ms < 1 || !is_span_or_none(asked->ttl_ms) || !is_fence(asked->fence))
        return tell_nothing_done(asked);
    if (it == NULL) return tell_code(self, asked, 0);
    self->on->fence = greater_of(self->on->fence, asked->fence);
    it->ends_ms = greater_of(it->ends_ms, self->now_ms + asked->ttl_ms);
    return tell_hold(self, asked, 1, it);
}

/* Whatever a conversion does or refuses, an older one is void from then on. */
static void mint_for_conversion(call_state *self)
{
    self->on->fence = greater_of(self->on->fence + 1, self->now_us);
}

static answer answer_to_upgrade(call_state *self, const call *asked)
{
    holder *it = live_holder(self, asked);
    if (asked->ttl_ms < 1 || !is_span_or_none(asked->ttl_ms) || !is_fence(asked->fence))
        return tell_nothing_done(asked);
    if (it == NULL) return tell_code(self, asked, 0);
    if (asked->fence != self->on->fence) return tell_hold(self, asked, 8, it);
    mint_for_conversion(self);
    if (it->kind == SHARED && count_holders(self) > 1) return tell_hold(self, asked, 4, it);
    it->kind = EXCLUSIVE;
    it->ends_ms = greater_of(it->ends_ms, self->now_ms + asked->ttl_ms);
    purge(self->on, self->now_us);
    return tell_hold(self, asked, 1, find_holder(self->on, asked->holder));
}

static answer answer_to_downgrade(call_state *self, const call *asked)
{
    holder *it = live_holder(self, asked);
    if (asked->ttl_ms < 1 || !is_span_or_none(asked->ttl_ms) || !is_fence(asked->fence))
        return tell_nothing_done(asked);
    if (it == NULL) return tell_code(self, asked, 0);
    bool is_stale = asked->fence != self->on->fence;
    if (is_stale && it->kind == EXCLUSIVE) return tell_hold(self, asked, 8, it);
    if (!is_stale) mint_for_conversion(self);
    if (it->kind == EXCLUSIVE && count_live(self->on, EXCLUSIVE, self->now_ms) > 1)
        return tell_hold(self, asked, 4, it);
    it->kind = SHARED;
    answer out = tell_hold(self, asked, is_stale ? 8 : 1, it);
    purge(self->on, self->now_us);
    self->is_batch = true;
    serve(self);
    return out;
}

static answer answer_to_inspect(call_state *self, const call *asked)
{
    int64_t waiters = self->on->waiter_count;
    return (answer){{1, asked->nonce, self->now_us, self->on->fence, count_holders(self), waiters},
                    6};
}

answer answer_of(call_state *self, const call *asked)
{
    switch (asked->script) {
    case SCRIPT_ACQUIRE: return answer_to_acquire(self, asked);
    case SCRIPT_RELEASE: return answer_to_release(self, asked);
    case SCRIPT_CANCEL: return answer_to_cancel(self, asked);
    case SCRIPT_RENEW: return answer_to_renew(self, asked);
    case SCRIPT_UPGRADE: return answer_to_upgrade(self, asked);
    case SCRIPT_DOWNGRADE: return answer_to_downgrade(self, asked);
    case SCRIPT_FORCE: return answer_to_force(self, asked);
    default: return answer_to_inspect(self, asked);
    }
}
