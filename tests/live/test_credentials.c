/* SPDX-License-Identifier: MIT
 * Tokens that expire: a server's user whose password changes, and clients whose callback knows the
 * one that holds now, or does not as yet. */
#include "live/stage.h"

enum { TOKEN_LENGTH = 4096, TTL_MS = 1500 };

/* What the callback gives, on whichever thread. */
typedef struct wallet {
    pthread_mutex_t mutex;
    char letter;           /* of which the token consists ... */
    char next;             /* ... and of which the one after a refusal does; 0: the same */
    redlock_status answer; /* not REDLOCK_OK: it has none */
    _Atomic int asked, refused;
    redlock_client *client; /* whose calls it tries, once; NULL: none */
    redlock_status acquired, closed;
    pthread_t thread; /* that was the latest to ask */
} wallet;

static wallet the_wallet;

static void fill_token(char out[TOKEN_LENGTH + 1], char letter)
{
    memset(out, letter, TOKEN_LENGTH);
    out[TOKEN_LENGTH] = '\0';
}

static void call_what_blocks(wallet *self)
{
    redlock_lock *none;
    if (self->client == NULL) return;
    self->acquired = redlock_acquire(self->client, "inside", NULL, &none);
    self->closed = redlock_close(self->client);
    self->client = NULL;
}

static redlock_status give(void *arg, bool was_refused, redlock_credentials *to,
                           redlock_detail *why)
{
    wallet *self = arg;
    char token[TOKEN_LENGTH + 1];
    pthread_mutex_lock(&self->mutex);
    self->thread = pthread_self();
    call_what_blocks(self);
    if (was_refused && self->next != 0) self->letter = self->next;
    fill_token(token, self->letter);
    redlock_status answer = self->answer;
    if (answer == REDLOCK_OK) answer = redlock_credentials_set(to, NULL, token);
    else snprintf(why->text, sizeof why->text, "the vault is sealed");
    pthread_mutex_unlock(&self->mutex);
    atomic_fetch_add(&self->refused, was_refused);
    atomic_fetch_add(&self->asked, 1);
    return answer;
}

static void wallet_change(char letter, redlock_status answer)
{
    pthread_mutex_lock(&the_wallet.mutex);
    the_wallet.letter = letter;
    the_wallet.answer = answer;
    pthread_mutex_unlock(&the_wallet.mutex);
}

static bool was_asked_again(void *before)
{
    return atomic_load(&the_wallet.asked) > *(int *)before;
}

static void await_another_question(void)
{
    int before = atomic_load(&the_wallet.asked);
    eventually(was_asked_again, &before);
}

/* ---- The server's side ------------------------------------------------------------------------*/

static void server_expects(stage *the, char letter)
{
    char token[TOKEN_LENGTH + 1];
    fill_token(token, letter);
    server_order(the->server, "ACL SETUSER app on resetpass >%s ~* &* +@all", token);
}

static void cut_all(stage *the)
{
    server_number(the->server, "CLIENT KILL TYPE normal");
    server_number(the->server, "CLIENT KILL TYPE pubsub");
}

#define ASKING(the_)                                                                               \
    .user = "app", .credentials = give, .credentials_arg = &the_wallet, .timeout_ms = 5000,        \
    LOGGED(the_)

static redlock_client *open_asking(stage *the)
{
    return stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(ASKING(the)));
}

static int begin(void **state)
{
    the_wallet = (wallet){.mutex = PTHREAD_MUTEX_INITIALIZER, .letter = 'a'};
    int failed = stage_begin(state);
    if (failed == 0) server_expects(*state, 'a');
    return failed;
}

/* ---- One who holds, and one who waits ---------------------------------------------------------*/

typedef struct scene {
    redlock_client *client;
    redlock_lock *kept, *awaited;
    uint64_t fence;
    taker *waits;
} scene;

static redlock_lock *take_renewed(redlock_client *client)
{
    return take(client, "kept",
                REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(TTL_MS), .auto_renew = true));
}

