/* SPDX-License-Identifier: MIT
 * What was given up never comes back: an acquire whose bytes arrive after it was answered with a
 * failure, behind a proxy that delivers late, on a busy server and on a frozen one, leaves no lock
 * that nobody holds. */
#include "live/given_up.h"

/* ---- A network that delivers late ---------------------------------------------------------------
 *
 *     acquire "r" --- kept --->| given up, undone over another connection | acquire, undo arrive
 */

static redlock_client *client_of_row(stage *the, const row *how)
{
    const char *uri = how->on_tcp ? proxy_tcp_uri(the->proxy) : proxy_uri(the->proxy);
    return stage_open(the, uri, REDLOCK_CLIENT_OPTIONS(LOGGED(the), .timeout_ms = how->timeout_ms));
}

/* Its lane is connected and, for a question that queues, subscribed. No cancel was sent yet. */
static void warm_up(stage *the, redlock_client *client, const row *how)
{
    redlock_lock *held = take(how->queues ? the->other : client, "warm", NULL);
    taker *waits = how->queues ? taker_start(the, client, "warm", FOR_EVER) : NULL;
    if (waits != NULL) await_waiters(the, "warm", 1);
    EXPECT(redlock_release(held), REDLOCK_OK);
    if (waits == NULL) return;
    expect_taker(waits, REDLOCK_OK);
    taker_release(waits);
}

static redlock_status give_up(stage *the, redlock_client *client, const row *how)
{
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    written before = written_now(client);
    taker *asks = taker_start(
        the, client, "r",
        REDLOCK_OPTIONS(.ttl_ms = LONG_MS, .wait_ms = how->wait_ms, .canceller = canceller));
    if (how->end != BY_DEADLINE) eventually(has_written, &before);
    if (how->end == BY_CUT || how->end == AT_THE_SECOND) proxy_cut(the->proxy);
    if (how->end == AT_THE_SECOND) await_kept(the, 2);
    if (how->end == BY_CANCEL || how->end == AT_THE_SECOND) redlock_cancel(canceller);
    if (how->end == BY_CLOSE) stage_close(the, client);
    eventually(taker_is_done, asks);
    taker_join(asks);
    redlock_canceller_close(canceller);
    if (asks->lock != NULL) taker_release(asks);
    return asks->status;
}

/* Nobody holds it, nobody waits for it, and it serves, as soon as what was delivered has been
 * carried out. */
static void expect_untouched(stage *the)
{
    await_holders(the, "r", 0);
    await_waiters(the, "r", 0);
    expect_free(the->other, "r");
    assert_int_equal(stage_holders(the, "r"), 0);
}

static void what_arrives_late_is_held_by_nobody(void **state)
{
    stage *the = *state;
    const row *how = the_row;
    redlock_client *client = client_of_row(the, how);
    warm_up(the, client, how);
    redlock_lock *held = how->queues ? take(the->other, "r", NULL) : NULL;
    crowd before = crowd_now(the);
    int kept = proxy_keep_requests(the->proxy, how->keeps_all);
    redlock_status status = give_up(the, client, how);
    assert_string_equal(redlock_status_name(status), redlock_status_name(how->status));
    if (!how->keeps_all && how->status != REDLOCK_OK) await_cancel(&before);
    if (how->end != BY_CLOSE) stage_close(the, client);
    if (held != NULL) EXPECT(redlock_release(held), REDLOCK_OK);
    assert_true(kept > 0);
    proxy_deliver_requests(the->proxy, how->order);
    await_departure(&before, kept);
    expect_untouched(the);
}

static const row rows[] = {
    {"a try", .status = REDLOCK_ERR_TIMEOUT},
    {"a try, TCP", .on_tcp = true, .status = REDLOCK_ERR_TIMEOUT},
    {"a wait", .wait_ms = 150, .timeout_ms = 400, .status = REDLOCK_ERR_TIMEOUT},
    {"a wait, TCP", .wait_ms = 150, .timeout_ms = 400, .on_tcp = true,
     .status = REDLOCK_ERR_TIMEOUT},
    {"a wait that queues", .wait_ms = 150, .timeout_ms = 400, .queues = true,
     .status = REDLOCK_ERR_TIMEOUT},
    {"a wait, cancelled", .wait_ms = 20000, .timeout_ms = 10000, .end = BY_CANCEL,
     .status = REDLOCK_CANCELLED},
    {"a wait that queues, cancelled", .wait_ms = 20000, .timeout_ms = 10000, .queues = true,
     .end = BY_CANCEL, .status = REDLOCK_CANCELLED},
    {"a wait, closed", .wait_ms = 20000, .timeout_ms = 10000, .end = BY_CLOSE,
     .status = REDLOCK_ERR_CLOSED},
    {"a wait of two attempts", .wait_ms = 20000, .timeout_ms = 500, .keeps_all = true,
     .end = AT_THE_SECOND, .status = REDLOCK_CANCELLED},
    {"a wait of two attempts, in disorder", .wait_ms = 20000, .timeout_ms = 500, .keeps_all = true,
     .end = AT_THE_SECOND, .order = PROXY_YOUNGEST_FIRST, .status = REDLOCK_CANCELLED},
    {"a try of two attempts, in disorder", .timeout_ms = 500, .keeps_all = true,
     .end = AT_THE_SECOND, .order = PROXY_YOUNGEST_FIRST, .status = REDLOCK_CANCELLED},
    {"a wait whose second attempt is granted", .wait_ms = 20000, .status = REDLOCK_OK},
};

