/* SPDX-License-Identifier: MIT
 * Children of fork: what they ask is answered, what they have is their parent's, and nothing of it
 * is touched. */
#include <stdio.h>
#include <sys/wait.h>

#include "live/async_stage.h"

/* ---- What a child is told ---------------------------------------------------------------------*/

/* The number of the first answer that is another one. */
static int look_at_everything(redlock_client *client, redlock_lock *lock,
                              redlock_canceller *canceller)
{
    if (redlock_is_held(lock)) return 1;
    if (redlock_remaining_ms(lock) != 0) return 2;
    if (redlock_fence(lock) != 0) return 3;
    if (redlock_timeout_ms(client) != -1) return 4;
    if (redlock_release_async(lock, NULL, NULL) != REDLOCK_ERR_FORKED) return 5;
    if (redlock_upgrade_async(lock, NULL, NULL) != REDLOCK_ERR_FORKED) return 6;
    redlock_adopt(lock);
    redlock_cancel(canceller);
    redlock_canceller_reset(canceller);
    return 0;
}

static void a_child_holds_nothing_and_cancels_nothing(void **state)
{
    async_stage *the = *state;
    redlock_client *client = async_open_plain(the)->client;
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    redlock_lock *lock = take(the->stage->client, "r", NULL), *free_lock = NULL;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(look_at_everything(client, lock, canceller));
    expect_exit(child, 0);
    EXPECT(redlock_acquire(the->stage->client, "s", REDLOCK_OPTIONS(.canceller = canceller),
                           &free_lock),
           REDLOCK_OK);
    EXPECT(redlock_release(free_lock), REDLOCK_OK);
    redlock_canceller_close(canceller);
    assert_true(redlock_is_held(lock));
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* ---- A child that a completion makes ----------------------------------------------------------*/

typedef struct birth {
    _Atomic pid_t child; /* 0 in the child */
    _Atomic bool is_over;
} birth;

static void birth_begin(birth *self)
{
    atomic_store(&self->child, -1);
    atomic_store(&self->is_over, false);
}

/* Before whatever looks for leaks: what the child has is its parent's. */
static void end_at_once(void) { _exit(0); }

static void bear(birth *made)
{
    fflush(NULL);
    made->child = fork();
    if (made->child == 0) (void)atexit(end_at_once);
    made->is_over = true;
}

static void give_birth(deed *self) { bear(self->arg); }

enum { CHILD_COMPLETED = 3, CHILD_WENT_ON = 4 };

static void nobody_in_the_child(deed *self)
{
    const birth *made = self->arg;
    if (made->is_over && made->child == 0) _exit(CHILD_COMPLETED);
}

/* The parent goes on; a child must not come back here but with the one answer. */
static void turn_or_end(loop *self, const birth *made)
{
    if (self->host == REDLOCK_HOST_KEEPER) {
        patience_pause();
        return;
    }
    struct pollfd look = {.fd = redlock_fd(self->client), .events = POLLIN};
    if (poll(&look, 1, 5) <= 0) return;
    redlock_status status = redlock_process(self->client);
    if (made->is_over && made->child == 0) _exit(status == REDLOCK_ERR_FORKED ? 0 : CHILD_WENT_ON);
    EXPECT(status, REDLOCK_OK);
}

/* On the keeper's own thread the child ends with that: it has no other. */
static void a_child_of_a_completion_ends_there(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    static birth made;
    birth_begin(&made);
    deed *first = deed_new(on), *second = deed_new(on);
    first->then = give_birth;
    second->then = nobody_in_the_child;
    first->arg = second->arg = &made;
    deed_acquire(first, "r", NULL);
    deed_acquire(second, "s", NULL);
    for (patience left = patience_begin(); !deed_is_done(first) || !deed_is_done(second);
         turn_or_end(on, &made))
        assert_false(patience_is_over(&left));
    expect_exit(made.child, 0);
    check_deed(first, "REDLOCK_OK");
    check_deed(second, "REDLOCK_OK");
    deed *given[2] = {deed_new(on), deed_new(on)};
    deed_release(given[0], first->lock);
    deed_release(given[1], second->lock);
    COMPLETES(given[0], REDLOCK_OK);
    COMPLETES(given[1], REDLOCK_OK);
    assert_int_equal(stats_of(on->client).connections_lost, 0);
}

static void give_birth_to(void *arg, redlock_lock *lock)
{
    (void)lock;
    bear(arg);
}

static bool is_over(void *arg) { return atomic_load(&((birth *)arg)->is_over); }

static void a_child_of_on_lost_ends_there(void **state)
{
    async_stage *the = *state;
    static birth made;
    birth_begin(&made);
    redlock_client *client = the->stage->client;
    redlock_lock *lock = take(client, "r",
                              REDLOCK_OPTIONS(.ttl_ms = 300, .auto_renew = true,
                                              .on_lost = give_birth_to, .on_lost_arg = &made));
    server_number(the->stage->server, "DEL redlock:{r}");
    eventually(is_over, &made);
    expect_exit(made.child, 0);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    expect_free(client, "r");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_HOST(a_child_holds_nothing_and_cancels_nothing),
        ON_EVERY_HOST(a_child_of_a_completion_ends_there),
        ON_HOST(a_child_of_on_lost_ends_there, on_the_keeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
