/* SPDX-License-Identifier: MIT
 * engine/version: single facts; every order of what is told and doubted; and a walk through every
 * interleaving of conversions with a small true server, which carries them out late, or never, and
 * whose answers come in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/version.h"
#include "wire/mode.h"

static version known(uint64_t fence, char kind)
{
    version self = {0};

    version_told(&self, fence, kind);
    return self;
}

/* ---- Single facts ---- */

static void nothing_is_believed_exclusive_before_it_was_told(void **state)
{
    version self = {0};

    (void)state;
    assert_int_equal(version_kind(&self), KIND_SHARED);
    assert_false(version_is_settled(&self));
}

static void the_kind_that_was_told_is_believed(void **state)
{
    version exclusive = known(7, KIND_EXCLUSIVE), shared = known(7, KIND_SHARED);

    (void)state;
    assert_int_equal(version_kind(&exclusive), KIND_EXCLUSIVE);
    assert_int_equal(version_kind(&shared), KIND_SHARED);
    assert_true(version_is_settled(&exclusive) && version_is_settled(&shared));
}

static void an_older_answer_changes_nothing(void **state)
{
    version self = known(8, KIND_SHARED);

    (void)state;
    version_told(&self, 7, KIND_EXCLUSIVE);
    assert_true(self.fence == 8);
    assert_int_equal(version_kind(&self), KIND_SHARED);
    version_told(&self, 9, KIND_EXCLUSIVE);
    assert_true(self.fence == 9);
    assert_int_equal(version_kind(&self), KIND_EXCLUSIVE);
}

static void who_has_asked_for_a_conversion_is_a_reader_until_a_newer_fence_is_told(void **state)
{
    version self = known(7, KIND_EXCLUSIVE);

    (void)state;
    version_doubted(&self, 7);
    assert_false(version_is_settled(&self));
    assert_int_equal(version_kind(&self), KIND_SHARED);
    version_told(&self, 7, KIND_EXCLUSIVE); /* a renewal that came before the conversion */
    assert_false(version_is_settled(&self));
    version_told(&self, 8, KIND_EXCLUSIVE);
    assert_true(version_is_settled(&self));
    assert_int_equal(version_kind(&self), KIND_EXCLUSIVE);
}

static void an_upgrade_proves_nothing_until_it_is_told(void **state)
{
    version self = known(7, KIND_SHARED);

    (void)state;
    version_doubted(&self, 7);
    assert_int_equal(version_kind(&self), KIND_SHARED);
    version_told(&self, 8, KIND_EXCLUSIVE);
    assert_int_equal(version_kind(&self), KIND_EXCLUSIVE);
}

static void the_newest_doubt_counts(void **state)
{
    version self = known(7, KIND_EXCLUSIVE);

    (void)state;
    version_doubted(&self, 7);
    version_told(&self, 9, KIND_EXCLUSIVE);
    version_doubted(&self, 9);
    version_doubted(&self,
                    7); /* an attempt of the first that is sent once more: it is void already */
    assert_true(self.doubt == 9);
    assert_false(version_is_settled(&self));
    version_told(&self, 10, KIND_EXCLUSIVE);
    assert_true(version_is_settled(&self));
}

static void the_largest_fences_are_kept_apart(void **state)
{
    version self = known(UINT64_MAX - 1, KIND_EXCLUSIVE);

    (void)state;
    version_doubted(&self, UINT64_MAX - 1);
    assert_int_equal(version_kind(&self), KIND_SHARED);
    version_told(&self, UINT64_MAX, KIND_EXCLUSIVE);
    assert_int_equal(version_kind(&self), KIND_EXCLUSIVE);
}

/* ---- Every order ---- */

enum { EVENTS = 6 };

/* Of one history: 5 exclusive; a downgrade for it, done: 6; an upgrade for that, refused: 7, and
 * done: 8. */
static void take_event(version *self, int which)
{
    switch (which) {
    case 0: version_told(self, 5, KIND_EXCLUSIVE); return;
    case 1: version_doubted(self, 5); return;
    case 2: version_told(self, 6, KIND_SHARED); return;
    case 3: version_doubted(self, 6); return;
    case 4: version_told(self, 7, KIND_SHARED); return;
    default: version_told(self, 8, KIND_EXCLUSIVE);
    }
}

static long orders;

static void assert_same_in_every_order(version at, unsigned left)
{
    if (left == 0) {
        orders++;
        assert_true(at.fence == 8 && at.doubt == 6);
        assert_int_equal(version_kind(&at), KIND_EXCLUSIVE);
    }
    for (int i = 0; i < EVENTS; i++) {
        version next = at;

        if ((left & 1U << i) == 0) continue;
        take_event(&next, i);
        assert_true(next.fence >= at.fence && next.doubt >= at.doubt);
        assert_same_in_every_order(next, left & ~(1U << i));
    }
}

static void every_order_of_answers_ends_at_the_same_version(void **state)
{
    (void)state;
    orders = 0;
    assert_same_in_every_order((version){0}, (1U << EVENTS) - 1);
    assert_int_equal(orders, 720);
}

/* ---- A true server ---- */

enum { MESSAGES = 3 };

/* A conversion, or a renewal: it names no fence, and changes nothing. */
typedef struct message {
    bool is_conversion, has_run, is_read;
    char to;
    uint64_t named;
    version answer; /* fence and kind as they are told */
} message;

typedef struct world {
    version believed;    /* by the client */
    uint64_t last_fence; /* on the server */
    char kind;           /* on the server */
    message sent[MESSAGES];
    int count;
    int conversions, repeats, renewals, bumps; /* how many of these may still come */
} world;

static long states, beliefs, settled, voids;

