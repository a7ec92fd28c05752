/* SPDX-License-Identifier: MIT
 * Reentrant holds whose owner is a name, which threads, clients and processes may share. */
#include "live/modes_stage.h"

static void an_owner_by_name_has_the_lock_in_two_clients(void **state)
{
    stage *the = *state;
    redlock_lock *one = take(the->client, name, OWN(.owner = "txn-77"));
    redlock_lock *two = take(the->other, name, OWN(.owner = "txn-77"));
    assert_true(one != two);
    assert_int_equal(redlock_fence(one), redlock_fence(two));
    assert_int_equal(stage_holders(the, name), 2);
    EXPECT(attempt(the->other, OWN(.owner = "txn-78")), REDLOCK_BUSY);
    EXPECT(attempt(the->other, OWN()), REDLOCK_BUSY);
    EXPECT(redlock_release(one), REDLOCK_OK);
    EXPECT(attempt(the->client, NULL), REDLOCK_BUSY);
    EXPECT(redlock_release(two), REDLOCK_OK);
    expect_free(the->client, name);
}

static void an_owner_by_name_is_the_same_on_any_thread(void **state)
{
    stage *the = *state;
    redlock_lock *mine = take(the->client, name, OWN(.owner = "txn-77"));
    taker *theirs = taker_start(the, the->client, name, OWN(.owner = "txn-77"));
    expect_taker(theirs, REDLOCK_OK);
    assert_ptr_equal(theirs->lock, mine);
    EXPECT(redlock_release(mine), REDLOCK_OK);
    expect_taken(the->other, name);
    taker_release(theirs);
    expect_free(the->other, name);
}

/* Owners of any bytes, and what differs in a byte is another. */
static void owners_are_told_apart_by_their_bytes(void **state)
{
    static const char *const owners[] = {
        "a",   "a ",  "a@",     "@a",
        "a/1", "%61", "\xff\n", "0123456789012345678901234567890123456789012345678901234567890123"};
    enum { COUNT = sizeof owners / sizeof *owners };
    stage *the = *state;
    for (int i = 0; i < COUNT; i++) {
        redlock_lock *held = take(the->client, name, OWN(.owner = owners[i]));
        for (int j = 0; j < COUNT; j++)
            assert_int_equal(attempt(the->other, OWN(.owner = owners[j])),
                             i == j ? REDLOCK_OK : REDLOCK_BUSY);
        EXPECT(redlock_release(held), REDLOCK_OK);
    }
    EXPECT(attempt(the->client, OWN(.owner = "")), REDLOCK_ERR_ARGUMENT);
    EXPECT(attempt(the->client, REDLOCK_OPTIONS(.owner = "a")), REDLOCK_ERR_ARGUMENT);
    char long_one[66] = {0};
    memset(long_one, 'a', 65);
    EXPECT(attempt(the->client, OWN(.owner = long_one)), REDLOCK_ERR_ARGUMENT);
}

/* ---- Owners in several processes --------------------------------------------------------------*/

/* <program> owner <uri> <owner>: enters "r" by that name, for as long as it lives. */
static int owner_run(char **argv)
{
    redlock_client *client;
    redlock_lock *lock;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (redlock_open(argv[2], NULL, &client) != REDLOCK_OK) return 2;
    if (redlock_acquire(
            client, name,
            OWN(.owner = argv[3], .ttl_ms = patience_outlasting_ms(400), .auto_renew = true),
            &lock) != REDLOCK_OK)
        return 3;
    for (;;) pause();
}

static pid_t owner_start(stage *self, const char *owner)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(actor_program, actor_program, "owner", server_uri(self->server), owner, (char *)NULL);
        _exit(127);
    }
    self->actors[0] = pid;
    return pid;
}

static bool is_had(void *arg)
{
    stage *the = arg;
    redlock_lock *lock;
    redlock_status status = redlock_acquire(the->other, name, NULL, &lock);
    redlock_release(lock);
    return status == REDLOCK_OK;
}

static void an_owner_by_name_may_be_two_processes_and_one_may_die(void **state)
{
    stage *the = *state;
    redlock_lock *mine = take(the->client, name, OWN(.owner = "txn-77"));
    pid_t process = owner_start(the, "txn-77");
    await_holders(the, name, 2);
    EXPECT(redlock_release(mine), REDLOCK_OK);
    EXPECT(attempt(the->client, NULL), REDLOCK_BUSY);
    EXPECT(attempt(the->client, OWN(.owner = "txn-77")), REDLOCK_OK);
    actor_kill(the, process);
    eventually(is_had, the);
}

/* The outer entry has left, so the refused inner one was the last: nothing may stay behind. */
static void a_refused_entry_that_was_the_last_gives_the_lock_back(void **state)
{
    stage *the = *state;
    redlock_client *behind =
        stage_open(the, proxy_uri(the->proxy),
                   REDLOCK_CLIENT_OPTIONS(LOGGED(the), .timeout_ms = patience_outlasting_ms(300)));
    redlock_lock *outer = take(behind, name, OWN_SHARED(.owner = "txn-77"));
    EXPECT(redlock_upgrade(outer), REDLOCK_OK);
    EXPECT(redlock_downgrade(outer), REDLOCK_OK);
    redlock_lock *beside = take(the->other, name, OWN_SHARED());
    long long calls = server_calls(the->server, "evalsha");
    proxy_hold(the->proxy, true);
    taker *inner = taker_start(the, behind, name, OWN(.owner = "txn-77"));
    while (server_calls(the->server, "evalsha") == calls) patience_pause();
    EXPECT(redlock_release(outer), REDLOCK_OK); /* the entry under way goes on */
    proxy_hold(the->proxy, false);
    expect_taker(inner, REDLOCK_DEADLOCK);
    await_holders(the, name, 1);
    EXPECT(redlock_release(beside), REDLOCK_OK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(an_owner_by_name_has_the_lock_in_two_clients),
        ON_STAGE(an_owner_by_name_is_the_same_on_any_thread),
        ON_STAGE(owners_are_told_apart_by_their_bytes),
        ON_STAGE(an_owner_by_name_may_be_two_processes_and_one_may_die),
        ON_STAGE(a_refused_entry_that_was_the_last_gives_the_lock_back),
    };
    if (argc > 1 && strcmp(argv[1], "owner") == 0) return owner_run(argv);
    ACTOR_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
