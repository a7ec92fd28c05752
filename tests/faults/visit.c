/* SPDX-License-Identifier: MIT
 * Sections, as their holders see them. Rule: the clock is read before a promise, and after a loss,
 * so that nothing is written down that was not so. */
#include "faults/visit.h"

#include <stdio.h>
#include <stdlib.h>

#include "faults/pulse.h"

enum {
    WORK_MOST_US = 8000,
    LONG_ONE_IN = 300,
    PAUSE_MOST_US = 12000,
    PAUSE_REFUSED_US = 30000,
    CLAIM_MS = 300
};

void visit_open(visit *self, ledger *all, int number, uint64_t seed)
{
    *self = (visit){.number = number,
                    .wants = &demands[number],
                    .seat = &all->seats[number],
                    .resources = all->resources,
                    .dice = dice_for(seed, (uint64_t)number)};
    snprintf(self->owner, sizeof self->owner, "seat-%d", number);
}

static int choose_name(visit *self)
{
    int name;
    do name = (int)dice_below(&self->dice, NAMES);
    while ((self->wants->names & 1u << name) == 0);
    return name;
}

static void note_told(void *arg, redlock_lock *lock)
{
    visit *self = arg;
    (void)lock;
    atomic_store(&self->told_us, boot_us());
}

redlock_options visit_plan(visit *self)
{
    const demand *wants = self->wants;
    self->name = choose_name(self);
    self->lock = NULL;
    self->page = NULL;
    atomic_store(&self->told_us, 0);
    self->asked_us = boot_us();
    return (redlock_options){.struct_size = sizeof(redlock_options),
                             .mode = wants->mode,
                             .policy = REDLOCK_FAIR,
                             .permits = wants->permits,
                             .reentrant = wants->is_reentrant,
                             .owner = wants->is_reentrant ? self->owner : NULL,
                             .ttl_ms = wants->ttl_ms,
                             .wait_ms = wants->wait_ms,
                             .auto_renew = wants->auto_renew,
                             .claim_ms = CLAIM_MS,
                             .on_lost = note_told,
                             .on_lost_arg = self};
}

void visit_answered(visit *self, redlock_status status, redlock_lock *lock)
{
    bool is_progress = status == REDLOCK_OK ||
                       (status == REDLOCK_BUSY && self->wants->wait_ms == 0);
    int place = (int)status - STATUS_LEAST;
    if (place < 0 || place >= STATUSES) place = 0;
    self->lock = lock;
    self->fence = 0;
    atomic_fetch_add(&self->seat->ended_with[place], 1);
    if (is_progress) atomic_fetch_add(&self->seat->answers, 1);
}

static void note_promise(section *page, const redlock_lock *lock)
{
    int64_t now_us = boot_us(), left_ms = redlock_remaining_ms(lock);
    if (left_ms > page->most_left_ms) page->most_left_ms = left_ms;
    if (left_ms > 0 && now_us + left_ms * 1000 > page->until_us)
        page->until_us = now_us + left_ms * 1000;
}

/* Mostly short; now and then for longer than the lease, which the renewed survive and the others
 * notice. */
static int64_t choose_end_us(visit *self)
{
    bool is_long = dice_below(&self->dice, LONG_ONE_IN) == 0;
    int64_t lease_us = self->wants->ttl_ms * 1000;
    int64_t span_us = is_long ? lease_us + dice_below(&self->dice, lease_us / 4)
                              : dice_below(&self->dice, WORK_MOST_US);
    return boot_us() + span_us;
}

bool visit_enter(visit *self)
{
    int index = atomic_load(&self->seat->count);
    if (index >= SECTIONS_MOST) return false;
    section *page = &self->seat->sections[index];
    *page = (section){.fence = redlock_fence(self->lock),
                      .asked_us = self->asked_us,
                      .ttl_ms = self->wants->ttl_ms,
                      .permits = self->wants->permits,
                      .owner = self->wants->is_reentrant ? (uint32_t)self->number + 1 : 0,
                      .name = (uint8_t)self->name,
                      .seat = (uint8_t)self->number,
                      .mode = (uint8_t)redlock_lock_mode(self->lock)};
    page->is_continued = page->fence == self->fence;
    self->fence = page->fence;
    self->queued_us = pulse_queued_us();
    page->enter_us = boot_us();
    note_promise(page, self->lock);
    if (page->until_us == 0) {
        atomic_fetch_add(&self->seat->stale, 1);
        return false;
    }
    atomic_store(&self->seat->count, index + 1);
    self->page = page;
    self->end_us = choose_end_us(self);
    return true;
}

static void write_to_resource(section *page, resource *to)
{
    int64_t before_us = boot_us();
    if (!resource_write(to, page->fence)) {
        page->refused++;
        return;
    }
    page->last_written_us = before_us;
    if (page->first_written_us == 0) page->first_written_us = boot_us();
}

static bool is_ours(visit *self)
{
    if (redlock_is_held(self->lock)) return true;
    if (self->page->lost_us == 0) self->page->lost_us = boot_us();
    return false;
}

bool visit_work(visit *self)
{
    if (!is_ours(self)) return false;
    note_promise(self->page, self->lock);
    if (self->page->mode == REDLOCK_EXCLUSIVE)
        write_to_resource(self->page, &self->resources[self->name]);
    return boot_us() < self->end_us;
}

static void note_stall(const visit *self, section *page)
{
    int64_t queued_us = pulse_queued_us() -
                        self->queued_us; /* below 0: a thread ended, and counts no more */
    page->stall_us = pulse_stall_us(page->enter_us) + (queued_us > 0 ? queued_us : 0);
}

void visit_leave(visit *self)
{
    if (self->page == NULL) return;
    int64_t leave_us = boot_us();
    (void)is_ours(self);
    note_stall(self, self->page);
    self->page->leave_us = leave_us;
}

void visit_convert(visit *self)
{
    self->page = NULL;
    self->asked_us = boot_us();
}

bool visit_awaits_word(const visit *self)
{
    if (self->page == NULL || self->page->lost_us == 0 || atomic_load(&self->told_us) != 0)
        return false;
    return boot_us() < self->page->lost_us + TOLD_WITHIN_US;
}

void visit_settle(visit *self, redlock_status released)
{
    section *page = self->page;
    int64_t now_us = boot_us();
    self->page = NULL;
    self->lock = NULL;
    if (page == NULL) return;
    note_stall(self, page);
    page->told_us = atomic_load(&self->told_us);
    page->released = (int32_t)released;
    page->settled_us = now_us;
}

int64_t visit_pause_us(visit *self, redlock_status last)
{
    return last < 0 ? PAUSE_REFUSED_US : dice_below(&self->dice, PAUSE_MOST_US);
}
