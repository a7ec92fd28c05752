/* SPDX-License-Identifier: MIT
 * Scoped locks: however a body is left and whatever became of the lock, the body's error, the
 * release's result and the acquisition's stay apart. */
#include <errno.h>

#include "live/stage.h"

#pragma GCC diagnostic error "-Wshadow"

enum { BODY_ERROR = 7 };

/* ---- Every way out, with every outcome --------------------------------------------------------*/

enum way { FALL_THROUGH, BREAK, CONTINUE, RETURN, GOTO, NESTED, WAYS };
enum outcome { FINE, EXPIRED, TAKEN_OVER, CONNECTION_DOWN, SERVER_ERROR, OUTCOMES };

typedef struct trial {
    stage *stage;
    redlock_client *client;
    enum way way;
    enum outcome outcome;
    int body_error;
    int64_t ttl_ms;
    redlock_lock *taken; /* over, by another client */
    int began, ended;    /* how often the body did */
} trial;

/* Inside the body: what the release will meet. */
static int body(trial *self, redlock_lock *lock)
{
    server *on = self->stage->server;
    self->began++;
    assert_true(redlock_is_held(lock));
    switch (self->outcome) {
    case FINE: break;
    case EXPIRED: eventually(is_unheld, lock); break;
    case TAKEN_OVER:
        server_number(on, "DEL redlock:{r}");
        self->taken = take(self->stage->other, "r", NULL);
        break;
    case CONNECTION_DOWN: server_kill(on); break;
    case SERVER_ERROR: server_number(on, "SET redlock:{r} stranger"); break;
    case OUTCOMES: break;
    }
    return self->body_error;
}

static void leave_nested(trial *self, redlock_status *st, int *err)
{
    redlock_status inner_st;
    int inner_err = 0;
    REDLOCK_WITH_LOCK (lock, self->client, "r", st, err, .ttl_ms = self->ttl_ms) {
        REDLOCK_WITH_LOCK (inner, self->client, "inner", &inner_st, &inner_err, .ttl_ms = 30000) {
            *err = body(self, lock);
            assert_true(redlock_is_held(inner));
            if (self->began > 0) return;
        }
        self->ended++;
    }
}

static void leave(trial *self, redlock_status *st, int *err)
{
    if (self->way == NESTED) {
        leave_nested(self, st, err);
        return;
    }
    REDLOCK_WITH_LOCK (lock, self->client, "r", st, err, .ttl_ms = self->ttl_ms) {
        *err = body(self, lock);
        if (self->way == BREAK) break;
        if (self->way == CONTINUE) continue;
        if (self->way == RETURN) return;
        if (self->way == GOTO) goto out;
        self->ended++;
    }
out:
    return;
}

static bool is_due(enum outcome outcome, redlock_status st)
{
    switch (outcome) {
    case FINE: return st == REDLOCK_OK;
    case EXPIRED:
    case TAKEN_OVER: return st == REDLOCK_LOST;
    case CONNECTION_DOWN: return st == REDLOCK_ERR_CONNECT || st == REDLOCK_ERR_TIMEOUT;
    case SERVER_ERROR: return st == REDLOCK_ERR_WRONG_TYPE;
    case OUTCOMES: break;
    }
    return false;
}

static void try_one(trial *self)
{
    redlock_status st = REDLOCK_ERR_ARGUMENT;
    int err = 0, logged = atomic_load(&self->stage->journal.lines);
    leave(self, &st, &err);
    logged = atomic_load(&self->stage->journal.lines) - logged;
    bool is_to_be_logged = st < 0 || (st != REDLOCK_OK && err != 0);
    bool is_right = err == self->body_error && is_due(self->outcome, st) &&
                    logged == is_to_be_logged && self->began == 1 &&
                    self->ended == (self->way == FALL_THROUGH);
    if (!is_right)
        fail_msg("way %d, outcome %d, error %d: err %d, %s, %d warnings, %d begun, %d ended",
                 self->way, self->outcome, self->body_error, err, redlock_status_name(st), logged,
                 self->began, self->ended);
}

static void try_every_way(stage *the, enum outcome outcome)
{
    for (enum way way = 0; way < WAYS; way++) {
        for (int error = 0; error <= BODY_ERROR; error += BODY_ERROR) {
            redlock_client *client =
                stage_open(the, server_uri(the->server),
                           REDLOCK_CLIENT_OPTIONS(.timeout_ms = 500, LOGGED(the)));
            trial one = {.stage = the,
                         .client = client,
                         .way = way,
                         .outcome = outcome,
                         .body_error = error};
            one.ttl_ms = outcome == EXPIRED ? brief_ms() : 30000;
            try_one(&one);
            EXPECT(redlock_release(one.taken), REDLOCK_OK);
            if (outcome == CONNECTION_DOWN) server_restart(the->server);
            if (outcome == FINE) expect_free(the->client, "r");
            if (outcome != CONNECTION_DOWN) expect_free(the->client, "inner");
            server_number(the->server, "DEL redlock:{r} redlock:{inner}");
            stage_close(the, client);
        }
    }
}

