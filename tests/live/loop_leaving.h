/* SPDX-License-Identifier: MIT
 * What holds in every event loop when a client comes to it or leaves it: other threads, other
 * processes, detaching and closing, inside a completion and outside. Rule: nothing here knows which
 * loop it is. */
#ifndef REDLOCK_TESTS_LIVE_LOOP_LEAVING_H
#define REDLOCK_TESTS_LIVE_LOOP_LEAVING_H

#include "live/loop_stage.h"

/* ---- Threads and processes --------------------------------------------------------------------*/

typedef struct submission {
    redlock_client *client;
    outcome seen;
    redlock_status status;
} submission;

static void *submit_elsewhere(void *arg)
{
    submission *self = arg;
    self->status = redlock_acquire_async(self->client, "r", 1, NULL, acquired, &self->seen, NULL);
    return NULL;
}

static void what_another_thread_submits_completes_in_the_loop(void **state)
{
    looped *the = *state;
    pthread_t thread;
    submission made = {.client = the->client};
    loop_some_ticks(); /* so that the loop sleeps on a descriptor that had nothing */
    assert_int_equal(pthread_create(&thread, NULL, submit_elsewhere, &made), 0);
    (void)loop_until(has_come, &made.seen);
    pthread_join(thread, NULL);
    EXPECT(made.status, REDLOCK_OK);
    expect_outcome(&made.seen, REDLOCK_OK);
    release_in_loop(made.seen.lock, REDLOCK_OK);
}

static bool has_left(void *attached) { return !library.is_attached(attached); }

/* The descriptor is readable when the child begins. */
static void in_a_child_of_fork_the_client_leaves_the_loop(void **state)
{
    looped *the = *state;
    int status = 0;
    outcome seen = {0};
    (void)ask(the->client, "r", NULL, &seen);
    assert_int_equal(
        poll(&(struct pollfd){.fd = redlock_fd(the->client), .events = POLLIN}, 1, 10000), 1);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        loop_wait wait = {.is_so = has_left, .arg = the->attached, .patience = patience_begin()};
        library.after_fork();
        library.run(goes_on_waiting, &wait);
        _exit(!wait.has_come ? 1 : seen.times != 0 ? 2 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0) fail_msg("the child ended with status 0x%x", (unsigned)status);
    (void)loop_until(has_come, &seen);
    assert_true(library.is_attached(the->attached));
    release_in_loop(seen.lock, REDLOCK_OK);
}

static void a_client_with_a_thread_of_its_own_is_refused(void **state)
{
    looped *the = *state;
    attachment *refused;
    EXPECT(library.attach(the->stage->other, &refused), REDLOCK_ERR_ARGUMENT);
    assert_false(library.is_attached(refused));
    library.detach(refused);
    library.free(refused);
}

/* ---- Leaving ----------------------------------------------------------------------------------*/

static void strike(looped *the)
{
    for (int i = 0; i < STAGE_CLIENTS; i++)
        if (the->stage->clients[i] == the->client) the->stage->clients[i] = NULL;
}

static void close_client(void *arg) { (void)redlock_close(((looped *)arg)->client); }

static void leave(void *arg) { leave_loop(arg); }

static void leave_and_close(void *arg)
{
    leave_loop(arg);
    close_client(arg);
}

static void a_client_closed_inside_a_completion_leaves_the_loop_by_itself(void **state)
{
    looped *the = *state;
    outcome last = {.then = close_client, .then_arg = the}, waits = {0};
    redlock_lock *theirs = take(the->stage->other, "theirs", NULL);
    redlock_lock *ours = take_in_loop(the->client, "ours", NULL);
    (void)ask(the->client, "theirs", FOR_EVER, &waits);
    (void)loop_until(has_waiters, (&(expected){the->stage, "theirs", 1}));
    (void)ask(the->client, "r", NULL, &last);
    (void)loop_until(has_left, the->attached);
    strike(the);
    loop_some_ticks();
    expect_outcome(&last, REDLOCK_OK);
    expect_outcome(&waits, REDLOCK_ERR_CLOSED);
    expect_free(the->stage->other, "ours");
    expect_free(the->stage->other, "r");
    EXPECT(redlock_release(ours), REDLOCK_ERR_CLOSED);
    EXPECT(redlock_release(last.lock), REDLOCK_ERR_CLOSED);
    EXPECT(redlock_release(theirs), REDLOCK_OK);
}

/* The storage is freed in the middle of the adapter's own call. */
static void a_completion_may_detach_and_free_the_storage(void **state)
{
    looped *the = *state;
    outcome seen = {.then = leave, .then_arg = the};
    (void)ask(the->client, "r", NULL, &seen);
    (void)loop_until(has_come, &seen);
    expect_outcome(&seen, REDLOCK_OK);
    loop_some_ticks();
    EXPECT(library.attach(the->client, &the->attached), REDLOCK_OK);
    release_in_loop(seen.lock, REDLOCK_OK);
}

static void a_completion_may_detach_free_the_storage_and_close(void **state)
{
    looped *the = *state;
    outcome seen = {.then = leave_and_close, .then_arg = the};
    (void)ask(the->client, "r", NULL, &seen);
    (void)loop_until(has_come, &seen);
    strike(the);
    loop_some_ticks();
    expect_outcome(&seen, REDLOCK_OK);
    expect_free(the->stage->other, "r");
    EXPECT(redlock_release(seen.lock), REDLOCK_ERR_CLOSED);
}

static void a_client_that_was_detached_twice_is_closed_with_what_it_holds(void **state)
{
    looped *the = *state;
    redlock_lock *held = take_in_loop(the->client, "r", NULL);
    library.detach(the->attached);
    library.detach(the->attached);
    loop_some_ticks();
    expect_taken(the->stage->other, "r");
    stage_close(the->stage, the->client);
    expect_free(the->stage->other, "r");
    EXPECT(redlock_release(held), REDLOCK_ERR_CLOSED);
}

#endif
