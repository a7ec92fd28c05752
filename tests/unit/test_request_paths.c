/* SPDX-License-Identifier: MIT
 * engine/request, walked through every sequence of events up to a depth; the invariants of its
 * header are checked after each. Time is virtual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/request.h"

static const int64_t begin_us = 1000000, deadline_us = 3000000, timeout_us = 1200000;

static request begun(void)
{
    request self;

    request_begin(&self, deadline_us, timeout_us, 1);
    return self;
}

static answer plain(enum answer_kind kind, int64_t code)
{
    return (answer){.kind = kind, .code = code, .value = {11, 22, 33}, .text = "words"};
}

static void give(request *self, enum answer_kind kind, int64_t code, int64_t now_us)
{
    answer from = plain(kind, code);

    request_answered(self, &from, now_us);
}

enum { DEPTH = 12, KINDS = ANSWER_CUT + 1 };

typedef struct walk {
    request self;
    int64_t now_us;
    bool was_cut, had_no_script,
        is_partial;        /* what is_ambiguous, by_source and is_partial must say */
    int64_t unanswered_us; /* what it must be */
    redlock_status last_failure;
} walk;

static long steps;

static bool is_hopeless_kind(enum answer_kind kind)
{
    return kind == ANSWER_DENIED || kind == ANSWER_WRONG_TYPE || kind == ANSWER_MALFORMED ||
           kind == ANSWER_UNSUPPORTED || kind == ANSWER_REDIRECT;
}

static void assert_ticking_early_changes_nothing(const request *self, int64_t now_us)
{
    request before, after;

    memcpy(&before, self, sizeof before);
    memcpy(&after, self, sizeof after);
    request_tick(&after, now_us);
    assert_memory_equal(&before, &after, sizeof before);
}

static void assert_sound(const walk *at)
{
    const request *self = &at->self;

    steps++;
    assert_int_equal(self->is_ambiguous, at->was_cut);
    assert_int_equal(self->by_source, at->had_no_script);
    assert_int_equal(self->is_partial, at->is_partial);
    assert_int_equal(self->unanswered_us, at->unanswered_us);
    assert_int_equal(self->is_ambiguous, self->unanswered_us != 0);
    if (self->state == REQUEST_DONE) {
        assert_true(self->wake_us == NEVER);
        assert_ticking_early_changes_nothing(self, deadline_us + timeout_us);
        return;
    }
    assert_true(self->wake_us <= deadline_us);
    assert_int_equal(self->status, at->last_failure);
    if (self->state == REQUEST_SENT) {
        assert_true(request_attempt_deadline_us(self) <= deadline_us);
        assert_true(request_attempt_deadline_us(self) <= self->sent_us + timeout_us);
        assert_ticking_early_changes_nothing(self, deadline_us);
        return;
    }
    assert_ticking_early_changes_nothing(self, self->wake_us - 1);
    request moved = *self;
    request_tick(&moved, self->wake_us);
    assert_int_not_equal(moved.state, self->state);
    request_tick(&moved, deadline_us);
    assert_int_equal(moved.state, REQUEST_DONE);
    assert_int_equal(moved.status, at->last_failure);
}

static void explore(walk at, int depth);

/* Those that mean something to every script, and one that does to its own. */
static const int64_t codes[] = {CODE_FOREIGN, CODE_BAD_ARGUMENT, 0, CODE_MORE};
enum { CODES = sizeof codes / sizeof *codes };

static void explore_answer(const walk *at, enum answer_kind kind, int64_t code, int depth)
{
    walk next = *at;
    bool is_told_more = kind == ANSWER_CODE && code == CODE_MORE;

    give(&next.self, kind, code, at->now_us);
    next.is_partial |= is_told_more;
    if (kind == ANSWER_CUT) {
        next.was_cut = true;
        next.unanswered_us = at->self.sent_us;
        next.last_failure = REDLOCK_ERR_CONNECT;
    }
    bool may_pass = kind == ANSWER_TRANSIENT || kind == ANSWER_MISPLACED || kind == ANSWER_ERROR;
    if (may_pass || (kind == ANSWER_UNKNOWN_SCRIPT && at->had_no_script))
        next.last_failure = REDLOCK_ERR_UNAVAILABLE;
    next.had_no_script |= kind == ANSWER_UNKNOWN_SCRIPT;
    if (is_told_more || kind == ANSWER_ELSEWHERE) assert_int_equal(next.self.state, REQUEST_READY);
    else if (kind == ANSWER_CODE || is_hopeless_kind(kind))
        assert_int_equal(next.self.state, REQUEST_DONE);
    assert_int_equal(next.self.state == REQUEST_DONE && next.self.status == REDLOCK_OK,
                     kind == ANSWER_CODE && code == 0);
    explore(next, depth - 1);
}

static void explore_answers(const walk *at, int depth)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < (kind == ANSWER_CODE ? CODES : 1); i++)
            explore_answer(at, (enum answer_kind)kind, codes[i], depth);
}

/* The answer was one that asks for another question. */
static void explore_again(walk next, int depth)
{
    request_again(&next.self);
    assert_int_equal(next.self.state, REQUEST_READY);
    explore(next, depth - 1);
}

static void explore_refusals(const walk *at, int depth)
{
    walk hope = *at, none = *at;

    request_refused(&hope.self, hope.last_failure = REDLOCK_ERR_RESOLVE, "why", at->now_us);
    explore(hope, depth - 1);
    request_refused(&none.self, none.last_failure = REDLOCK_ERR_TLS, "why", at->now_us);
    assert_int_equal(none.self.state, REQUEST_DONE);
    explore(none, depth - 1);
}

static void explore_tick(const walk *at, int64_t now_us, int depth)
{
    walk next = *at;

    next.now_us = now_us > at->now_us ? now_us : at->now_us;
    request_tick(&next.self, next.now_us);
    if (next.now_us >= deadline_us) assert_int_equal(next.self.state, REQUEST_DONE);
    explore(next, depth - 1);
}

static void explore(walk at, int depth)
{
    assert_sound(&at);
    if (depth == 0 || at.self.state == REQUEST_DONE) return;
    if (at.self.state == REQUEST_SENT) {
        at.now_us += 700;
        explore_answers(&at, depth);
        explore_again(at, depth);
        at.now_us = request_attempt_deadline_us(&at.self);
        request_cut(&at.self, at.last_failure = REDLOCK_ERR_TIMEOUT, NULL, at.now_us);
        at.was_cut = true;
        at.unanswered_us = at.self.sent_us;
        explore(at, depth - 1);
        return;
    }
    explore_tick(&at, at.self.wake_us, depth);
    explore_tick(&at, deadline_us, depth);
    if (at.self.state == REQUEST_BACKOFF) return;
    explore_refusals(&at, depth);
    request_sent(&at.self, at.now_us);
    explore(at, depth - 1);
}

static void every_sequence_of_events_keeps_the_invariants(void **state)
{
    (void)state;
    steps = 0;
    explore((walk){.self = begun(), .now_us = begin_us, .last_failure = REDLOCK_ERR_TIMEOUT},
            DEPTH);
    print_message("%ld states\n", steps);
    assert_true(steps > 1000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sequence_of_events_keeps_the_invariants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