/* Pitfall 29, once for every class of failure. */
static void every_way_out_releases_the_lock(void **state) { try_every_way(*state, FINE); }
static void an_expired_lock_never_hides_the_bodys_error(void **state)
{
    try_every_way(*state, EXPIRED);
}
static void a_lock_that_was_taken_away_never_hides_the_bodys_error(void **state)
{
    try_every_way(*state, TAKEN_OVER);
}
static void a_dead_server_never_hides_the_bodys_error(void **state)
{
    try_every_way(*state, CONNECTION_DOWN);
}
static void a_servers_error_never_hides_the_bodys_error(void **state)
{
    try_every_way(*state, SERVER_ERROR);
}

/* The release of a scope whose lock a stranger has now. */
static void a_scope_leaves_the_next_owner_alone(void **state)
{
    stage *the = *state;
    redlock_lock *next = NULL;
    redlock_status st;
    int err = 0;
    REDLOCK_WITH (the->client, "r", &st, &err, .ttl_ms = brief_ms()) {
        next = take(the->other, "r", REDLOCK_OPTIONS(.wait_ms = 5000));
    }
    EXPECT(st, REDLOCK_LOST);
    expect_taken(the->client, "r");
    EXPECT(redlock_release(next), REDLOCK_OK);
}

static void a_command_that_is_no_longer_allowed_is_the_result_of_a_clean_body(void **state)
{
    stage *the = *state;
    server_number(the->server, "ACL SETUSER worker on >secret ~* &* +@all");
    redlock_client *worker =
        stage_open(the, server_uri(the->server),
                   REDLOCK_CLIENT_OPTIONS(.user = "worker", .password = "secret", LOGGED(the)));
    redlock_status st;
    int err = 0;
    REDLOCK_WITH (worker, "r", &st, &err, .ttl_ms = 5000) {
        server_number(the->server, "ACL SETUSER worker -evalsha");
    }
    EXPECT(st, REDLOCK_ERR_DENIED);
    assert_int_equal(err, 0);
    assert_int_equal(atomic_load(&the->journal.lines), 1); /* as for every release that failed */
}

/* ---- The block --------------------------------------------------------------------------------*/