/* The waiter follows somebody whom the cut does not concern: that lock is not renewed. */
static scene hold_and_wait(stage *the)
{
    scene self = {.client = open_asking(the)};
    self.kept = take_renewed(self.client);
    self.fence = redlock_fence(self.kept);
    self.awaited = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    self.waits = taker_start(the, self.client, "r", FOR_EVER);
    await_waiters(the, "r", 1);
    return self;
}

static void expect_both_go_on(stage *the, scene *self)
{
    renewals more = {self->client, stats_of(self->client).renewed + 2};
    eventually(renewals_were_made, &more);
    assert_true(redlock_is_held(self->kept));
    assert_true(redlock_fence(self->kept) == self->fence);
    await_waiters(the, "r", 1);
    EXPECT(redlock_release(self->awaited), REDLOCK_OK);
    expect_taker(self->waits, REDLOCK_OK);
    taker_release(self->waits);
    EXPECT(redlock_release(self->kept), REDLOCK_OK);
    assert_int_equal(stats_of(self->client).lost, 0);
}

static void a_renewed_token_keeps_locks_and_waits_over_a_cut(void **state)
{
    stage *the = *state;
    scene on = hold_and_wait(the);
    int before = atomic_load(&the_wallet.asked);
    server_expects(the, 'b');
    wallet_change('b', REDLOCK_OK);
    cut_all(the);
    expect_both_go_on(the, &on);
    assert_true(atomic_load(&the_wallet.asked) >= before + 3); /* renewals, waiter, its inbox */
    assert_int_equal(atomic_load(&the_wallet.refused), 0);
}

static void a_token_that_has_expired_is_asked_for_once_more(void **state)
{
    stage *the = *state;
    scene on = hold_and_wait(the);
    server_expects(the, 'b');
    pthread_mutex_lock(&the_wallet.mutex);
    the_wallet.next = 'b';
    pthread_mutex_unlock(&the_wallet.mutex);
    cut_all(the);
    expect_both_go_on(the, &on);
    assert_true(atomic_load(&the_wallet.refused) > 0);
}

static void a_wait_outlasts_a_callback_that_has_none(void **state)
{
    stage *the = *state;
    scene on = hold_and_wait(the);
    wallet_change('a', REDLOCK_ERR_TIMEOUT);
    cut_all(the);
    await_another_question();
    await_another_question();
    wallet_change('a', REDLOCK_OK);
    expect_both_go_on(the, &on);
}

static void renewals_outlast_a_token_that_is_refused(void **state)
{
    stage *the = *state;
    redlock_client *client = open_asking(the);
    redlock_lock *kept = take_renewed(client);
    server_expects(the, 'b');
    cut_all(the);
    while (atomic_load(&the_wallet.refused) == 0) await_another_question();
    wallet_change('b', REDLOCK_OK);
    renewals more = {client, stats_of(client).renewed + 1};
    eventually(renewals_were_made, &more);
    EXPECT(redlock_release(kept), REDLOCK_OK);
    assert_int_equal(stats_of(client).lost, 0);
}

/* ---- Calls ------------------------------------------------------------------------------------*/

static redlock_status wait_in_vain(stage *the, redlock_detail *detail)
{
    redlock_lock *none = NULL;
    redlock_options options = *REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER);
    options.detail = detail;
    redlock_status status = redlock_acquire(open_asking(the), "r", &options, &none);
    assert_null(none);
    return status;
}

static void what_is_refused_twice_ends_a_wait(void **state)
{
    redlock_detail detail;
    wallet_change('x', REDLOCK_OK);
    EXPECT(wait_in_vain(*state, &detail), REDLOCK_ERR_DENIED);
    assert_non_null(strstr(detail.text, "WRONGPASS"));
    assert_int_equal(atomic_load(&the_wallet.asked), 2);
    assert_int_equal(atomic_load(&the_wallet.refused), 1);
}

static void a_callback_that_never_has_any_ends_a_wait(void **state)
{
    redlock_detail detail;
    wallet_change('a', REDLOCK_ERR_DENIED);
    EXPECT(wait_in_vain(*state, &detail), REDLOCK_ERR_DENIED);
    assert_string_equal(detail.text, "credentials: the vault is sealed");
    assert_int_equal(atomic_load(&the_wallet.asked), 1);
}

