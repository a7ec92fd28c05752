/* SPDX-License-Identifier: MIT
 * Made-up logs for the checker. Rule: each broken one is a good one with one thing changed. */
#ifndef REDLOCK_TESTS_FAULTS_MADE_UP_LOG_H
#define REDLOCK_TESTS_FAULTS_MADE_UP_LOG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "faults/checker.h"

enum { LATENESS_US = 100000, TTL_MS = 500, PAGES_MOST = 8 };

static section pages[PAGES_MOST];
static size_t page_count;
static loss losses[2];
static size_t loss_count;
static uint64_t floors[NAMES];

static inline int start(void **state)
{
    (void)state;
    memset(pages, 0, sizeof pages);
    memset(floors, 0, sizeof floors);
    page_count = loss_count = 0;
    return 0;
}

static inline section *add(redlock_mode mode, int64_t enter_us, int64_t leave_us)
{
    section *made = &pages[page_count];
    *made = (section){.fence = 1000 + page_count,
                      .asked_us = enter_us - 1000,
                      .enter_us = enter_us,
                      .until_us = enter_us + TTL_MS * 1000,
                      .leave_us = leave_us,
                      .settled_us = leave_us + 500,
                      .most_left_ms = TTL_MS,
                      .ttl_ms = TTL_MS,
                      .seat = (uint8_t)page_count,
                      .mode = (uint8_t)mode};
    page_count++;
    return made;
}

static inline section *write_from(int64_t enter_us, int64_t leave_us)
{
    return add(REDLOCK_EXCLUSIVE, enter_us, leave_us);
}
static inline section *read_from(int64_t enter_us, int64_t leave_us)
{
    return add(REDLOCK_SHARED, enter_us, leave_us);
}

/* Killed inside. */
static inline section *die_in(section *page)
{
    page->leave_us = page->settled_us = 0;
    return page;
}

/* Lost when the promise ended, and told so. */
static inline section *lose(section *page)
{
    page->leave_us = page->lost_us = page->told_us = page->until_us + 1000;
    page->settled_us = page->until_us + 2000;
    page->released = REDLOCK_LOST;
    return page;
}

static inline void lose_data(int name, int64_t at_us)
{
    losses[loss_count++] = (loss){.from_us = at_us, .to_us = at_us + 10, .name = name};
}

static inline findings judge(void)
{
    section copy[PAGES_MOST]; /* the checker puts them in order */
    memcpy(copy, pages, sizeof copy);
    evidence from = {copy, page_count, losses, loss_count, floors, LATENESS_US};
    return check(&from, NULL, NULL);
}

static inline long sum(const findings *found)
{
    return found->overlaps + found->falling_fences + found->overstays + found->robberies +
           found->stale_writes;
}

static inline void assert_clean(void)
{
    findings found = judge();
    assert_int_equal(sum(&found), 0);
    assert_int_equal(found.excused, 0);
}

#define ASSERT_ONLY(kind)                                                                          \
    do {                                                                                           \
        findings found_ = judge();                                                                 \
        assert_int_equal(found_.kind, 1);                                                          \
        assert_int_equal(sum(&found_), 1);                                                         \
    } while (0)

static inline void assert_excused(void)
{
    findings found = judge();
    assert_int_equal(sum(&found), 0);
    assert_int_equal(found.excused, 1);
}

#define ON_A_FRESH_LOG(name) cmocka_unit_test_setup(name, start)

#endif
