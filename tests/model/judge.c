/* SPDX-License-Identifier: MIT
 * The comparison. What the page leaves to a server is taken from it, and checked for being
 * allowed: whether an expired holder is there still, which of the dead in line were found, and
 * where a call stops that does not do it all.
 * Rule: pure. */
#include "model/judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t fence_band = INT64_C(4000000000000000), note_band = INT64_C(20000000000000),
                     shared_band = INT64_C(20000000000000), reader_band = INT64_C(100000000000000),
                     writer_band = INT64_C(4000000000000000);

__attribute__((format(printf, 2, 3))) static void complain(verdict *out, const char *format, ...)
{
    va_list arguments;
    if (out->is_wrong) return;
    out->is_wrong = true;
    va_start(arguments, format);
    vsnprintf(out->why, sizeof out->why, format, arguments);
    va_end(arguments);
}

static bool shows(const picture *shown, const char *name)
{
    for (int i = 0; i < shown->count; i++)
        if (strcmp(shown->members[i].name, name) == 0) return true;
    return false;
}

/* ---- What the server may choose ---------------------------------------------------------------*/

/* Which of the dead it came across. Their number. */
static int drop_the_dead(sequence *self, const picture *shown)
{
    const call *asked = &self->steps[self->at].asked;
    char own[2 * MEMBER_SIZE];
    int count = 0;
    bool names_waiter = asked->script == SCRIPT_ACQUIRE || asked->script == SCRIPT_CANCEL;
    snprintf(own, sizeof own, "%s %s %s", asked->inbox, asked->mode, asked->holder);
    if (asked->script == SCRIPT_RENEW || asked->script == SCRIPT_UPGRADE ||
        asked->script == SCRIPT_INSPECT)
        return 0;
    for (int i = self->model.waiter_count; i-- > 0;) {
        waiter *it = &self->model.waiters[i];
        bool is_own = names_waiter && strcmp(it->member, own) == 0;
        if (is_own || sequence_is_heard(self, it->how.channel) || shows(shown, it->member))
            continue;
        remove_waiter(&self->model, it);
        count++;
    }
    return count;
}

/* Whoever has expired may be gone. */
static void forget_the_expired(lock *self, const picture *shown, int64_t now_ms)
{
    for (int i = self->holder_count; i-- > 0;)
        if (!is_live(&self->holders[i], now_ms) && !shows(shown, self->holders[i].who.member))
            remove_holder(self, &self->holders[i]);
    for (int i = self->buried_count; i-- > 0;)
        if (self->buried[i].ends_ms <= now_ms && !shows(shown, self->buried[i].hold_id))
            self->buried[i] = self->buried[--self->buried_count];
}

/* What was buried until now is there still when a call had no reason to look. */
static void keep_what_is_shown(lock *self, const lock *before, const picture *shown, int64_t now_ms)
{
    for (int i = 0; i < before->buried_count; i++) {
        const mark *it = &before->buried[i];
        bool is_over = it->ends_ms <= now_ms && shows(shown, it->hold_id);
        if (is_over && find_mark(self->buried, self->buried_count, it->hold_id) == NULL)
            self->buried[self->buried_count++] = *it;
    }
}

/* ---- The set ----------------------------------------------------------------------------------*/

static void add_member(verdict *out, const char *prefix, const char *name, int64_t score)
{
    member *it = &out->members[out->member_count++];
    snprintf(it->name, sizeof it->name, "%s%s", prefix, name);
    it->score = score;
}

static int compare_members(const void *a, const void *b)
{
    const member *one = a, *other = b;
    if (one->score != other->score) return one->score < other->score ? -1 : 1;
    return strcmp(one->name, other->name);
}

static void picture_of(const lock *self, verdict *out)
{
    out->member_count = 0;
    if (self->fence > 0) add_member(out, "", "f1", -self->fence - fence_band);
    for (int i = 0; i < self->note_count; i++)
        add_member(out, "?", self->notes[i].hold_id, -self->notes[i].ends_ms - note_band);
    for (int i = 0; i < self->buried_count; i++)
        add_member(out, "", self->buried[i].hold_id, -self->buried[i].ends_ms);
    for (int i = 0; i < self->holder_count; i++)
        add_member(out, "", self->holders[i].who.member,
                   self->holders[i].ends_ms + (self->holders[i].kind == SHARED ? shared_band : 0));
    for (int i = 0; i < self->waiter_count; i++)
        add_member(out, "", self->waiters[i].member,
                   self->waiters[i].arrival_us +
                       (self->waiters[i].how.kind == EXCLUSIVE ? writer_band : 0));
    qsort(out->members, (size_t)out->member_count, sizeof *out->members, compare_members);
}

static void compare_sets(verdict *out, const member *got, int count, const char *what)
{
    for (int i = 0; i < count && i < out->member_count; i++)
        if (compare_members(&got[i], &out->members[i]) != 0)
            complain(out, "%s differs at %d: %s", what, i, got[i].name);
    if (count != out->member_count)
        complain(out, "%s has %d members, not %d", what, count, out->member_count);
}

