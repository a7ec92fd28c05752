/* SPDX-License-Identifier: MIT
 * engine/acquire, walked through every sequence of events up to a depth, against a small true
 * server that queues, grants, hands over and forgets, over connections that lose and delay. Whoever
 * is told that it holds the lock, does; whoever is not, and may be on the server, knows that it
 * must be undone. */
#include "acquire_walk.h"

enum { MAILS = 2 };

typedef struct attempt {
    bool exists, queues, has_run;
    int64_t sent_us, code, server_us, value[ANSWER_VALUES];
} attempt;

typedef struct world {
    acquire op;
    int64_t now_us;
    bool was_sent, inbox_is_open;
    bool is_deaf;        /* the open inbox leads to another server: nobody hears us on this one */
    attempt sent, ghost; /* on the way and awaited; on the way though its connection was cut */
    bool is_taken, is_queued; /* by another; us */
    bool is_taken_by_kin;  /* by another hold of our owner, in the other mode: waiting for it would
                              never end */
    int64_t held_until_us; /* us: the server's view in our time */
    uint64_t fence, held_fence;
    int64_t told_arrival_us; /* by the latest answer that told one; ... */
    int64_t kept_arrival_us; /* ... before it, for a message may end or move what would have read
                                that answer */
    grant mail[MAILS];       /* published and not yet read */
    int mails;
    int cuts, losses, waits, turns, errors, kin, detours; /* how many of these may still come */
} world;

static long steps, locks, deadlocks, unheard;

static bool server_holds_us(const world *at) { return at->held_until_us > at->now_us; }

static void hold_us(world *at, int64_t lease_ms)
{
    at->is_queued = false;
    at->held_until_us = (at->now_us / US_PER_MS + lease_ms) *
                        US_PER_MS; /* the server counts whole ms */
    at->held_fence = ++at->fence;
}

/* What remains for a question that is not granted: in the queue, if it queues and somebody hears us
 * there. */
static void refuse(world *at, attempt *which)
{
    bool is_heard = at->inbox_is_open && !at->is_deaf;

    which->code = !which->queues ? ACQUIRE_BUSY : is_heard ? ACQUIRE_QUEUED : ACQUIRE_UNHEARD;
    which->value[0] = 5000;
    which->value[1] = 1;
    if (!which->queues) return;
    at->is_queued = is_heard;
    which->value[2] = CLAIM_MS;
    which->value[3] = is_heard ? at->now_us + offset_us : 0;
}

static void run_script(world *at, attempt *which)
{
    int64_t now_ms = at->now_us / US_PER_MS;

    which->has_run = true;
    which->server_us = at->now_us + offset_us;
    if (!server_holds_us(at) && !at->is_taken) hold_us(at, TTL_MS);
    if (server_holds_us(at)) {
        which->code = ACQUIRE_GRANTED;
        which->value[0] = (int64_t)at->held_fence;
        which->value[1] = 1;
        which->value[2] = at->held_until_us / US_PER_MS - now_ms;
        return;
    }
    if (at->is_taken_by_kin)
        which->code = ACQUIRE_DEADLOCK; /* who is in the queue already stays there */
    else refuse(at, which);
}

/* A part was done: who queues is in the line, but its turn was not looked for yet. */
static void run_script_in_part(world *at, attempt *which)
{
    which->has_run = true;
    which->code = CODE_MORE;
    which->server_us = at->now_us + offset_us;
    at->is_queued |= which->queues && !server_holds_us(at);
}

/* The other holder leaves, and hands over; or comes back while nobody else is there. */
static void turn(world *at)
{
    at->is_taken = !at->is_taken;
    at->is_taken_by_kin = false;
    if (at->is_taken || !at->is_queued) return;
    at->is_queued = false;
    if (!at->inbox_is_open || at->is_deaf) return;
    hold_us(at, CLAIM_MS);
    at->mail[at->mails++] = (grant){.hold_id = "hold-1",
                                    .hold_id_length = 6,
                                    .fence = at->held_fence,
                                    .lease_ms = CLAIM_MS,
                                    .server_us = at->now_us + offset_us};
}

static bool can_turn(const world *at)
{
    return at->turns > 0 && at->mails < MAILS && (at->is_taken || !server_holds_us(at));
}

/* ---- What must hold ---- */

/* Whatever may still be carried out was sent no later than is known. */
static void assert_knows_what_is_unanswered(const world *at)
{
    int64_t unanswered_us = acquire_unanswered_us(&at->op);

    if (at->sent.exists) assert_true(unanswered_us >= at->sent.sent_us);
    if (at->ghost.exists) assert_true(unanswered_us >= at->ghost.sent_us);
    if (!at->was_sent) assert_true(unanswered_us == 0);
}

