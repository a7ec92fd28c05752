/* SPDX-License-Identifier: MIT
 * The lock of the model: what its members are, and how each part of it changes.
 * Rule: pure. Lines are short and searched from the front; what is in order is put there when it
 * is asked for. */
#include "model/lock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ----------------------------------------------------------------------------------*/

person person_of(const char *member)
{
    person out;
    snprintf(out.member, sizeof out.member, "%s", member);
    int fields = sscanf(member, "%39s %39s", out.owner, out.hold_id);
    assert(fields == 2);
    (void)fields;
    return out;
}

/* What follows the kind: a policy, a limit. */
static bool read_rules(wish *out, const char *rest)
{
    char *end;
    if (*rest == 'f' || *rest == 'w') out->policy = *rest++;
    if (*rest == '\0') return true;
    if (*rest++ != '/' || *rest < '1' || *rest > '9') return false;
    out->limit = strtoll(rest, &end, 10);
    return *end == '\0';
}

wish wish_of(const char *mode, const char *inbox)
{
    wish out = {.kind = *mode == 's' ? SHARED : EXCLUSIVE};
    snprintf(out.mode, sizeof out.mode, "%s", *mode != '\0' ? mode : "x");
    if ((out.mode[0] != 'x' && out.mode[0] != 's') || !read_rules(&out, out.mode + 1))
        out.kind = (enum kind)0;
    const char *channel = strchr(inbox, ' ');
    if (channel == NULL) return out;
    out.claim_ms = strtoll(inbox, NULL, 10);
    snprintf(out.channel, sizeof out.channel, "%s", channel + 1);
    return out;
}

bool is_same_client(const char *hold_id, const char *other)
{
    const char *dot = strchr(hold_id, '.');
    return dot != NULL && strncmp(hold_id, other, (size_t)(dot - hold_id) + 1) == 0;
}

/* ---- Looking ----------------------------------------------------------------------------------*/

holder *find_holder(lock *self, const char *member)
{
    for (int i = 0; i < self->holder_count; i++)
        if (strcmp(self->holders[i].who.member, member) == 0) return &self->holders[i];
    return NULL;
}

/* A lease that ends now is over. */
bool is_live(const holder *it, int64_t now_ms) { return it->ends_ms > now_ms; }

int count_live(const lock *self, enum kind kind, int64_t now_ms)
{
    int count = 0;
    for (int i = 0; i < self->holder_count; i++)
        count += self->holders[i].kind == kind && is_live(&self->holders[i], now_ms);
    return count;
}

waiter *find_waiter(lock *self, const char *member)
{
    for (int i = 0; i < self->waiter_count; i++)
        if (strcmp(self->waiters[i].member, member) == 0) return &self->waiters[i];
    return NULL;
}

int count_waiting(const lock *self, enum kind kind)
{
    int count = 0;
    for (int i = 0; i < self->waiter_count; i++) count += self->waiters[i].how.kind == kind;
    return count;
}

static bool is_before(const waiter *a, const waiter *b)
{
    if (a->arrival_us != b->arrival_us) return a->arrival_us < b->arrival_us;
    return strcmp(a->member, b->member) < 0;
}

waiter *next_waiting(lock *self, enum kind kind, const waiter *behind)
{
    waiter *first = NULL;
    for (int i = 0; i < self->waiter_count; i++) {
        waiter *it = &self->waiters[i];
        if (it->how.kind != kind || (behind != NULL && !is_before(behind, it))) continue;
        if (first == NULL || is_before(it, first)) first = it;
    }
    return first;
}

mark *find_mark(mark *from, int count, const char *hold_id)
{
    for (int i = 0; i < count; i++)
        if (strcmp(from[i].hold_id, hold_id) == 0) return &from[i];
    return NULL;
}

/* ---- Changing ---------------------------------------------------------------------------------*/

void put_holder(lock *self, const person *who, enum kind kind, int64_t ends_ms)
{
    holder *it = find_holder(self, who->member);
    if (it == NULL) {
        assert(self->holder_count < HOLDERS_MOST);
        it = &self->holders[self->holder_count++];
    }
    *it = (holder){.who = *who, .kind = kind, .ends_ms = ends_ms};
}

void remove_holder(lock *self, holder *it) { *it = self->holders[--self->holder_count]; }

void add_waiter(lock *self, const waiter *it)
{
    assert(self->waiter_count < WAITERS_MOST);
    self->waiters[self->waiter_count++] = *it;
}

void take_from_line(lock *self, waiter *it) { *it = self->waiters[--self->waiter_count]; }