/* The part of the set that inspect lists. */
static void compare_list(verdict *out, const picture *shown)
{
    int skipped = 0;
    while (skipped < shown->count && shown->members[skipped].score <= 0) skipped++;
    if (shown->listed_count != shown->count - skipped)
        complain(out, "inspect lists %d members", shown->listed_count);
    for (int i = 0; i < shown->listed_count && !out->is_wrong; i++)
        if (compare_members(&shown->listed[i], &shown->members[skipped + i]) != 0)
            complain(out, "inspect lists another member at %d", i);
}

/* ---- The rest ---------------------------------------------------------------------------------*/

/* A release that meets nobody else does not look at the clock. */
static bool may_hide_clock(const call *asked, const answer *got)
{
    return asked->script == SCRIPT_RELEASE && (got->values[0] == 0 || got->values[0] == 1);
}

static void compare_answers(verdict *out, const call *asked, const answer *got)
{
    if (got->count != out->expected.count) complain(out, "the answer has %d numbers", got->count);
    for (int i = 0; i < got->count && !out->is_wrong; i++) {
        if (i == 2 && got->values[2] == 0 && may_hide_clock(asked, got)) continue;
        if (got->values[i] != out->expected.values[i])
            complain(out, "the answer differs in number %d", i + 1);
    }
}

/* `has_more`: it was told a part of them so far, from the first on. */
static void compare_messages(verdict *out, const sequence *self, const call_state *by,
                             bool has_more)
{
    if (has_more ? self->heard_count > by->told_count : self->heard_count != by->told_count)
        complain(out, "%d messages were heard, not %d", self->heard_count, by->told_count);
    for (int i = 0; i < self->heard_count && !out->is_wrong; i++)
        if (strcmp(self->heard[i].channel, by->told[i].channel) != 0 ||
            strcmp(self->heard[i].text, by->told[i].text) != 0)
            complain(out, "the message '%s' on %s should be '%s' on %s", self->heard[i].text,
                     self->heard[i].channel, by->told[i].text, by->told[i].channel);
}

/* The key outlives what is in it. */
static void check_expiry(verdict *out, const sequence *self, const picture *shown, int64_t now_ms)
{
    const lock *model = &self->model;
    if (model->fence == 0) return;
    if (shown->expires_ms == -1) complain(out, "the key never expires");
    for (int i = 0; i < model->holder_count; i++)
        if (is_live(&model->holders[i], now_ms) &&
            shown->expires_ms < model->holders[i].ends_ms + self->grace_ms)
            complain(out, "the key expires at %lld, too early for a holder",
                     (long long)shown->expires_ms);
    for (int i = 0; i < model->buried_count; i++)
        if (model->buried[i].ends_ms > now_ms && shown->expires_ms < model->buried[i].ends_ms)
            complain(out, "the key expires at %lld, too early for what is buried",
                     (long long)shown->expires_ms);
}

/* ---- More are left ----------------------------------------------------------------------------*/

static bool starts_as(const char *name, char first) { return name[0] == first; }

static void adopt_waiter(lock *self, const member *it)
{
    waiter made = {.arrival_us = it->score};
    char claim[24], channel[48], mode[16];
    int at = 0;
    if (sscanf(it->name, "%23s %47s %15s %n", claim, channel, mode, &at) != 3) return;
    char inbox[80];
    snprintf(inbox, sizeof inbox, "%s %s", claim, channel);
    snprintf(made.member, sizeof made.member, "%s", it->name);
    made.how = wish_of(mode, inbox);
    made.who = person_of(it->name + at);
    if (made.how.kind == EXCLUSIVE) made.arrival_us -= writer_band;
    add_waiter(self, &made);
}

static void adopt_mark(mark *out, const char *hold_id, int64_t ends_ms)
{
    snprintf(out->hold_id, sizeof out->hold_id, "%s", hold_id);
    out->ends_ms = ends_ms;
}

/* The server's set becomes the model's. */
static void adopt(lock *self, const picture *shown)
{
    erase(self);
    for (int i = 0; i < shown->count; i++) {
        const member *it = &shown->members[i];
        if (strcmp(it->name, "f1") == 0) self->fence = -it->score - fence_band;
        else if (it->score >= reader_band) adopt_waiter(self, it);
        else if (it->score >= shared_band) {
            person who = person_of(it->name);
            put_holder(self, &who, SHARED, it->score - shared_band);
        } else if (it->score > 0) {
            person who = person_of(it->name);
            put_holder(self, &who, EXCLUSIVE, it->score);
        } else if (starts_as(it->name, '?'))
            adopt_mark(&self->notes[self->note_count++], it->name + 1, -it->score - note_band);
        else adopt_mark(&self->buried[self->buried_count++], it->name, -it->score);
    }
}

/* Nobody holds who neither held before nor would in the end; nobody is in line who was not, or
 * would not be, but the one that asks. */