static void assert_sound(const world *at)
{
    const acquire *op = &at->op;

    steps++;
    assert_knows_what_is_unanswered(at);
    if (op->state != ACQUIRE_DONE) {
        assert_true(op->arrival_us == at->told_arrival_us || op->arrival_us == at->kept_arrival_us);
        assert_goes_on(op, at->now_us);
        return;
    }
    assert_stays_done(op);
    if (op->status == REDLOCK_OK) {
        locks++;
        assert_false(op->is_owed);
        assert_true(op->valid_until_us > at->now_us);
        assert_true(op->valid_until_us < at->held_until_us);
        assert_true(op->held.fence == at->held_fence);
        return;
    }
    if (op->status == REDLOCK_DEADLOCK) deadlocks++;
    bool may_have_us = server_holds_us(at) || at->is_queued || at->sent.exists || at->ghost.exists;
    if (may_have_us) assert_true(op->is_owed);
    if (!at->was_sent) assert_false(op->is_owed);
}

/* ---- The walk ---- */

static void explore(const world *at, int depth);

static void explore_inbox(world next, int depth)
{
    if (next.inbox_is_open && next.mails > 0) {
        world read = next;

        read.mail[0] = next.mail[1];
        read.mails--;
        acquire_granted(&read.op, &next.mail[0], read.now_us);
        if (asks(&read.op)) acquire_asked(&read.op, read.now_us);
        explore(&read, depth);
    }
    if (next.inbox_is_open && next.losses > 0) {
        next.losses--;
        next.inbox_is_open = false;
        next.mails = 0;
        acquire_inbox_lost(&next.op, REDLOCK_ERR_CONNECT, "reset", next.now_us);
        acquire_asked(&next.op, next.now_us);
        explore(&next, depth);
    } else if (!next.inbox_is_open && acquire_wants_inbox(&next.op)) {
        next.inbox_is_open = true;
        next.is_deaf = false;
        acquire_inbox_opened(&next.op, next.now_us);
        acquire_asked(&next.op, next.now_us);
        explore(&next, depth);
    }
}

/* The request moved: the inbox may have its say before acquire_asked does, within one pump. */
static void explore_moved(const world *at, int depth)
{
    world next = *at;

    explore_inbox(*at, depth);
    acquire_asked(&next.op, next.now_us);
    explore(&next, depth);
}

static void explore_reply(world next, int depth)
{
    answer from = {.kind = ANSWER_CODE, .code = next.sent.code, .server_us = next.sent.server_us};

    for (int i = 0; i < ANSWER_VALUES; i++) from.value[i] = next.sent.value[i];
    next.sent.exists = false;
    next.kept_arrival_us = next.op.arrival_us;
    if (from.code == ACQUIRE_QUEUED) next.told_arrival_us = from.value[3];
    unheard += from.code == ACQUIRE_UNHEARD;
    request_answered(&next.op.asks, &from, next.now_us);
    explore_moved(&next, depth);
}

static void explore_errors(world next, int depth)
{
    static const enum answer_kind kinds[] = {ANSWER_UNKNOWN_SCRIPT, ANSWER_TRANSIENT};

    next.sent.exists = false;
    next.errors--;
    for (int i = 0; i < 2; i++) {
        world at = next;
        answer from = {.kind = kinds[i]};

        request_answered(&at.op.asks, &from, at.now_us);
        explore_moved(&at, depth);
    }
}

static void explore_part(world next, int depth)
{
    next.errors--;
    run_script_in_part(&next, &next.sent);
    explore(&next, depth);
}

static void explore_cut(world next, int depth)
{
    if (!next.sent.has_run) next.ghost = next.sent;
    next.sent.exists = false;
    next.cuts--;
    request_cut(&next.op.asks, REDLOCK_ERR_CONNECT, "reset", next.now_us);
    explore_moved(&next, depth);
}

static void explore_flight(const world *at, int depth)
{
    if (at->sent.has_run) {
        explore_reply(*at, depth);
    } else {
        world next = *at;

        run_script(&next, &next.sent);
        explore(&next, depth);
        if (at->errors > 0) {
            explore_errors(*at, depth);
            explore_part(*at, depth);
        }
    }
    if (at->cuts > 0) explore_cut(*at, depth);
}

/* The driver closes an inbox that leads elsewhere: see inbox_distrust. */
static void obey_distrust(world *at)
{
    at->op.distrusts_inbox = false;
    if (!at->inbox_is_open) return;
    at->inbox_is_open = false;
    at->mails = 0;
    acquire_inbox_lost(&at->op, REDLOCK_ERR_UNAVAILABLE, "nobody hears the inbox", at->now_us);
    acquire_asked(&at->op, at->now_us);
}

