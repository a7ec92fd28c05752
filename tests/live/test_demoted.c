/* SPDX-License-Identifier: MIT
 * Behind one address a primary is demoted, and its replica takes its place; but the connections to
 * the old one stay open, and it refuses what they ask. Nobody is to be stuck with it. */
#include "live/succession.h"

enum { RENEWED_MS = 1500, BRIEF_CLAIM_MS = 300, NEXT_TRY_US = 100 * 1000, RENEWALS = 3 };

/* It follows somebody who is not there: so it is a replica, and keeps its clients. */
static void demote(succession *self)
{
    await_replica(self);
    server_order(self->replica, "REPLICAOF NO ONE");
    move_address(self, self->replica);
    server_order(self->primary, "REPLICAOF 127.0.0.1 1");
}

static void visit(redlock_client *client, const char *which)
{
    EXPECT(redlock_release(take(client, which, EXCLUSIVE())), REDLOCK_OK);
}

static void a_renewed_lock_is_kept(void **state)
{
    succession *the = *state;
    redlock_lock *lock =
        take(the->stage.client, name, REDLOCK_OPTIONS(.ttl_ms = RENEWED_MS, .auto_renew = true));
    demote(the);
    renewals those = {the->stage.client, stats_of(the->stage.client).renewed + RENEWALS};
    eventually(renewals_were_made, &those);
    assert_true(redlock_is_held(lock));
    assert_int_equal(stats_of(the->stage.client).lost, 0);
    expect_taken(the->stage.other, name);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void the_next_try_takes_no_time(void **state)
{
    succession *the = *state;
    visit(the->stage.client, "free"); /* its connection leads to the old one from here on */
    demote(the);
    stall from = stall_begin();
    visit(the->stage.client, "free");
    ENDED(&from, 0, NEXT_TRY_US);
}

static void what_was_held_is_given_back_to_the_new_primary(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, EXCLUSIVE());
    demote(the);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    visit(the->stage.other, name);
}

static void a_replica_that_has_lost_its_primary_is_left_too(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, EXCLUSIVE());
    server_order(the->primary, "CONFIG SET replica-serve-stale-data no");
    demote(the);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    visit(the->stage.other, name);
}

/* Its inbox is on the old server, where nobody tells it anything any more. */
static void a_wait_goes_on(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, EXCLUSIVE());
    taker *next = queued(&the->stage, the->stage.other, 1,
                         EXCLUSIVE(.wait_ms = LONG_MS, .claim_ms = BRIEF_CLAIM_MS));
    demote(the);
    stall freed = stall_begin();
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_soon(next, &freed);
    assert_true(redlock_is_held(next->lock));
    taker_release(next);
}

#define DEMOTED(test)                                                                              \
    (struct CMUnitTest)                                                                            \
    {                                                                                              \
#test, test, succession_begin, succession_end, (void *)(uintptr_t)&together                \
    }

int main(void)
{
    static const int64_t together = 0; /* the clocks */
    const struct CMUnitTest tests[] = {
        DEMOTED(a_renewed_lock_is_kept),
        DEMOTED(the_next_try_takes_no_time),
        DEMOTED(what_was_held_is_given_back_to_the_new_primary),
        DEMOTED(a_replica_that_has_lost_its_primary_is_left_too),
        DEMOTED(a_wait_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
