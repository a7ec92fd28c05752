/* SPDX-License-Identifier: MIT
 * The path of an act, without a connection: the answers are given by hand. Time is virtual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/act.h"

enum { DEADLINE_US = 3000000 };

static redlock_client client;
static exchange asks;
static request state;

static void begin(act *self)
{
    client = (redlock_client){.timeout_us = DEADLINE_US, .linger_ms = 1, .grace_ms = 1};
    asks = (exchange){0};
    self->client = &client;
    assert_true(act_begin(self, &asks, &state, DEADLINE_US));
}

static bool told(int64_t code, int64_t first)
{
    answer from = {.kind = ANSWER_CODE, .code = code, .value = {first, 1}};
    return asks.asks_again(&asks, &from);
}

/* ---- The end ----------------------------------------------------------------------------------*/

static int judged;

static bool is_asked(act *self, question *about)
{
    (void)self;
    *about = (question){.script = SCRIPT_INSPECT};
    return true;
}

static bool counts(act *self, const answer *from)
{
    (void)self;
    (void)from;
    judged++;
    return true;
}

static void an_answer_after_the_end_concerns_nobody(void **unused)
{
    (void)unused;
    static const act_kind counted = {.begin = is_asked, .judge = counts};
    act self = {.kind = &counted};
    begin(&self);
    judged = 0;
    assert_true(told(1, 0));
    act_end(&self, REDLOCK_ERR_TIMEOUT);
    assert_false(told(1, 0));
    assert_int_equal(judged, 1);
    assert_int_equal(self.status, REDLOCK_ERR_TIMEOUT);
}

/* ---- Force ------------------------------------------------------------------------------------*/

static void a_force_names_the_newest_fence_that_it_saw(void **unused)
{
    (void)unused;
    act self = {.kind = &act_force};
    begin(&self);
    assert_true(told(FORCE_STALE, 5));
    assert_int_equal(asks.question.fence, 5);
    assert_true(told(FORCE_STALE, 7));
    assert_int_equal(asks.question.fence, 7);
}

/* It had asked for nothing yet. */
static void a_look_that_was_cut_took_nothing(void **unused)
{
    (void)unused;
    act self = {.kind = &act_force};
    begin(&self);
    state.is_ambiguous = true;
    assert_true(told(FORCE_STALE, 5));
    assert_true(told(FORCE_STALE, 7));
}

static void a_force_that_was_cut_took_what_it_named(void **unused)
{
    (void)unused;
    act self = {.kind = &act_force};
    begin(&self);
    assert_true(told(FORCE_STALE, 5));
    state.is_ambiguous = true;
    assert_false(told(FORCE_STALE, 7));
    act_end(&self, REDLOCK_OK);
    assert_int_equal(self.status, REDLOCK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_after_the_end_concerns_nobody),
        cmocka_unit_test(a_force_names_the_newest_fence_that_it_saw),
        cmocka_unit_test(a_look_that_was_cut_took_nothing),
        cmocka_unit_test(a_force_that_was_cut_took_what_it_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
