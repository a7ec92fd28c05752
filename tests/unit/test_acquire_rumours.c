/* SPDX-License-Identifier: MIT
 * engine/acquire, walked through every sequence of events up to a depth, against a server that says
 * anything at all: nothing that it sends may break an invariant of ours. */
#include "acquire_walk.h"

typedef struct rumour {
    acquire op;
    int64_t now_us;
    bool inbox_is_open, was_heard_of; /* something was asked, or granted out of the blue */
    bool may_have_us;                 /* something was asked and never denied */
    bool has_ghost; /* something was asked, and may still arrive: its connection was cut */
} rumour;

static long steps;

static void explore_rumours(const rumour *at, int depth);

static void assert_rumour_is_sound(const rumour *at)
{
    const acquire *op = &at->op;

    steps++;
    if (op->state != ACQUIRE_DONE) {
        assert_goes_on(op, at->now_us);
        return;
    }
    assert_stays_done(op);
    if (op->status == REDLOCK_OK) {
        assert_false(op->is_owed);
        assert_true(op->valid_until_us > at->now_us);
    } else {
        if (at->may_have_us) assert_true(op->is_owed);
        if (!at->was_heard_of) assert_false(op->is_owed);
    }
}

/* A deadlock leaves a place in the queue as it was; so does what is told of an inbox: a message may
 * have come first. */
static bool denies(const rumour *at, int64_t code)
{
    return (code == ACQUIRE_BUSY && !acquire_queues(&at->op)) || code == ACQUIRE_FULL ||
           (code == ACQUIRE_DEADLOCK && !at->op.is_queued);
}

static void explore_code(rumour next, int64_t code, int64_t number, int depth)
{
    bool grants = code == ACQUIRE_GRANTED;
    answer from = {.kind = ANSWER_CODE, .code = code, .server_us = next.now_us + offset_us};

    from.value[0] = grants ? 7 : number;
    from.value[1] = grants || number == 5000 ? 1 : number;
    from.value[2] = number;
    from.value[3] = number == 5000 ? next.now_us + offset_us : number;
    if (denies(&next, code)) next.may_have_us = next.has_ghost;
    request_answered(&next.op.asks, &from, next.now_us);
    acquire_asked(&next.op, next.now_us);
    explore_rumours(&next, depth);
}

static void explore_codes(const rumour *at, int depth)
{
    static const int64_t numbers[] = {0, 5000, INT64_C(1) << 53, -(INT64_C(1) << 53)};

    for (int64_t code = CODE_FOREIGN; code <= CODE_MORE + 1; code++)
        for (int i = 0; i < 4; i++) explore_code(*at, code, numbers[i], depth);
}

static void explore_errors_of_any_kind(const rumour *at, int depth)
{
    for (int kind = ANSWER_UNKNOWN_SCRIPT; kind <= ANSWER_CUT; kind++) {
        rumour next = *at;
        answer from = {.kind = (enum answer_kind)kind, .text = "words"};

        next.has_ghost |= kind == ANSWER_CUT;
        request_answered(&next.op.asks, &from, next.now_us);
        acquire_asked(&next.op, next.now_us);
        explore_rumours(&next, depth);
    }
}

static void explore_questions(rumour next, int depth)
{
    if (is_in_flight(&next.op)) {
        next.now_us += 1000;
        explore_codes(&next, depth);
        explore_errors_of_any_kind(&next, depth);
    } else if (asks(&next.op) && next.op.asks.state == REQUEST_READY) {
        rumour refused = next;

        request_refused(&refused.op.asks, REDLOCK_ERR_CONNECT, "refused", refused.now_us);
        acquire_asked(&refused.op, refused.now_us);
        explore_rumours(&refused, depth);
        request_sent(&next.op.asks, next.now_us);
        acquire_asked(&next.op, next.now_us);
        next.was_heard_of = next.may_have_us = true;
        explore_rumours(&next, depth);
    }
}

static void explore_messages(const rumour *at, int depth)
{
    static const int64_t ages_us[] = {0, 5000000, -5000000};

    for (int i = 0; i < 3; i++) {
        rumour next = *at;
        grant from = {.hold_id = "hold-1",
                      .hold_id_length = 6,
                      .fence = 7,
                      .lease_ms = CLAIM_MS,
                      .server_us = at->now_us + offset_us - ages_us[i]};

        next.was_heard_of = true;
        acquire_granted(&next.op, &from, next.now_us);
        explore_rumours(&next, depth);
    }
}

static void explore_losses(const rumour *at, int depth)
{
    rumour opened = *at, lost = *at, denied = *at;

    lost.inbox_is_open = false;
    acquire_inbox_lost(&lost.op, REDLOCK_ERR_CONNECT, NULL, lost.now_us);
    explore_rumours(&lost, depth);
    acquire_inbox_lost(&denied.op, REDLOCK_ERR_DENIED, "NOPERM", denied.now_us);
    explore_rumours(&denied, depth);
    if (at->inbox_is_open) return;
    opened.inbox_is_open = true;
    acquire_inbox_opened(&opened.op, opened.now_us);
    explore_rumours(&opened, depth);
}

/* What the driver does that is told to open the inbox anew. */
static void obey_distrust(rumour *at)
{
    if (!at->op.distrusts_inbox) return;
    at->op.distrusts_inbox = at->inbox_is_open = false;
    acquire_inbox_lost(&at->op, REDLOCK_ERR_UNAVAILABLE, NULL, at->now_us);
}

static void explore_ticks(const rumour *at, int depth)
{
    int64_t wakes_us[] = {acquire_wake_us(&at->op), at->op.asks.wake_us, brief_us, deadline_us};

    for (int i = 0; i < 4; i++) {
        rumour next = *at;

        if (wakes_us[i] > next.now_us) next.now_us = wakes_us[i];
        tick(&next.op, next.now_us);
        obey_distrust(&next);
        explore_rumours(&next, depth);
    }
}

static void explore_rumours(const rumour *at, int depth)
{
    rumour stopped = *at;

    assert_rumour_is_sound(at);
    if (depth == 0 || at->op.state == ACQUIRE_DONE) return;
    explore_questions(*at, depth - 1);
    explore_messages(at, depth - 1);
    explore_losses(at, depth - 1);
    explore_ticks(at, depth - 1);
    acquire_stop(&stopped.op, REDLOCK_ERR_CLOSED, stopped.now_us);
    explore_rumours(&stopped, depth - 1);
}

static void a_server_that_says_anything(void **state)
{
    (void)state;
    steps = 0;
    for (unsigned start = 0; start < 8; start++) {
        acquire_terms terms = terms_of((start & 1) != 0, (start & 4) != 0);
        rumour at = {.now_us = t0, .inbox_is_open = (start & 2) != 0};

        acquire_begin(&at.op, &terms, at.inbox_is_open, t0);
        explore_rumours(&at, 6);
    }
    print_message("%ld states\n", steps);
    assert_true(steps > 10000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_says_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
