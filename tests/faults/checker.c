/* SPDX-License-Identifier: MIT
 * The checker. Pure: no clock, no shared memory. The sections of one name are walked in the order
 * of their entries. */
#include "faults/checker.h"

#include <stdlib.h>

/* What is known of the first n sections of a name, for each n. */
typedef struct past {
    const section *highest;    /* with the highest fence */
    const section *last_write; /* whose last write was accepted last */
} past;

typedef struct review {
    const evidence *from;
    checker_tell *tell;
    void *arg;
    findings found;
    const section **inside; /* believed in when the current one enters */
    size_t inside_count;
    past *pasts;
} review;

/* ---- Losses of data ---------------------------------------------------------------------------*/

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static bool has_loss(const review *self, int name, int64_t from_us, int64_t to_us)
{
    for (size_t i = 0; i < self->from->loss_count; i++) {
        const loss *one = &self->from->losses[i];
        bool is_of_name = one->name == ALL_NAMES || one->name == name;
        if (is_of_name && one->from_us <= to_us && one->to_us >= from_us) return true;
    }
    return false;
}

/* May the server have lost one between granting it and granting the other? */
static bool has_loss_between(const review *self, const section *one, const section *other)
{
    return has_loss(self, one->name, least(one->asked_us, other->asked_us),
                    most(one->enter_us, other->enter_us));
}

/* And may both believe when the later one enters? What was lost is not renewed: its lease ends. */
static bool excuses_overlap(const review *self, const section *one, const section *other)
{
    int64_t enter_us = most(one->enter_us, other->enter_us),
            lease_us = most(one->ttl_ms, other->ttl_ms) * 1000;
    return has_loss_between(self, one, other) &&
           has_loss(self, one->name, enter_us - lease_us, enter_us);
}

static void find(review *self, long *counter, const char *what, const section *one,
                 const section *other)
{
    (*counter)++;
    if (self->tell != NULL) self->tell(self->arg, what, one, other);
}

/* ---- Exclusion --------------------------------------------------------------------------------*/

static int64_t end_of(const section *self)
{
    if (self->leave_us == 0) return self->until_us;
    return self->lost_us == 0 ? self->leave_us : least(self->leave_us, self->until_us);
}

static bool is_shared(const section *self) { return self->mode == REDLOCK_SHARED; }

static bool are_of_one_owner(const section *one, const section *other)
{
    return one->owner != 0 && one->owner == other->owner;
}

static bool may_be_together(const section *one, const section *other)
{
    if (one->mode != other->mode) return false;
    return is_shared(one) || are_of_one_owner(one, other);
}

static void forget_those_who_left(review *self, int64_t now_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->inside_count; i++)
        if (end_of(self->inside[i]) > now_us) self->inside[kept++] = self->inside[i];
    self->inside_count = kept;
}

static void check_entry(review *self, const section *one)
{
    size_t beside = 0; /* that the server knew of when it let this one in */
    forget_those_who_left(self, one->enter_us);
    for (size_t i = 0; i < self->inside_count; i++) {
        const section *other = self->inside[i];
        bool is_excused = excuses_overlap(self, one, other),
             excludes = !may_be_together(one, other);
        beside += !is_excused && !are_of_one_owner(one, other);
        if (excludes && is_excused) self->found.excused++;
        else if (excludes)
            find(self, &self->found.overlaps, "two that exclude each other", one, other);
    }
    if (is_shared(one) && one->permits > 0 && beside >= one->permits)
        find(self, &self->found.overlaps, "more than there are permits", one, self->inside[0]);
    self->inside[self->inside_count++] = one;
}

/* ---- Order ------------------------------------------------------------------------------------*/

/* How many of the first `count` had entered by then? They are in the order of their entries. */
static size_t entered_by(const section *first, size_t count, int64_t at_us)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (first[middle].enter_us <= at_us) low = middle + 1;
        else count = middle;
    }
    return low;
}

static bool may_follow(const section *one, const section *earlier)
{
    if (one->fence != earlier->fence) return one->fence > earlier->fence;
    return is_shared(one) || are_of_one_owner(one, earlier);
}

/* Who enters beside others has their fence. After a loss of data these may be ghosts: holders of
 * long ago, whom the server remembers again. */
static bool may_have_a_fence_of_ghosts(const review *self, const section *one,
                                       const section *highest)
{
    return (is_shared(one) || one->owner != 0) && has_loss_between(self, one, highest);
}