static void check_members(verdict *out, const lock *before, const call_state *by,
                          const picture *shown)
{
    const lock *after = by->on;
    static lock now;
    now.bounds = before->bounds;
    adopt(&now, shown);
    for (int i = 0; i < now.holder_count; i++) {
        char *name = now.holders[i].who.member;
        if (find_holder((lock *)(uintptr_t)before, name) == NULL &&
            find_holder((lock *)(uintptr_t)after, name) == NULL)
            complain(out, "%s holds, and may not", name);
    }
    for (int i = 0; i < now.waiter_count; i++) {
        char *name = now.waiters[i].member;
        if (strcmp(name, by->self) == 0) continue;
        if (find_waiter((lock *)(uintptr_t)before, name) == NULL &&
            find_waiter((lock *)(uintptr_t)after, name) == NULL)
            complain(out, "%s waits, and should not", name);
    }
}

static void check_exclusion(verdict *out, const lock *self, int64_t now_ms)
{
    const holder *writer = NULL;
    for (int i = 0; i < self->holder_count; i++) {
        const holder *it = &self->holders[i];
        if (it->kind != EXCLUSIVE || !is_live(it, now_ms)) continue;
        bool is_same = writer == NULL ||
                       (strcmp(writer->who.owner, it->who.owner) == 0 && *it->who.owner == '@');
        if (!is_same)
            complain(out, "%s and %s hold exclusively", writer->who.member, it->who.member);
        writer = it;
    }
    if (writer != NULL && count_live(self, SHARED, now_ms) > 0)
        complain(out, "a reader is beside a writer");
}

/* A part of the work was done: what was done is right, and as much as a call does. */
static void judge_part(sequence *self, const picture *shown, verdict *out, const lock *before,
                       const call_state *by)
{
    if (by->gone < before->bounds->portion)
        complain(out, "more are said to be left, but %d were to be served", by->gone);
    compare_messages(out, self, by, true);
    check_members(out, before, by, shown);
    adopt(&self->model, shown);
    picture_of(&self->model, out);
    check_exclusion(out, &self->model, by->now_ms);
    if (self->model.waiter_count > before->waiter_count - before->bounds->portion + 1)
        complain(out, "more are said to be left, but nothing was done");
}

/* ---- A step -----------------------------------------------------------------------------------*/

static void begin_step(sequence *self, const step *now)
{
    bool is_expired = self->expires_ms >= 0 && now->now_us / 1000 > self->expires_ms;
    if (is_expired || now->is_flushed) erase(&self->model);
}

/* Did the call stop before all was done? Whoever was let in itself is told so instead. */
static bool is_part(const sequence *self, const step *now, const call_state *by)
{
    bool is_let_in = now->asked.script == SCRIPT_ACQUIRE && now->got.values[0] == 1 &&
                     by->granted != 0;
    return now->got.values[0] == 7 || (is_let_in && by->gone >= self->model.bounds->portion);
}

static void judge_whole(sequence *self, const picture *shown, verdict *out, const lock *before,
                        const call_state *by)
{
    keep_what_is_shown(&self->model, before, shown, by->now_ms);
    forget_the_expired(&self->model, shown, by->now_ms);
    picture_of(&self->model, out);
    compare_sets(out, shown->members, shown->count, "the set");
    compare_messages(out, self, by, false);
}

/* What a server may do in more than one way: the dead are found before the others are served, or
 * by and by; whoever has expired is looked for, or not. */
enum { DEAD_FIRST = 1, THOROUGH = 2, WAYS = 4 };

static void try_step(sequence *self, const picture *shown, verdict *out, const lock *before,
                     int way)
{
    bool are_found_first = (way & DEAD_FIRST) != 0;
    const step *now = &self->steps[self->at];
    out->is_wrong = false;
    self->model = *before;
    int dropped = are_found_first ? drop_the_dead(self, shown) : 0;
    call_state by = {.on = &self->model,
                     .key = self->key,
                     .now_us = now->now_us,
                     .now_ms = now->now_us / 1000,
                     .is_heard = sequence_is_heard,
                     .by = self,
                     .gone = dropped,
                     .is_thorough = (way & THOROUGH) != 0,
                     .barred_ms = -1};
    out->expected = answer_of(&by, &now->asked);
    if (shown->error[0] != '\0') complain(out, "the answer is an error: %s", shown->error);
    if (!are_found_first) by.gone += drop_the_dead(self, shown);
    if (now->got.values[0] != 7) compare_answers(out, &now->asked, &now->got);
    if (is_part(self, now, &by)) judge_part(self, shown, out, before, &by);
    else judge_whole(self, shown, out, before, &by);
    if (now->asked.script == SCRIPT_INSPECT && !out->is_wrong) compare_list(out, shown);
    check_expiry(out, self, shown, by.now_ms);
    check_exclusion(out, &self->model, by.now_ms);
}

void judge_step(sequence *self, const picture *shown, verdict *out)
{
    static lock before;
    begin_step(self, &self->steps[self->at]);
    before = self->model;
    try_step(self, shown, out, &before, 0);
    for (int way = 1; way < WAYS && out->is_wrong; way++) try_step(self, shown, out, &before, way);
    if (out->is_wrong) try_step(self, shown, out, &before, 0); /* to be told */
    self->expires_ms = shown->expires_ms;
    self->has_failed = out->is_wrong;
}