static void explore_send(world next, int depth)
{
    tick(&next.op, next.now_us);
    if (next.op.distrusts_inbox) obey_distrust(&next);
    if (asks(&next.op) && next.op.asks.state == REQUEST_READY) {
        next.sent =
            (attempt){.exists = true, .queues = acquire_queues(&next.op), .sent_us = next.now_us};
        next.was_sent = true;
        request_sent(&next.op.asks, next.now_us);
        acquire_asked(&next.op, next.now_us);
    }
    explore(&next, depth);
}

static void explore_time(world next, int64_t until_us, int depth)
{
    if (next.waits == 0 || until_us <= next.now_us) return;
    next.waits--;
    next.now_us = until_us;
    explore(&next, depth);
}

static void explore_server(const world *at, int depth)
{
    if (can_turn(at)) {
        world next = *at;

        next.turns--;
        turn(&next);
        explore(&next, depth);
    }
    if (at->kin > 0 && at->is_taken) {
        world next = *at;

        next.kin--;
        next.is_taken_by_kin = true;
        explore(&next, depth);
    }
    if (at->detours > 0 && at->inbox_is_open && !at->is_deaf) {
        world next = *at;

        next.detours--;
        next.is_deaf = true;
        explore(&next, depth);
    }
    if (at->ghost.exists) {
        world next = *at;

        run_script(&next, &next.ghost);
        next.ghost.exists = false;
        explore(&next, depth);
    }
}

static void explore_stop(world next, int depth)
{
    acquire_stop(&next.op, REDLOCK_CANCELLED, next.now_us);
    explore(&next, depth);
}

static void explore(const world *at, int depth)
{
    assert_sound(at);
    if (depth == 0 || at->op.state == ACQUIRE_DONE) return;
    if (at->sent.exists) explore_flight(at, depth - 1);
    else explore_send(*at, depth - 1);
    explore_inbox(*at, depth - 1);
    explore_server(at, depth - 1);
    explore_time(*at, at->now_us + 300000, depth - 1);
    explore_time(*at, at->now_us + 2500000, depth - 1);
    if (!is_in_flight(&at->op)) explore_time(*at, acquire_wake_us(&at->op), depth - 1);
    explore_stop(*at, depth - 1);
}

static void walk(const acquire_terms *terms, bool inbox_is_open, bool is_taken, world budget,
                 int depth)
{
    world at = budget;

    at.now_us = t0;
    at.inbox_is_open = inbox_is_open;
    at.is_taken = is_taken;
    acquire_begin(&at.op, terms, inbox_is_open, t0);
    explore(&at, depth);
}

static void walk_all(world budget, int depth)
{
    steps = locks = deadlocks = unheard = 0;
    for (unsigned start = 0; start < 16; start++) {
        acquire_terms terms = terms_of((start & 1) != 0, (start & 8) != 0);

        walk(&terms, (start & 2) != 0, (start & 4) != 0, budget, depth);
    }
    print_message("%ld states, %ld locks, %ld deadlocks, %ld unheard\n", steps, locks, deadlocks,
                  unheard);
    assert_true(locks > 1000);
    assert_int_equal(deadlocks > 0, budget.kin > 0);
    if (budget.losses + budget.detours > 0) assert_true(unheard > 0);
}

static void a_true_server_over_slow_connections(void **state)
{
    (void)state;
    walk_all((world){.waits = 3, .turns = 3, .errors = 1}, 11);
}

static void a_true_server_over_connections_that_are_cut(void **state)
{
    (void)state;
    walk_all((world){.waits = 1, .turns = 1, .cuts = 2}, 12);
}

static void a_true_server_over_an_inbox_that_is_lost(void **state)
{
    (void)state;
    walk_all((world){.waits = 2, .turns = 2, .losses = 2}, 11);
}

static void a_true_server_that_the_inbox_does_not_lead_to(void **state)
{
    (void)state;
    walk_all((world){.waits = 2, .turns = 1, .cuts = 1, .detours = 2}, 11);
}

static void a_true_server_where_our_owner_holds_otherwise(void **state)
{
    (void)state;
    walk_all((world){.waits = 2, .turns = 1, .cuts = 1, .kin = 1}, 11);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_true_server_over_slow_connections),
        cmocka_unit_test(a_true_server_over_connections_that_are_cut),
        cmocka_unit_test(a_true_server_over_an_inbox_that_is_lost),
        cmocka_unit_test(a_true_server_that_the_inbox_does_not_lead_to),
        cmocka_unit_test(a_true_server_where_our_owner_holds_otherwise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