/* Those before it are all who entered earlier; or, if data was lost while it asked, or if it enters
 * beside others, all who entered before it asked: a refused conversion mints a fence, so that of
 * two readers the one whose answer took longer may have the lower one. */
static void check_fence(review *self, const section *first, size_t index)
{
    const section *one = &first[index];
    bool is_blurred = is_shared(one) || has_loss(self, one->name, one->asked_us, one->enter_us);
    const section *highest =
        self->pasts[is_blurred ? entered_by(first, index, one->asked_us) : index].highest;
    if (one->is_continued) return;
    if (one->fence <= self->from->floors[one->name])
        find(self, &self->found.falling_fences, "a fence of an earlier day", one, NULL);
    else if (highest == NULL || may_follow(one, highest)) return;
    else if (may_have_a_fence_of_ghosts(self, one, highest)) self->found.excused++;
    else find(self, &self->found.falling_fences, "a fence that does not rise", one, highest);
}

static void check_writes(review *self, const section *first, size_t index)
{
    const section *one = &first[index],
                  *other = self->pasts[entered_by(first, index, one->asked_us)].last_write;
    if (one->first_written_us != 0 && other != NULL &&
        other->last_written_us > one->first_written_us)
        find(self, &self->found.stale_writes, "an older holder's write after a newer one's", other,
             one);
}

static void remember(review *self, size_t index, const section *one)
{
    past *now = &self->pasts[index + 1];
    *now = self->pasts[index];
    if (now->highest == NULL || one->fence > now->highest->fence) now->highest = one;
    if (now->last_write == NULL || one->last_written_us > now->last_write->last_written_us)
        now->last_write = one;
}

/* ---- One section for itself -------------------------------------------------------------------*/

static const char *overstay_of(const section *self, int64_t lateness_us)
{
    int64_t end_us = self->until_us + lateness_us + self->stall_us;
    bool is_settled = self->settled_us != 0;
    if (self->most_left_ms > self->ttl_ms) return "promised more than its lease";
    if (self->leave_us > end_us) return "went on beyond its promise";
    if (self->lost_us == 0) return NULL;
    if (self->told_us > end_us) return "told too late";
    if (is_settled && self->told_us == 0 && self->settled_us > end_us) return "never told";
    if (is_settled && self->released == REDLOCK_OK) return "lost, and released as if it were not";
    return NULL;
}

static bool was_robbed(const section *self)
{
    if (self->lost_us != 0) return self->lost_us < self->until_us;
    return self->released == REDLOCK_LOST && self->settled_us < self->until_us;
}

static void check_alone(review *self, const section *one)
{
    const char *overstay = overstay_of(one, self->from->lateness_us);
    if (overstay != NULL) find(self, &self->found.overstays, overstay, one, NULL);
    if (!was_robbed(one)) return;
    if (has_loss(self, one->name, one->asked_us, most(one->lost_us, one->settled_us)))
        self->found.excused++;
    else find(self, &self->found.robberies, "lost before its promise had ended", one, NULL);
}

/* ---- All of them ------------------------------------------------------------------------------*/

static int by_name_and_entry(const void *a, const void *b)
{
    const section *one = a, *other = b;
    if (one->name != other->name) return one->name < other->name ? -1 : 1;
    return (one->enter_us > other->enter_us) - (one->enter_us < other->enter_us);
}

static void check_name(review *self, const section *first, size_t count)
{
    self->inside_count = 0;
    self->pasts[0] = (past){0};
    for (size_t i = 0; i < count; i++) {
        check_alone(self, &first[i]);
        check_entry(self, &first[i]);
        check_fence(self, first, i);
        check_writes(self, first, i);
        remember(self, i, &first[i]);
    }
}

findings check(const evidence *from, checker_tell *tell, void *arg)
{
    review self = {.from = from, .tell = tell, .arg = arg};
    self.inside = calloc(from->count + 1, sizeof *self.inside);
    self.pasts = calloc(from->count + 1, sizeof *self.pasts);
    if (self.inside == NULL || self.pasts == NULL) abort();
    qsort(from->sections, from->count, sizeof *from->sections, by_name_and_entry);
    for (size_t start = 0, end = 0; start < from->count; start = end) {
        while (end < from->count && from->sections[end].name == from->sections[start].name) end++;
        check_name(&self, from->sections + start, end - start);
    }
    free(self.inside);
    free(self.pasts);
    return self.found;
}