/* ---- A server that is busy, or frozen, while it is given up -------------------------------------
 *
 * Its sockets are served in the order in which they had something to read: the keeper's is the
 * first, since an extension is under way on it. */

static void expect_nothing_after(stage *the, void (*silence)(stage *the), void (*end)(stage *the))
{
    notes extended;
    redlock_client *client =
        stage_open(the, server_uri(the->server),
                   REDLOCK_CLIENT_OPTIONS(LOGGED(the), .timeout_ms = the_row->timeout_ms));
    redlock_lock *held = take(client, "kept", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    extend(held, &extended);
    eventually(is_over, &extended);
    warm_up(the, client, the_row);
    teach(the, SCRIPT_CANCEL);
    crowd before = crowd_now(the);
    silence(the);
    written extension = written_now(client);
    extend(held, &extended);
    eventually(has_written, &extension);
    redlock_status status = give_up(the, client, the_row);
    end(the);
    assert_string_equal(redlock_status_name(status), redlock_status_name(the_row->status));
    await_departure(&before, 1);
    eventually(is_over, &extended);
    extend(held, &extended);
    eventually(is_over, &extended);
    expect_untouched(the);
    assert_int_equal(stats_of(client).undone, 1);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

static void a_busy_server_grants_nothing_afterwards(void **state)
{
    expect_nothing_after(*state, keep_busy, end_of_business);
}

static void a_thawed_server_grants_nothing_afterwards(void **state)
{
    expect_nothing_after(*state, freeze, thaw);
}

static const row silences[] = {
    {"a wait", .wait_ms = 50, .status = REDLOCK_ERR_TIMEOUT},
    {"a wait, cancelled", .wait_ms = 5000, .timeout_ms = 5000, .end = BY_CANCEL,
     .status = REDLOCK_CANCELLED},
    {"a wait that queues", .wait_ms = 50, .queues = true, .status = REDLOCK_ERR_TIMEOUT},
};

/* ---- What is told of it ---------------------------------------------------------------------- */

static void an_undo_that_left_behind_its_request_is_counted_once(void **state)
{
    stage *the = *state;
    const row how = {.timeout_ms = hasty_ms()};
    redlock_client *client = client_of_row(the, &how);
    warm_up(the, client, &how);
    redlock_lock *held = take(client, "kept", NULL);
    crowd before = crowd_now(the);
    proxy_keep_requests(the->proxy, false);
    assert_int_equal(give_up(the, client, &how), REDLOCK_ERR_TIMEOUT);
    assert_int_equal(stats_of(client).undone, 1);
    await_cancel(&before);
    notes extended;
    extend(held, &extended);
    eventually(is_over, &extended);
    assert_int_equal(stats_of(client).undone, 1);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

/* The connection is cut, so that nothing can be sent behind; and there is no other. */
static void an_undo_that_is_only_planned_is_not_counted(void **state)
{
    stage *the = *state;
    const row how = {.timeout_ms = 2 * hasty_ms(), .end = BY_CUT};
    const char *path = proxy_uri(the->proxy) + strlen("unix://");
    char away[128];
    redlock_client *client = client_of_row(the, &how);
    warm_up(the, client, &how);
    proxy_keep_requests(the->proxy, false);
    snprintf(away, sizeof away, "%s.away", path);
    assert_int_equal(rename(path, away), 0);
    assert_true(give_up(the, client, &how) < 0);
    assert_int_equal(stats_of(client).undone, 0);
    assert_int_equal(rename(away, path), 0);
    await_undone(client, 1);
}

/* It leaves the queue in the background, which is no secret, but nothing without an answer. */
static void a_wait_that_was_answered_is_not_counted(void **state)
{
    stage *the = *state;
    redlock_lock *held = take(the->other, "r", NULL), *kept = take(the->client, "kept", NULL);
    notes waited = {.is_over = false}, extended;
    EXPECT(redlock_acquire_async(the->client, "r", 1, REDLOCK_OPTIONS(.wait_ms = 100),
                                 note_acquired, &waited, NULL),
           REDLOCK_OK);
    eventually(is_over, &waited);
    assert_int_equal(waited.status, REDLOCK_TIMED_OUT);
    await_waiters(the, "r", 0);
    extend(kept, &extended);
    eventually(is_over, &extended);
    assert_int_equal(stats_of(the->client).undone, 0);
    EXPECT(redlock_release(held), REDLOCK_OK);
    EXPECT(redlock_release(kept), REDLOCK_OK);
}

#define ROWS(table) (sizeof(table) / sizeof *(table))

int main(void)
{
    struct CMUnitTest tests[64];
    size_t count = 0;
    for (size_t i = 0; i < ROWS(rows); i++)
        list_row(tests, &count, "late", what_arrives_late_is_held_by_nobody, &rows[i]);
    for (size_t i = 0; i < ROWS(silences); i++) {
        list_row(tests, &count, "busy", a_busy_server_grants_nothing_afterwards, &silences[i]);
        list_row(tests, &count, "frozen", a_thawed_server_grants_nothing_afterwards, &silences[i]);
    }
    const struct CMUnitTest told[] = {
        ON_STAGE(an_undo_that_left_behind_its_request_is_counted_once),
        ON_STAGE(an_undo_that_is_only_planned_is_not_counted),
        ON_STAGE(a_wait_that_was_answered_is_not_counted),
    };
    for (size_t i = 0; i < ROWS(told); i++) tests[count++] = told[i];
    return _cmocka_run_group_tests("live given up", tests, count, NULL, NULL);
}