static void the_body_does_not_run_without_the_lock(void **state)
{
    stage *the = *state;
    redlock_lock *held = take(the->other, "r", NULL);
    redlock_status st;
    int err = 0, runs = 0;
    REDLOCK_WITH (the->client, "r", &st, &err, .ttl_ms = 5000) {
        runs++;
    }
    EXPECT(st, REDLOCK_BUSY);
    assert_int_equal(runs + err, 0);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

static void the_lock_is_held_inside_and_free_behind(void **state)
{
    stage *the = *state;
    redlock_status st = REDLOCK_BUSY;
    int err = 0, runs = 0;
    REDLOCK_WITH (the->client, "r", &st, &err, .ttl_ms = 5000) {
        EXPECT(st, REDLOCK_OK);
        expect_taken(the->other, "r");
        runs++;
    }
    EXPECT(st, REDLOCK_OK);
    assert_int_equal(runs, 1);
    expect_free(the->other, "r");
}

static void the_handle_has_a_name_inside_the_body(void **state)
{
    stage *the = *state;
    redlock_status st;
    uint64_t fence = 0;
    REDLOCK_WITH_LOCK (lock, the->client, "r", &st, (int *)NULL, .ttl_ms = 5000) {
        fence = redlock_fence(lock);
        EXPECT(redlock_extend(lock, 10000), REDLOCK_OK);
    }
    EXPECT(st, REDLOCK_OK);
    assert_true(fence > 0);
}

static void break_and_continue_leave_the_block_and_not_the_loop_around_it(void **state)
{
    stage *the = *state;
    redlock_status st;
    int err = 0, rounds = 0;
    for (int i = 0; i < 4; i++) {
        REDLOCK_WITH (the->client, "r", &st, &err, .ttl_ms = 5000) {
            if (i % 2) break;
            else continue;
        }
        EXPECT(st, REDLOCK_OK);
        rounds++;
    }
    assert_int_equal(rounds, 4);
    assert_int_equal(stats_of(the->client).released, 4);
}

static void different_locks_nest(void **state)
{
    stage *the = *state;
    redlock_status outer_st, inner_st;
    int err = 0, runs = 0;
    REDLOCK_WITH_LOCK (outer, the->client, "a", &outer_st, &err, .ttl_ms = 5000) {
        REDLOCK_WITH_LOCK (inner, the->client, "b", &inner_st, &err, .ttl_ms = 5000) {
            assert_string_equal(redlock_name(outer, NULL), "a");
            assert_string_equal(redlock_name(inner, NULL), "b");
            runs++;
        }
        EXPECT(inner_st, REDLOCK_OK);
        expect_free(the->other, "b");
        expect_taken(the->other, "a");
    }
    EXPECT(outer_st, REDLOCK_OK);
    assert_int_equal(runs, 1);
    expect_free(the->other, "a");
}

/* Pitfall 22, in its plainest form: reported, and not waited for. */
static void a_lock_inside_itself_is_busy(void **state)
{
    stage *the = *state;
    redlock_status outer_st, inner_st = REDLOCK_OK;
    int err = 0;
    REDLOCK_WITH (the->client, "r", &outer_st, &err, .ttl_ms = 5000) {
        REDLOCK_WITH (the->client, "r", &inner_st, &err, .ttl_ms = 5000) {
            fail();
        }
    }
    EXPECT(inner_st, REDLOCK_BUSY);
    EXPECT(outer_st, REDLOCK_OK);
}

static void a_failed_release_that_nobody_asked_about_is_logged(void **state)
{
    stage *the = *state;
    REDLOCK_WITH (the->client, "r\n", NULL, NULL, .ttl_ms = 5000) {
        freeReplyObject(server_command(the->server, "FLUSHALL"));
    }
    assert_int_equal(atomic_load(&the->journal.lines), 1);
    assert_non_null(strstr(the->journal.last, "r\\"));
    assert_null(strchr(the->journal.last, '\n'));
}

/* ---- The declaration --------------------------------------------------------------------------*/

static int hold_and_return(redlock_client *client, bool early)
{
    REDLOCK_AUTO redlock_lock *lock = NULL;
    if (redlock_acquire(client, "r", NULL, &lock) != REDLOCK_OK) return -1;
    if (early) return 1;
    return 2;
}

static void a_declared_lock_is_released_on_every_way_out(void **state)
{
    stage *the = *state;
    assert_int_equal(hold_and_return(the->client, true), 1);
    assert_int_equal(hold_and_return(the->client, false), 2);
    expect_free(the->other, "r");
    assert_int_equal(atomic_load(&the->journal.lines), 0);
}

/* The release fails, and has set it more than once by then. */
static void leaving_a_scope_changes_no_errno(void **state)
{
    stage *the = *state;
    redlock_status st;
    int err = 0;
    REDLOCK_WITH (the->client, "r", &st, &err, .ttl_ms = 30000) {
        server_kill(the->server);
        errno = EDOM;
    }
    assert_int_equal(errno, EDOM);
    assert_true(st < 0);
    server_restart(the->server);
    {
        REDLOCK_AUTO redlock_lock *lock = take(the->client, "r", NULL);
        server_kill(the->server);
        errno = ERANGE;
    }
    assert_int_equal(errno, ERANGE);
}

static void a_declared_lock_that_was_not_had_is_nothing(void **state)
{
    stage *the = *state;
    redlock_lock *held = take(the->other, "r", NULL);
    assert_int_equal(hold_and_return(the->client, true), -1);
    expect_taken(the->client, "r");
    EXPECT(redlock_release(held), REDLOCK_OK);
}

static void a_declared_lock_that_cannot_be_released_is_logged(void **state)
{
    stage *the = *state;
    {
        REDLOCK_AUTO redlock_lock *lock = take(the->client, "r", NULL);
        freeReplyObject(server_command(the->server, "FLUSHALL"));
        assert_true(redlock_is_held(lock)); /* as far as it can know */
    }
    assert_int_equal(atomic_load(&the->journal.lines), 1);
}

static void a_declared_lock_that_was_released_by_hand_is_left_alone(void **state)
{
    stage *the = *state;
    {
        REDLOCK_AUTO redlock_lock *lock = take(the->client, "r", NULL);
        EXPECT(redlock_release_and_clear(&lock), REDLOCK_OK);
        assert_null(lock);
        EXPECT(redlock_release_and_clear(&lock), REDLOCK_OK);
    }
    assert_int_equal(atomic_load(&the->journal.lines), 0);
    assert_int_equal(stats_of(the->client).released, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(every_way_out_releases_the_lock),
        ON_STAGE(an_expired_lock_never_hides_the_bodys_error),
        ON_STAGE(a_lock_that_was_taken_away_never_hides_the_bodys_error),
        ON_STAGE(a_dead_server_never_hides_the_bodys_error),
        ON_STAGE(a_servers_error_never_hides_the_bodys_error),
        ON_STAGE(a_scope_leaves_the_next_owner_alone),
        ON_STAGE(a_command_that_is_no_longer_allowed_is_the_result_of_a_clean_body),
        ON_STAGE(the_body_does_not_run_without_the_lock),
        ON_STAGE(the_lock_is_held_inside_and_free_behind),
        ON_STAGE(the_handle_has_a_name_inside_the_body),
        ON_STAGE(break_and_continue_leave_the_block_and_not_the_loop_around_it),
        ON_STAGE(different_locks_nest),
        ON_STAGE(a_lock_inside_itself_is_busy),
        ON_STAGE(a_failed_release_that_nobody_asked_about_is_logged),
        ON_STAGE(a_declared_lock_is_released_on_every_way_out),
        ON_STAGE(leaving_a_scope_changes_no_errno),
        ON_STAGE(a_declared_lock_that_was_not_had_is_nothing),
        ON_STAGE(a_declared_lock_that_cannot_be_released_is_logged),
        ON_STAGE(a_declared_lock_that_was_released_by_hand_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