/* `is_refused`: of an upgrade, others hold it too; of a downgrade, its owner has another exclusive
 * hold. */
static void run(world *at, int which, bool is_refused)
{
    message *it = &at->sent[which];

    it->has_run = true;
    if (it->is_conversion && it->named == at->last_fence) {
        at->last_fence++;
        if (!is_refused) at->kind = it->to;
    } else if (it->is_conversion) {
        voids++;
    }
    it->answer.fence = at->last_fence;
    it->answer.kind = at->kind;
}

static bool may_still_lose_it(const world *at)
{
    for (int i = 0; i < at->count; i++) {
        world next = *at;

        if (at->sent[i].has_run) continue;
        run(&next, i, false);
        if (next.kind != KIND_EXCLUSIVE) return true;
    }
    return false;
}

static bool may_still_change(const world *at)
{
    for (int i = 0; i < at->count; i++) {
        const message *it = &at->sent[i];
        if (it->is_conversion && !it->has_run && it->named == at->last_fence) return true;
    }
    return false;
}

static bool was_all_heard(const world *at)
{
    for (int i = 0; i < at->count; i++)
        if (!at->sent[i].is_read) return false;
    return true;
}

static void assert_sound(const world *at)
{
    bool is_settled = version_is_settled(&at->believed);

    states++;
    assert_true(at->believed.fence <= at->last_fence);
    if (version_kind(&at->believed) == KIND_EXCLUSIVE) {
        beliefs++;
        assert_int_equal(at->kind, KIND_EXCLUSIVE);
        assert_false(may_still_lose_it(at));
    }
    if (is_settled) assert_false(may_still_change(at));
    if (!was_all_heard(at)) return;
    settled++;
    assert_true(is_settled);
    assert_int_equal(version_kind(&at->believed), at->kind);
}

static void explore(const world *at);

static void explore_answers(const world *at)
{
    for (int i = 0; i < at->count; i++) {
        const message *it = &at->sent[i];
        world next = *at;

        if (!it->has_run) {
            run(&next, i, false);
            explore(&next);
            next = *at;
            run(&next, i, true);
            explore(&next);
        } else if (!it->is_read) {
            next.sent[i].is_read = true;
            version_told(&next.believed, it->answer.fence, it->answer.kind);
            explore(&next);
        }
    }
}

static void explore_conversion(world next, char to, uint64_t named)
{
    version_doubted(&next.believed, named);
    next.sent[next.count++] = (message){.is_conversion = true, .to = to, .named = named};
    explore(&next);
}

/* A new conversion is for the fence that is known; one that went unanswered is sent again as it
 * was. */
static void explore_questions(const world *at)
{
    if (at->count == MESSAGES) return;
    if (at->conversions > 0) {
        world next = *at;

        next.conversions--;
        explore_conversion(next, KIND_EXCLUSIVE, at->believed.fence);
        explore_conversion(next, KIND_SHARED, at->believed.fence);
    }
    for (int i = 0; i < at->count && at->repeats > 0; i++) {
        world next = *at;

        if (!at->sent[i].is_conversion || at->sent[i].is_read) continue;
        next.repeats--;
        explore_conversion(next, at->sent[i].to, at->sent[i].named);
    }
    if (at->renewals > 0) {
        world next = *at;

        next.renewals--;
        next.sent[next.count++] = (message){0};
        explore(&next);
    }
}

/* Somebody else's conversion beside us was refused, or done and undone: the last fence is a new
 * one. */
static void explore_bump(world next)
{
    if (next.bumps == 0 || next.kind == KIND_EXCLUSIVE) return;
    next.bumps--;
    next.last_fence++;
    explore(&next);
}

static void explore(const world *at)
{
    assert_sound(at);
    explore_answers(at);
    explore_questions(at);
    explore_bump(*at);
}

static void walk(world budget)
{
    static const char kinds[] = {KIND_EXCLUSIVE, KIND_SHARED};

    states = beliefs = settled = voids = 0;
    for (int i = 0; i < 2; i++) {
        world at = budget;

        at.kind = kinds[i];
        at.last_fence = 10;
        at.believed = known(10, kinds[i]);
        explore(&at);
    }
    print_message("%ld states, %ld believed exclusive, %ld settled, %ld void\n", states, beliefs,
                  settled, voids);
    assert_true(beliefs > 100 && settled > 100 && voids > 100);
}

static void no_interleaving_of_two_conversions_deceives(void **state)
{
    (void)state;
    walk((world){.conversions = 2, .renewals = 1, .bumps = 1});
}

static void no_interleaving_of_conversions_that_are_sent_once_more_deceives(void **state)
{
    (void)state;
    walk((world){.conversions = 2, .repeats = 1, .bumps = 1});
}

static void no_interleaving_of_three_conversions_deceives(void **state)
{
    (void)state;
    walk((world){.conversions = 3, .bumps = 1});
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_believed_exclusive_before_it_was_told),
        cmocka_unit_test(the_kind_that_was_told_is_believed),
        cmocka_unit_test(an_older_answer_changes_nothing),
        cmocka_unit_test(who_has_asked_for_a_conversion_is_a_reader_until_a_newer_fence_is_told),
        cmocka_unit_test(an_upgrade_proves_nothing_until_it_is_told),
        cmocka_unit_test(the_newest_doubt_counts),
        cmocka_unit_test(the_largest_fences_are_kept_apart),
        cmocka_unit_test(every_order_of_answers_ends_at_the_same_version),
        cmocka_unit_test(no_interleaving_of_two_conversions_deceives),
        cmocka_unit_test(no_interleaving_of_conversions_that_are_sent_once_more_deceives),
        cmocka_unit_test(no_interleaving_of_three_conversions_deceives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
