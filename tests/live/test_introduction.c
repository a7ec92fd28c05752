/* SPDX-License-Identifier: MIT
 * What is lost while the completion that hands it out still runs: its user is told behind that, and
 * not before, however long the completion takes. The client's thread is another one here. */
#include "live/modes_stage.h"

enum { TTL_MS = 600 };

/* What the user of one lock, or of a set, hears and does. */
typedef struct user {
    stage *on;
    bool lets_go; /* inside the completion, behind the loss */
    redlock_status status;
    redlock_lock *lock; /* NULL: it was let go of */
    redlock_set *set;
    bool was_held, is_lost;    /* when the completion began, and when it returned */
    int risks_seen, lost_seen; /* inside the completion */
    _Atomic int risks, losses, given_back;
} user;

static void hears_risk(void *arg, redlock_lock *lock, int64_t left_ms)
{
    (void)lock;
    (void)left_ms;
    atomic_fetch_add(&((user *)arg)->risks, 1);
}

static void hears_loss(void *arg, redlock_lock *lock)
{
    (void)lock;
    atomic_fetch_add(&((user *)arg)->losses, 1);
}

static void has_given_back(void *arg, redlock_status status)
{
    (void)status;
    atomic_fetch_add(&((user *)arg)->given_back, 1);
}

/* The keeper has had time to say more since. */
static void outlast(user *self, redlock_lock *lock)
{
    self->was_held = redlock_is_held(lock);
    server_freeze(self->on->server);
    for (patience left = patience_begin(); redlock_is_held(lock) && !patience_is_over(&left);)
        patience_pause();
    for (int i = 0; i < 20; i++) patience_pause();
    server_thaw(self->on->server);
    self->is_lost = !redlock_is_held(lock);
    self->risks_seen = atomic_load(&self->risks);
    self->lost_seen = atomic_load(&self->losses);
}

static void has_one(void *arg, redlock_status status, redlock_lock *lock)
{
    user *self = arg;
    self->status = status;
    if (status != REDLOCK_OK) return;
    outlast(self, lock);
    if (self->lets_go) (void)redlock_release_async(lock, has_given_back, self);
    else self->lock = lock;
}

static void has_set(void *arg, redlock_status status, redlock_set *set)
{
    user *self = arg;
    self->status = status;
    if (status != REDLOCK_OK) return;
    outlast(self, redlock_set_lock(set, 1));
    if (self->lets_go) (void)redlock_release_set_async(set, has_given_back, self);
    else self->set = set;
}

static const redlock_name_bytes two[] = {{"a", 1}, {"b", 1}};

/* The completion has run, and its user was told nothing before it returned. A single lock is not
 * renewed: no answer reminds the keeper of it. */
static redlock_client *introduce(user *self, bool is_set)
{
    redlock_client *client = stage_open(self->on, server_uri(self->on->server),
                                        REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_DELIVER));
    const redlock_options *terms = REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(TTL_MS),
                                                   .auto_renew = is_set, .on_lost = hears_loss,
                                                   .on_lost_arg = self, .on_risk = hears_risk,
                                                   .on_risk_arg = self);
    redlock_status status =
        is_set ? redlock_acquire_set_async(client, two, 2, terms, has_set, self, NULL)
               : redlock_acquire_async(client, name, 1, terms, has_one, self, NULL);
    EXPECT(status, REDLOCK_OK);
    eventually(is_posted, client);
    EXPECT(redlock_process(client), REDLOCK_OK);
    EXPECT(self->status, REDLOCK_OK);
    assert_true(self->was_held);
    assert_true(self->is_lost);
    assert_int_equal(self->lost_seen, 0);
    assert_int_equal(self->risks_seen, 0);
    return client;
}

static bool has_lost_one(void *arg) { return atomic_load(&((user *)arg)->losses) == 1; }
static bool has_lost_two(void *arg) { return atomic_load(&((user *)arg)->losses) == 2; }

static void a_loss_is_told_behind_the_completion(void **state)
{
    user self = {.on = *state};
    (void)introduce(&self, false);
    eventually(has_lost_one, &self);
    EXPECT(redlock_release(self.lock), REDLOCK_LOST);
    assert_int_equal(atomic_load(&self.risks), 0);
}

static void the_losses_of_a_set_are_told_behind_the_completion(void **state)
{
    user self = {.on = *state};
    (void)introduce(&self, true);
    eventually(has_lost_two, &self);
    EXPECT(redlock_release_set(self.set), REDLOCK_LOST);
    assert_int_equal(atomic_load(&self.risks), 0);
}

static void expect_silence(user *self, redlock_client *client)
{
    eventually(is_posted, client);
    EXPECT(redlock_process(client), REDLOCK_OK);
    assert_int_equal(atomic_load(&self->given_back), 1);
    for (int i = 0; i < 20; i++) patience_pause();
    assert_int_equal(atomic_load(&self->losses), 0);
    assert_int_equal(atomic_load(&self->risks), 0);
}

static void what_was_let_go_of_inside_is_told_never(void **state)
{
    user self = {.on = *state, .lets_go = true};
    expect_silence(&self, introduce(&self, false));
}

static void a_set_that_was_let_go_of_inside_is_told_never(void **state)
{
    user self = {.on = *state, .lets_go = true};
    expect_silence(&self, introduce(&self, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_loss_is_told_behind_the_completion),
        ON_STAGE(the_losses_of_a_set_are_told_behind_the_completion),
        ON_STAGE(what_was_let_go_of_inside_is_told_never),
        ON_STAGE(a_set_that_was_let_go_of_inside_is_told_never),
    };
    return cmocka_run_group_tests_name("live introduction", tests, NULL, NULL);
}