void remove_waiter(lock *self, waiter *it)
{
    forget_note(self, it->who.hold_id);
    take_from_line(self, it);
}

void forget_note(lock *self, const char *hold_id)
{
    mark *note = find_mark(self->notes, self->note_count, hold_id);
    if (note != NULL) *note = self->notes[--self->note_count];
}

void set_note(lock *self, const char *hold_id, int64_t ends_ms)
{
    assert(self->note_count < WAITERS_MOST);
    mark *note = &self->notes[self->note_count++];
    snprintf(note->hold_id, sizeof note->hold_id, "%s", hold_id);
    note->ends_ms = ends_ms;
}

static mark *ends_first(lock *self)
{
    mark *first = &self->buried[0];
    for (int i = 1; i < self->buried_count; i++) {
        const mark *it = &self->buried[i];
        /* Of two that end together the later by name has the higher rank. */
        if (it->ends_ms < first->ends_ms ||
            (it->ends_ms == first->ends_ms && strcmp(it->hold_id, first->hold_id) > 0))
            first = &self->buried[i];
    }
    return first;
}

void bury(lock *self, const char *hold_id, int64_t ms, int64_t now_us)
{
    if (ms == 0) return;
    if (self->fence == 0) self->fence = now_us;
    int64_t ends_ms = now_us / 1000 + ms;
    mark *it = find_mark(self->buried, self->buried_count, hold_id);
    if (it != NULL) {
        if (it->ends_ms < ends_ms) it->ends_ms = ends_ms;
        return;
    }
    if (self->buried_count >= self->bounds->buried) {
        mark *first = ends_first(self);
        *first = self->buried[--self->buried_count];
    }
    assert(self->buried_count < BURIED_SIZE);
    it = &self->buried[self->buried_count++];
    snprintf(it->hold_id, sizeof it->hold_id, "%s", hold_id);
    it->ends_ms = ends_ms;
}

/* ---- What is over -----------------------------------------------------------------------------*/

/* The expired holder of a kind that ended first. */
static holder *first_expired(lock *self, enum kind kind, int64_t now_ms)
{
    holder *first = NULL;
    for (int i = 0; i < self->holder_count; i++) {
        holder *it = &self->holders[i];
        if (it->kind != kind || is_live(it, now_ms)) continue;
        if (first == NULL || it->ends_ms < first->ends_ms ||
            (it->ends_ms == first->ends_ms && strcmp(it->who.member, first->who.member) < 0))
            first = it;
    }
    return first;
}

static bool has_client(const holder *gone, int count, const char *hold_id)
{
    for (int i = 0; i < count; i++)
        if (is_same_client(gone[i].who.hold_id, hold_id)) return true;
    return false;
}

/* The clients of these may be frozen. A call looks at no more than a portion of the line, readers
 * first. */
static void send_to_the_end(lock *self, const holder *gone, int count, int64_t now_us)
{
    waiter *moved[WAITERS_MOST];
    int looked_at = 0, moved_count = 0;
    for (enum kind kind = SHARED; kind >= EXCLUSIVE; kind = (enum kind)(kind - 1))
        for (waiter *it = NULL;
             (it = next_waiting(self, kind, it)) != NULL && looked_at < self->bounds->portion;) {
            looked_at++;
            if (has_client(gone, count, it->who.hold_id)) moved[moved_count++] = it;
        }
    for (int i = 0; i < moved_count; i++) moved[i]->arrival_us = now_us;
}

static int take_out(lock *self, enum kind kind, int64_t now_us)
{
    holder gone[HOLDERS_MOST];
    int count = 0;
    for (holder *it; (it = first_expired(self, kind, now_us / 1000)) != NULL; count++) {
        gone[count] = *it;
        remove_holder(self, it);
    }
    int known = count < self->bounds->portion ? count : self->bounds->portion;
    if (known > 0) send_to_the_end(self, gone, known, now_us);
    return count;
}

enum kind purge(lock *self, int64_t now_us)
{
    for (int i = self->buried_count; i-- > 0;)
        if (self->buried[i].ends_ms <= now_us / 1000)
            self->buried[i] = self->buried[--self->buried_count];
    int writers = take_out(self, EXCLUSIVE, now_us), readers = take_out(self, SHARED, now_us);
    return writers > 0 ? EXCLUSIVE : readers > 0 ? SHARED : (enum kind)0;
}

void erase(lock *self)
{
    const limits *bounds = self->bounds;
    *self = (lock){.bounds = bounds};
}
