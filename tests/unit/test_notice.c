/* SPDX-License-Identifier: MIT
 * engine/notice: what a user is told, and how often. Every order of events, up to a length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/notice.h"

enum { LONGEST = 9 };

/* What has happened, in plain words. */
typedef struct story {
    enum notice state;
    bool has_ended, was_let_go;
    int warnings, renewals, losses; /* that were told; since the latest renewal; that were told */
} story;

static unsigned long walked;

/* Whoever drives it makes a callback only when it is due, and one at a time. */
static bool can_happen(const story *of, enum notice_event what)
{
    switch (what) {
    case NOTICE_WARNS: return of->state == NOTICE_NONE && !of->has_ended && !of->was_let_go;
    case NOTICE_TELLS: return of->state == NOTICE_LOST;
    case NOTICE_RETURNED: return notice_is_running(of->state);
    case NOTICE_RENEWED: return !of->has_ended && !of->was_let_go;
    case NOTICE_ENDED: return !of->has_ended && !of->was_let_go;
    case NOTICE_LET_GO: return !of->was_let_go;
    case NOTICE_EVENTS: break;
    }
    return false;
}

static void happen(story *to, enum notice_event what)
{
    to->state = notice_after(to->state, what);
    to->warnings += what == NOTICE_WARNS;
    to->losses += what == NOTICE_TELLS;
    to->has_ended |= what == NOTICE_ENDED;
    to->was_let_go |= what == NOTICE_LET_GO;
    if (what == NOTICE_RENEWED) to->renewals++;
}

static void judge(const story *of, enum notice_event last)
{
    bool is_told = of->state == NOTICE_TELLING || of->state == NOTICE_TOLD;
    bool is_due = of->state == NOTICE_LOST || of->state == NOTICE_BEREFT;
    assert_true(of->warnings <= of->renewals + 1);
    assert_in_range(of->losses, 0, 1);
    assert_int_equal(is_told, of->losses == 1);
    assert_true(!is_due || (of->has_ended && !of->was_let_go && of->losses == 0));
    assert_true(!of->has_ended || of->was_let_go || is_told || is_due);
    if (last == NOTICE_RENEWED && of->state != NOTICE_NONE)
        assert_int_equal(of->state, NOTICE_RELIEVED);
}

static void walk(const story *from, int left)
{
    walked++;
    for (int what = 0; left > 0 && what < NOTICE_EVENTS; what++) {
        if (!can_happen(from, (enum notice_event)what)) continue;
        story next = *from;
        happen(&next, (enum notice_event)what);
        judge(&next, (enum notice_event)what);
        walk(&next, left - 1);
    }
}

static void a_loss_is_told_once_and_a_risk_once_for_each_renewal(void **state)
{
    (void)state;
    walk(&(story){.state = NOTICE_NONE}, LONGEST);
    assert_true(walked > 1000);
}

static enum notice after(int count, const enum notice_event *events)
{
    enum notice self = NOTICE_NONE;
    for (int i = 0; i < count; i++) self = notice_after(self, events[i]);
    return self;
}
#define AFTER(...)                                                                                 \
    after((int)(sizeof((enum notice_event[]){__VA_ARGS__}) / sizeof(enum notice_event)),           \
          (enum notice_event[]){__VA_ARGS__})

static void what_was_lost_while_it_was_at_risk_is_told_behind_that(void **state)
{
    (void)state;
    assert_int_equal(AFTER(NOTICE_WARNS, NOTICE_ENDED), NOTICE_BEREFT);
    assert_int_equal(AFTER(NOTICE_WARNS, NOTICE_ENDED, NOTICE_RETURNED), NOTICE_LOST);
    assert_int_equal(AFTER(NOTICE_WARNS, NOTICE_RENEWED, NOTICE_ENDED, NOTICE_RETURNED),
                     NOTICE_LOST);
}

static void whoever_let_go_hears_no_more(void **state)
{
    (void)state;
    assert_int_equal(AFTER(NOTICE_ENDED, NOTICE_LET_GO), NOTICE_NONE);
    assert_int_equal(AFTER(NOTICE_WARNS, NOTICE_ENDED, NOTICE_LET_GO), NOTICE_WARNING);
    assert_int_equal(AFTER(NOTICE_WARNS, NOTICE_ENDED, NOTICE_LET_GO, NOTICE_RETURNED),
                     NOTICE_WARNED);
}

static void a_risk_that_is_over_before_its_callback_may_be_told_anew(void **state)
{
    (void)state;
    assert_int_equal(AFTER(NOTICE_WARNS, NOTICE_RENEWED, NOTICE_RETURNED), NOTICE_NONE);
    assert_int_equal(AFTER(NOTICE_WARNS, NOTICE_RETURNED), NOTICE_WARNED);
    assert_int_equal(AFTER(NOTICE_WARNS, NOTICE_RETURNED, NOTICE_WARNS), NOTICE_WARNED);
    assert_int_equal(AFTER(NOTICE_WARNS, NOTICE_RETURNED, NOTICE_RENEWED), NOTICE_NONE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_is_told_once_and_a_risk_once_for_each_renewal),
        cmocka_unit_test(what_was_lost_while_it_was_at_risk_is_told_behind_that),
        cmocka_unit_test(whoever_let_go_hears_no_more),
        cmocka_unit_test(a_risk_that_is_over_before_its_callback_may_be_told_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