static redlock_status connect_now(stage *the, redlock_detail *detail)
{
    redlock_client *client;
    redlock_client_options options =
        *REDLOCK_CLIENT_OPTIONS(ASKING(the), .connect_now = true, .detail = detail);
    redlock_status status = redlock_open(server_uri(the->server), &options, &client);
    if (status == REDLOCK_OK) EXPECT(redlock_close(client), REDLOCK_OK);
    return status;
}

static void an_open_that_connects_asks_too(void **state)
{
    redlock_detail detail;
    EXPECT(connect_now(*state, &detail), REDLOCK_OK);
    assert_int_equal(atomic_load(&the_wallet.asked), 1);
    wallet_change('a', REDLOCK_ERR_TIMEOUT);
    EXPECT(connect_now(*state, &detail), REDLOCK_ERR_UNAVAILABLE);
    assert_string_equal(detail.text, "credentials: the vault is sealed");
    wallet_change('x', REDLOCK_OK);
    EXPECT(connect_now(*state, &detail), REDLOCK_ERR_DENIED);
    assert_int_equal(atomic_load(&the_wallet.asked), 4);
}

static void nothing_blocks_inside_the_callback(void **state)
{
    stage *the = *state;
    redlock_client *client = open_asking(the);
    the_wallet.client = client;
    expect_free(client, "r");
    EXPECT(the_wallet.acquired, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(the_wallet.closed, REDLOCK_ERR_IN_CALLBACK);
    expect_free(client, "inside"); /* and outside it may */
}

static void it_runs_on_the_thread_that_connects(void **state)
{
    stage *the = *state;
    redlock_client *client = open_asking(the);
    expect_free(client, "r");
    assert_true(pthread_equal(the_wallet.thread, pthread_self()));
    redlock_lock *kept = take_renewed(client); /* with which the client's thread connects */
    renewals more = {client, 1};
    eventually(renewals_were_made, &more);
    pthread_mutex_lock(&the_wallet.mutex);
    assert_false(pthread_equal(the_wallet.thread, pthread_self()));
    pthread_mutex_unlock(&the_wallet.mutex);
    EXPECT(redlock_release(kept), REDLOCK_OK);
}

static void without_a_thread_it_runs_inside_process(void **state)
{
    stage *the = *state;
    const redlock_client_options *options =
        REDLOCK_CLIENT_OPTIONS(ASKING(the), .host = REDLOCK_HOST_MANUAL);
    redlock_client *client = stage_open(the, server_uri(the->server), options);
    redlock_lock *kept = take_renewed(client);
    int before = atomic_load(&the_wallet.asked);
    for (patience left = patience_begin(); !was_asked_again(&before); patience_pause()) {
        assert_false(patience_is_over(&left));
        EXPECT(redlock_process(client), REDLOCK_OK);
    }
    assert_true(pthread_equal(the_wallet.thread, pthread_self()));
    EXPECT(redlock_release(kept), REDLOCK_OK);
}

#define WITH_A_WALLET(name) cmocka_unit_test_setup_teardown(name, begin, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_WALLET(a_renewed_token_keeps_locks_and_waits_over_a_cut),
        WITH_A_WALLET(a_token_that_has_expired_is_asked_for_once_more),
        WITH_A_WALLET(a_wait_outlasts_a_callback_that_has_none),
        WITH_A_WALLET(renewals_outlast_a_token_that_is_refused),
        WITH_A_WALLET(what_is_refused_twice_ends_a_wait),
        WITH_A_WALLET(a_callback_that_never_has_any_ends_a_wait),
        WITH_A_WALLET(an_open_that_connects_asks_too),
        WITH_A_WALLET(nothing_blocks_inside_the_callback),
        WITH_A_WALLET(it_runs_on_the_thread_that_connects),
        WITH_A_WALLET(without_a_thread_it_runs_inside_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
