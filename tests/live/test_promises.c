/* SPDX-License-Identifier: MIT
 * Sentences of the header that no other test is about; docs/promises.md has them all. */
#include "live/async_stage.h"

#include "api/client.h"

#define SOUND .ttl_ms = LONG_MS
#define PATIENT .wait_ms = LONG_MS
#define OWNED_BY(name) .reentrant = true, .owner = (name)

/* ---- Zero, copies, threads --------------------------------------------------------------------*/

static void expect_default_client(const redlock_client *client)
{
    assert_int_equal(client->host, REDLOCK_HOST_KEEPER);
    assert_null(client->name);
    assert_string_equal(client->key_prefix, "redlock:");
    assert_int_equal(client->config.connect_timeout_us, 2000000);
    assert_int_equal(client->timeout_us, 2000000);
    assert_int_equal(client->linger_ms, 5000);
    assert_int_equal(client->config.spin_us, 60);
    assert_int_equal(client->lane_terms.lanes_most, 15);
    assert_int_equal(client->log.level, REDLOCK_LOG_WARNING);
    assert_int_equal(client->counters.connections, 0);
}

static void expect_defaults(redlock_client *client, redlock_client *other, redlock_options *zeros)
{
    redlock_lock *lock = take(client, "r", zeros), *none;
    assert_int_equal(redlock_lock_mode(lock), REDLOCK_EXCLUSIVE);
    assert_in_range(redlock_remaining_ms(lock), 29000, 30000);
    assert_int_equal(lock->claim_ms, 2000);
    assert_false(lock->is_reentrant || lock->hold.auto_renew);
    EXPECT(redlock_acquire(other, "r", zeros, &none), REDLOCK_BUSY);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void zero_means_the_default_for_every_option(void **state)
{
    stage *the = *state;
    const redlock_client_options zeros = {.struct_size = sizeof zeros};
    redlock_options none = {.struct_size = sizeof none};
    redlock_client *bare = stage_open(the, server_uri(the->server), NULL);
    redlock_client *zero = stage_open(the, server_uri(the->server), &zeros);
    expect_default_client(bare);
    expect_default_client(zero);
    expect_defaults(bare, zero, NULL);
    expect_defaults(zero, bare, &none);
}

/* A copy that its owner wipes and frees as soon as the call is back. */
static char *lent(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    return copy;
}

static void take_back(char *copy)
{
    memset(copy, '#', strlen(copy));
    free(copy);
}

static void what_a_client_is_given_is_copied(void **state)
{
    stage *the = *state;
    redlock_inspection *seen;
    char *uri = lent(server_uri(the->server)), *prefix = lent("mine:"), *name = lent("clerk");
    redlock_client_options options = *REDLOCK_CLIENT_OPTIONS(.name = name, .key_prefix = prefix);
    redlock_client *client = stage_open(the, uri, &options);
    take_back(uri);
    take_back(prefix);
    take_back(name);
    memset(&options, '#', sizeof options);
    redlock_lock *lock = take(client, "r", NULL);
    assert_int_equal(server_number(the->server, "EXISTS mine:{r}"), 1);
    EXPECT(redlock_inspect(client, "r", 1, &seen, NULL), REDLOCK_OK);
    assert_non_null(strstr(seen->parties[0].who, ":clerk"));
    redlock_inspection_free(seen);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void what_an_operation_is_given_is_copied(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on);
    char *name = lent("r"), *owner = lent("job 7");
    redlock_options options = *REDLOCK_OPTIONS(OWNED_BY(owner), PATIENT);
    redlock_lock *busy = take(the->stage->other, "r", NULL);
    deed_acquire(taken, name, &options);
    take_back(name);
    take_back(owner);
    memset(&options, '#', sizeof options);
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 1}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
    COMPLETES(taken, REDLOCK_OK);
    assert_string_equal(redlock_name(taken->lock, NULL), "r");
    redlock_lock *inner = take(the->stage->other, "r", REDLOCK_OPTIONS(OWNED_BY("job 7")));
    EXPECT(redlock_release(inner), REDLOCK_OK);
    deed_release(deed_new(on), taken->lock);
}

typedef struct reader {
    redlock_lock *lock;
    pthread_t thread;
    _Atomic bool is_over;
    _Atomic int rounds;
    bool saw_it_lost, saw_the_fence_fall, saw_another_name;
} reader;

static void *read_on(void *arg)
{
    reader *self = arg;
    uint64_t fence = 0;
    while (!atomic_load(&self->is_over)) {
        uint64_t next = redlock_fence(self->lock);
        bool is_held = redlock_is_held(self->lock) && redlock_remaining_ms(self->lock) > 0;
        redlock_mode seen = redlock_lock_mode(self->lock);
        bool is_a_mode = seen == REDLOCK_SHARED || seen == REDLOCK_EXCLUSIVE;
        self->saw_it_lost |= !is_held || !is_a_mode;
        self->saw_the_fence_fall |= next < fence;
        self->saw_another_name |= strcmp(redlock_name(self->lock, NULL), "r") != 0;
        fence = next;
        atomic_fetch_add(&self->rounds, 1);
    }
    return NULL;
}

static bool has_read(void *arg) { return atomic_load(&((reader *)arg)->rounds) > 0; }

static void a_handle_is_read_by_any_thread(void **state)
{
    enum { READERS = 3 };
    stage *the = *state;
    reader readers[READERS];
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(SOUND, .auto_renew = true));
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){.lock = lock};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
        eventually(has_read, &readers[i]);
    }
    int done = 0;
    for (int i = 0; i < 20; i++) {
        done += redlock_extend(lock, LONG_MS + i) == REDLOCK_OK;
        done += redlock_downgrade(lock) == REDLOCK_OK;
        done += redlock_upgrade(lock) == REDLOCK_OK;
    }
    for (int i = 0; i < READERS; i++) {
        atomic_store(&readers[i].is_over, true);
        pthread_join(readers[i].thread, NULL);
    }
    for (int i = 0; i < READERS; i++) {
        assert_false(readers[i].saw_it_lost);
        assert_false(readers[i].saw_the_fence_fall);
        assert_false(readers[i].saw_another_name);
    }
    assert_int_equal(done, 60);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static redlock_status open_with(const redlock_client_options *options)
{
    redlock_client *client;
    redlock_status status = redlock_open("redis://127.0.0.1", options, &client);
    EXPECT(redlock_close(client), REDLOCK_OK);
    return status;
}

static void a_client_option_is_as_large_as_it_says_and_no_larger(void **state)
{
    const int64_t most_ms = INT64_C(30) * 24 * 3600 * 1000;
    char prefix[258] = "", password[8194] = "";
    (void)state;
    memset(prefix, 'p', 256);
    memset(password, 'p', 8192);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.key_prefix = prefix)), REDLOCK_OK);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.user = password)), REDLOCK_OK);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.password = password)), REDLOCK_OK);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.spin_us = 1000)), REDLOCK_OK);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.timeout_ms = most_ms)), REDLOCK_OK);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.max_connections = 4)), REDLOCK_OK);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.max_connections = 3)), REDLOCK_ERR_ARGUMENT);
    prefix[256] = password[8192] = 'p';
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.key_prefix = prefix)), REDLOCK_ERR_ARGUMENT);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.user = password)), REDLOCK_ERR_ARGUMENT);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.password = password)), REDLOCK_ERR_ARGUMENT);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.spin_us = 1001)), REDLOCK_ERR_ARGUMENT);
    EXPECT(open_with(REDLOCK_CLIENT_OPTIONS(.timeout_ms = most_ms + 1)), REDLOCK_ERR_ARGUMENT);
}

static void an_allocator_has_both_functions_or_none(void **state)
{
    account counts = {.blocks = 0};
    (void)state;
    redlock_client_options options = *REDLOCK_CLIENT_OPTIONS(COUNTED_BY(&counts));
    EXPECT(open_with(&options), REDLOCK_OK);
    options.allocator.release = NULL;
    EXPECT(open_with(&options), REDLOCK_ERR_ARGUMENT);
    options.allocator = (redlock_allocator){.release = account_give};
    EXPECT(open_with(&options), REDLOCK_ERR_ARGUMENT);
    assert_int_equal(atomic_load(&counts.blocks), 0);
}

/* ---- Fork -------------------------------------------------------------------------------------*/

typedef struct heirloom {
    loop *on;
    redlock_lock *lock;
    redlock_set *set;
} heirloom;

static void never_acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    (void)arg, (void)status, (void)lock;
    abort();
}

static redlock_status scoped_status(redlock_client *client)
{
    redlock_status status = REDLOCK_OK;
    REDLOCK_WITH (client, "s", &status, (int *)NULL, .ttl_ms = 0) abort();
    return status;
}

/* The number of the first call that answers anything else. */
static void never_gathered(void *arg, redlock_status status, redlock_set *set)
{
    (void)arg, (void)status, (void)set;
    abort();
}

static void never_inspected(void *arg, redlock_status status, redlock_inspection *seen)
{
    (void)arg, (void)status, (void)seen;
    abort();
}

static void never_forced(void *arg, redlock_status status, size_t removed)
{
    (void)arg, (void)status, (void)removed;
    abort();
}

static int call_whatever_has_a_status(heirloom *from)
{
    redlock_client *client = from->on->client;
    redlock_lock *none, *cleared = from->lock;
    redlock_inspection *seen;
    redlock_set *set;
    const redlock_name_bytes name = {"s", 1};
    redlock_operation id;
    const redlock_status answers[] = {
        redlock_acquire(client, "s", NULL, &none),
        redlock_acquire_bytes(client, "s", 1, NULL, &none),
        redlock_extend(from->lock, 60000),
        redlock_upgrade(from->lock),
        redlock_downgrade(from->lock),
        redlock_release(from->lock),
        redlock_release_and_clear(&cleared),
        scoped_status(client),
        redlock_acquire_set(client, &name, 1, NULL, &set),
        redlock_release_set(from->set),
        redlock_inspect(client, "r", 1, &seen, NULL),
        redlock_force_release(client, "r", 1, NULL, NULL),
        redlock_acquire_async(client, "s", 1, NULL, never_acquired, NULL, &id),
        redlock_extend_async(from->lock, 60000, NULL, NULL),
        redlock_release_async(from->lock, NULL, NULL),
        redlock_upgrade_async(from->lock, NULL, NULL),
        redlock_downgrade_async(from->lock, NULL, NULL),
        redlock_acquire_set_async(client, &name, 1, NULL, never_gathered, NULL, &id),
        redlock_release_set_async(from->set, NULL, NULL),
        redlock_inspect_async(client, "r", 1, never_inspected, NULL),
        redlock_force_release_async(client, "r", 1, never_forced, NULL),
        from->on->host != REDLOCK_HOST_KEEPER ? redlock_process(client) : REDLOCK_ERR_FORKED,
        redlock_close(client),
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (answers[i] != REDLOCK_ERR_FORKED) return (int)i + 1;
    return 0;
}

static void in_a_child_every_call_that_has_a_status_is_refused(void **state)
{
    async_stage *the = *state;
    heirloom from = {.on = async_open_plain(the)};
    const redlock_name_bytes names[] = {{"a", 1}, {"b", 1}};
    from.lock = take(from.on->client, "r", REDLOCK_OPTIONS(SOUND));
    EXPECT(redlock_acquire_set(from.on->client, names, 2, NULL, &from.set), REDLOCK_OK);
    long long calls = server_calls(the->stage->server, "evalsha");
    pid_t child = fork();
    if (child == 0) _exit(call_whatever_has_a_status(&from));
    expect_exit(child, 0);
    assert_int_equal(server_calls(the->stage->server, "evalsha"), calls);
    EXPECT(redlock_release_set(from.set), REDLOCK_OK);
    EXPECT(redlock_release(from.lock), REDLOCK_OK);
    assert_int_equal(stats_of(from.on->client).connections_lost, 0);
}

/* ---- Words and log ----------------------------------------------------------------------------*/

static redlock_detail *spoil(redlock_detail *detail)
{
    snprintf(detail->text, sizeof detail->text, "what was said before");
    return detail;
}

static redlock_status try_silently(redlock_client *client, const char *name, int64_t wait_ms)
{
    redlock_detail detail;
    redlock_lock *lock;
    const redlock_options *options = REDLOCK_OPTIONS(.detail = spoil(&detail), .wait_ms = wait_ms);
    redlock_status status = redlock_acquire(client, name, options, &lock);
    assert_string_equal(detail.text, "");
    redlock_release(lock);
    return status;
}

static void a_detail_is_empty_when_there_is_nothing_to_add(void **state)
{
    stage *the = *state;
    redlock_detail detail;
    redlock_client *client = NULL;
    redlock_inspection *seen = NULL;
    redlock_lock *busy = take(the->client, "busy", NULL);
    const redlock_client_options *options = REDLOCK_CLIENT_OPTIONS(.detail = spoil(&detail));
    EXPECT(redlock_open(server_uri(the->server), options, &client), REDLOCK_OK);
    assert_string_equal(detail.text, "");
    EXPECT(try_silently(client, "r", 0), REDLOCK_OK);
    EXPECT(try_silently(client, "busy", 0), REDLOCK_BUSY);
    EXPECT(try_silently(client, "busy", 1), REDLOCK_TIMED_OUT);
    EXPECT(try_silently(client, "", 0), REDLOCK_ERR_NAME);
    EXPECT(redlock_inspect(client, "busy", 4, &seen, spoil(&detail)), REDLOCK_OK);
    assert_string_equal(detail.text, "");
    EXPECT(redlock_force_release(client, "r", 1, NULL, spoil(&detail)), REDLOCK_OK);
    assert_string_equal(detail.text, "");
    redlock_inspection_free(seen);
    EXPECT(redlock_close(client), REDLOCK_OK);
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

/* Holds up the first line until it may end. */
typedef struct slow_log {
    _Atomic int lines;
    _Atomic bool has_begun, may_end, had_an_end;
} slow_log;

static void log_slowly(void *arg, redlock_level level, const char *line)
{
    slow_log *self = arg;
    (void)level;
    if (strchr(line, '\n') != NULL) atomic_store(&self->had_an_end, true);
    if (atomic_fetch_add(&self->lines, 1) > 0) return;
    atomic_store(&self->has_begun, true);
    while (!atomic_load(&self->may_end)) patience_pause();
}

static bool has_begun(void *arg) { return atomic_load(&((slow_log *)arg)->has_begun); }

/* No lock of the library is held by whoever logs; lines of several threads come at once. */
static void a_slow_log_function_delays_nobody_else(void **state)
{
    static slow_log log; /* the client writes on it until the stage ends */
    stage *the = *state;
    const redlock_client_options *options =
        REDLOCK_CLIENT_OPTIONS(.log = log_slowly, .log_arg = &log, .log_level = REDLOCK_LOG_DEBUG);
    redlock_client *client = stage_open(the, server_uri(the->server), options);
    taker *slow = taker_start(the, client, "a", REDLOCK_OPTIONS(SOUND));
    eventually(has_begun, &log);
    taker *quick = taker_start(the, client, "b", REDLOCK_OPTIONS(SOUND, .auto_renew = true));
    patience left = patience_begin();
    while (!taker_is_done(quick) && !patience_is_over(&left)) patience_pause();
    bool was_held_up = !taker_is_done(quick), is_slow = !taker_is_done(slow);
    atomic_store(&log.may_end, true);
    expect_taker(slow, REDLOCK_OK);
    expect_taker(quick, REDLOCK_OK);
    assert_true(is_slow && !was_held_up);
    assert_true(atomic_load(&log.lines) > 1);
    assert_false(atomic_load(&log.had_an_end));
    taker_release(slow);
    taker_release(quick);
}

/* ---- Opening, cancelling ----------------------------------------------------------------------*/

static void an_open_that_connects_says_why_the_server_refused(void **state)
{
    stage *the = *state;
    char uri[512];
    redlock_detail detail;
    redlock_client *client;
    snprintf(uri, sizeof uri, "%s?db=9999", server_uri(the->server));
    redlock_client_options options = *REDLOCK_CLIENT_OPTIONS(.connect_now = true);
    options.detail = &detail;
    EXPECT(redlock_open(uri, &options, &client), REDLOCK_ERR_SERVER);
    assert_null(client);
    assert_non_null(strstr(detail.text, "SELECT"));
}

static void a_canceller_ends_all_waits_until_it_is_reset(void **state)
{
    enum { WAITERS = 3 };
    stage *the = *state;
    taker *waiters[WAITERS];
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    redlock_options options = *FOR_EVER;
    options.canceller = canceller;
    redlock_lock *busy = take(the->client, "r", NULL), *none;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < WAITERS; i++)
            waiters[i] = taker_start(the, i % 2 ? the->client : the->other, "r", &options);
        await_waiters(the, "r", WAITERS);
        redlock_cancel(canceller);
        redlock_cancel(canceller);
        for (int i = 0; i < WAITERS; i++) expect_taker(waiters[i], REDLOCK_CANCELLED);
        EXPECT(redlock_acquire(the->other, "r", &options, &none), REDLOCK_CANCELLED);
        EXPECT(redlock_acquire(the->other, "free", &options, &none), REDLOCK_CANCELLED);
        await_waiters(the, "r", 0);
        redlock_canceller_reset(canceller);
    }
    EXPECT(redlock_release(busy), REDLOCK_OK);
    EXPECT(redlock_release(take(the->other, "r", &options)), REDLOCK_OK);
    redlock_canceller_close(canceller);
}

/* ---- Polling actively -------------------------------------------------------------------------*/

static bool is_polling(void *arg)
{
    redlock_client *client = arg;
    return atomic_load(&client->counters.spinning) == 1;
}

/* A call that polls goes on for as long as it may: here until the server was seen to be awaited. */
static void a_call_polls_actively_unless_it_must_not(void **state)
{
    stage *the = *state;
    redlock_client *polls = stage_open(the, server_uri(the->server), NULL);
    const redlock_client_options *never = REDLOCK_CLIENT_OPTIONS(.spin_us = -1);
    redlock_client *sleeps = stage_open(the, server_uri(the->server), never);
    expect_free(polls, "r");
    expect_free(sleeps, "r");
    polls->config.spin_us = 5000000;
    polls->config.spinners_most = 1; /* on one processor, too */
    server_freeze(the->server);
    taker *awake = taker_start(the, polls, "a", REDLOCK_OPTIONS(PATIENT));
    taker *asleep = taker_start(the, sleeps, "b", REDLOCK_OPTIONS(PATIENT));
    eventually(is_polling, polls);
    assert_int_equal(sleeps->config.spin_us, 0);
    assert_int_equal(atomic_load(&sleeps->counters.spinning), 0);
    server_thaw(the->server);
    expect_taker(awake, REDLOCK_OK);
    expect_taker(asleep, REDLOCK_OK);
    assert_false(is_polling(polls));
    taker_release(awake);
    taker_release(asleep);
}

/* ---- Holds ------------------------------------------------------------------------------------*/

/* What the server granted is given back in the background: each has a name of its own. */
static void a_lease_that_its_allowance_uses_up_is_no_lock(void **state)
{
    stage *the = *state;
    redlock_lock *lock;
    const redlock_options *brief = REDLOCK_OPTIONS(.ttl_ms = 2);
    const redlock_options *briefer = REDLOCK_OPTIONS(.ttl_ms = 1);
    EXPECT(redlock_acquire(the->client, "a", brief, &lock), REDLOCK_ERR_TIMEOUT);
    assert_null(lock);
    EXPECT(redlock_acquire(the->client, "b", briefer, &lock), REDLOCK_ERR_TIMEOUT);
    assert_null(lock);
    EXPECT(redlock_release(take(the->client, "a", REDLOCK_OPTIONS(SOUND, PATIENT))), REDLOCK_OK);
}

static void an_entry_asks_nothing_of_a_hold_that_renews_itself(void **state)
{
    stage *the = *state;
    redlock_options options = *REDLOCK_OPTIONS(.reentrant = true, .ttl_ms = 20000);
    options.auto_renew = true;
    redlock_lock *outer = take(the->client, "r", &options);
    uint64_t commands = stats_of(the->client).commands;
    options.ttl_ms = LONG_MS;
    redlock_lock *inner = take(the->client, "r", &options);
    assert_ptr_equal(inner, outer);
    assert_int_equal(stats_of(the->client).commands, commands);
    assert_in_range(redlock_remaining_ms(outer), 1, 20000);
    EXPECT(redlock_release(inner), REDLOCK_OK);
    EXPECT(redlock_release(outer), REDLOCK_OK);
}

static void a_longer_ttl_is_cut_to_the_maximum_hold(void **state)
{
    stage *the = *state;
    redlock_options options = *REDLOCK_OPTIONS(SOUND, .max_hold_ms = 3000);
    for (int renewed = 0; renewed < 2; renewed++) {
        options.auto_renew = renewed == 1;
        redlock_lock *lock = take(the->client, "r", &options);
        assert_in_range(redlock_remaining_ms(lock), 1, 3000);
        EXPECT(redlock_release(lock), REDLOCK_OK);
    }
}

/* The keeper goes on trying. */
static void a_release_that_could_not_be_told_is_told_later(void **state)
{
    stage *the = *state;
    const redlock_client_options *options = REDLOCK_CLIENT_OPTIONS(.timeout_ms = 100);
    redlock_client *hasty = stage_open(the, server_uri(the->server), options);
    redlock_lock *lock = take(hasty, "r", REDLOCK_OPTIONS(SOUND));
    server_kill(the->server);
    assert_true(redlock_release(lock) < 0);
    server_restart(the->server);
    redlock_lock *again = take(hasty, "r", REDLOCK_OPTIONS(SOUND, PATIENT));
    server_freeze(the->server);
    EXPECT(redlock_release(again), REDLOCK_ERR_TIMEOUT);
    server_thaw(the->server);
    await_holders(the, "r", 0);
    expect_free(the->other, "r");
}

static void a_conversion_that_is_done_already_sends_nothing(void **state)
{
    stage *the = *state;
    redlock_lock *writer = take(the->client, "r", NULL);
    redlock_lock *shared = take(the->client, "s", REDLOCK_OPTIONS(.mode = REDLOCK_SHARED));
    uint64_t commands = stats_of(the->client).commands, fence = redlock_fence(shared);
    EXPECT(redlock_upgrade(writer), REDLOCK_OK);
    EXPECT(redlock_downgrade(shared), REDLOCK_OK);
    assert_int_equal(stats_of(the->client).commands, commands);
    assert_int_equal(redlock_fence(shared), fence);
    EXPECT(redlock_release(writer), REDLOCK_OK);
    EXPECT(redlock_release(shared), REDLOCK_OK);
}

static void a_downgrade_beside_another_hold_of_its_owner_is_a_deadlock(void **state)
{
    stage *the = *state;
    const redlock_options *mine = REDLOCK_OPTIONS(OWNED_BY("txn 7"), SOUND);
    redlock_lock *one = take(the->client, "r", mine), *two = take(the->other, "r", mine);
    EXPECT(redlock_downgrade(one), REDLOCK_DEADLOCK);
    assert_int_equal(redlock_lock_mode(one), REDLOCK_EXCLUSIVE);
    EXPECT(redlock_release(two), REDLOCK_OK);
    EXPECT(redlock_downgrade(one), REDLOCK_OK);
    assert_int_equal(redlock_lock_mode(one), REDLOCK_SHARED);
    EXPECT(redlock_release(one), REDLOCK_OK);
}

/* ---- Looking ----------------------------------------------------------------------------------*/

/* Shared ones first, whoever is served next; each kind in its own order. */
static void an_inspection_lists_the_waiters_of_each_mode_in_their_order(void **state)
{
    static const bool is_shared[] = {false, true, false, true};
    static const size_t listed[] = {1, 3, 0, 2}, served[] = {0, 1, 3, 2};
    stage *the = *state;
    redlock_inspection *seen;
    taker *waiters[4];
    redlock_lock *held = take(the->client, "r", REDLOCK_OPTIONS(.mode = REDLOCK_SHARED));
    for (int i = 0; i < 4; i++) {
        redlock_options options = *FOR_EVER;
        options.mode = is_shared[i] ? REDLOCK_SHARED : REDLOCK_EXCLUSIVE;
        options.policy = REDLOCK_FAIR;
        options.permits = is_shared[i] ? (uint32_t)i + 1 : 0;
        waiters[i] = queued(the, the->other, i + 1, &options);
    }
    EXPECT(redlock_inspect(the->client, "r", 1, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->party_count, 5);
    assert_true(seen->parties[0].is_holder);
    assert_int_equal(seen->parties[0].permits, 0);
    for (int i = 0; i < 4; i++) {
        const redlock_party *party = &seen->parties[1 + i];
        assert_int_equal(party->mode == REDLOCK_SHARED, is_shared[listed[i]]);
        assert_int_equal(party->permits, is_shared[listed[i]] ? listed[i] + 1 : 0);
    }
    redlock_inspection_free(seen);
    EXPECT(redlock_release(held), REDLOCK_OK);
    for (int i = 0; i < 4; i++) {
        expect_taker(waiters[served[i]], REDLOCK_OK);
        taker_release(waiters[served[i]]);
    }
}

static void an_inspection_lists_a_thousand_and_counts_all(void **state)
{
    enum { WAITERS = 1500, LISTED = 1000 };
    stage *the = *state;
    redlock_inspection *seen;
    redlock_lock *held = take(the->client, "r", NULL);
    server_order(the->server, "EVAL %s 1 redlock:{r} %d",
                 "for i = 1, ARGV[1] do redis.call('ZADD', KEYS[1], "
                 "string.format('%.0f', 1e14 + i), string.format("
                 "'2000 redlock:inbox:dead%d.0 s - dead%d.1 host:1:dead', i, i)) end",
                 WAITERS);
    EXPECT(redlock_inspect(the->other, "r", 1, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->holders, 1);
    assert_int_equal(seen->waiters, WAITERS);
    assert_int_equal(seen->party_count, LISTED);
    redlock_inspection_free(seen);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

static void an_older_structure_of_counters_is_filled_as_far_as_it_goes(void **state)
{
    stage *the = *state;
    redlock_stats seen;
    memset(&seen, 0x55, sizeof seen);
    expect_free(the->client, "r");
    redlock_stats_read(the->client, &seen, offsetof(redlock_stats, handed_over));
    assert_int_equal(seen.acquired, 1);
    assert_int_equal(seen.handed_over, UINT64_C(0x5555555555555555));
}

/* ---- Asynchronous -----------------------------------------------------------------------------*/

typedef struct told {
    _Atomic int times;
    pid_t thread;
    redlock_mode mode;
    bool is_held;
} told;

static void note_loss(void *arg, redlock_lock *lock)
{
    told *self = arg;
    self->thread = thread_id();
    self->is_held = redlock_is_held(lock);
    self->mode = redlock_lock_mode(lock);
    atomic_fetch_add(&self->times, 1);
}

static bool is_told(void *arg) { return atomic_load(&((told *)arg)->times) > 0; }

/* Under DELIVER, too, on the client's own thread. */
static void a_loss_is_told_on_the_thread_that_the_host_says(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    told seen = {.is_held = true};
    redlock_options options = *REDLOCK_OPTIONS(.ttl_ms = 150, .on_lost = note_loss);
    options.on_lost_arg = &seen;
    redlock_lock *lock = take(on->client, "r", &options);
    loop_until(on, is_told, &seen);
    assert_int_equal(seen.thread == on->thread, on->host == REDLOCK_HOST_MANUAL);
    assert_false(seen.is_held);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    assert_int_equal(seen.times, 1);
}

static void an_entry_has_no_number_and_cannot_be_cancelled(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *outer = deed_new(on), *inner = deed_new(on), *unnamed = deed_new(on);
    deed_acquire(outer, "r", REDLOCK_OPTIONS(OWNED_BY("job")));
    COMPLETES(outer, REDLOCK_OK);
    assert_true(outer->id != 0);
    deed_acquire(inner, "r", REDLOCK_OPTIONS(OWNED_BY("job")));
    assert_int_equal(inner->id, 0);
    redlock_cancel_async(on->client, inner->id);
    COMPLETES(inner, REDLOCK_OK);
    assert_ptr_equal(inner->lock, outer->lock);
    redlock_client *client = on->client;
    EXPECT(redlock_acquire_async(client, "s", 1, NULL, deed_acquired, unnamed, NULL), REDLOCK_OK);
    COMPLETES(unnamed, REDLOCK_OK);
    deed_release(deed_new(on), unnamed->lock);
    deed_release(deed_new(on), inner->lock);
    deed_release(deed_new(on), outer->lock);
}

/* One event loop may serve many who wait for each other. */
static void one_loop_holds_and_waits_for_the_same_name(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *first = deed_new(on), *waits = deed_new(on), *given = deed_new(on);
    deed_acquire(first, "r", REDLOCK_OPTIONS(SOUND));
    COMPLETES(first, REDLOCK_OK);
    deed_acquire(waits, "r", FOR_EVER);
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 1}));
    deed_release(given, first->lock);
    COMPLETES(waits, REDLOCK_OK);
    deed_release(deed_new(on), waits->lock);
}

static void a_release_after_the_close_takes_the_handle(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on), *never = deed_new(on);
    deed_acquire(taken, "r", REDLOCK_OPTIONS(SOUND));
    COMPLETES(taken, REDLOCK_OK);
    async_close(the);
    EXPECT(redlock_release_async(taken->lock, deed_done, never), REDLOCK_ERR_CLOSED);
    assert_int_equal(never->completions, 0);
    assert_int_equal(atomic_load(&the->account.blocks), 0);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        ON_STAGE(zero_means_the_default_for_every_option),
        cmocka_unit_test(a_client_option_is_as_large_as_it_says_and_no_larger),
        cmocka_unit_test(an_allocator_has_both_functions_or_none),
        ON_STAGE(what_a_client_is_given_is_copied),
        ON_EVERY_HOST(what_an_operation_is_given_is_copied),
        ON_STAGE(a_handle_is_read_by_any_thread),
        ON_EVERY_HOST(in_a_child_every_call_that_has_a_status_is_refused),
        ON_STAGE(a_detail_is_empty_when_there_is_nothing_to_add),
        ON_STAGE(a_slow_log_function_delays_nobody_else),
        ON_STAGE(an_open_that_connects_says_why_the_server_refused),
        ON_STAGE(a_canceller_ends_all_waits_until_it_is_reset),
        ON_STAGE(a_call_polls_actively_unless_it_must_not),
        ON_STAGE(a_lease_that_its_allowance_uses_up_is_no_lock),
        ON_STAGE(an_entry_asks_nothing_of_a_hold_that_renews_itself),
        ON_STAGE(a_longer_ttl_is_cut_to_the_maximum_hold),
        ON_STAGE(a_release_that_could_not_be_told_is_told_later),
        ON_STAGE(a_conversion_that_is_done_already_sends_nothing),
        ON_STAGE(a_downgrade_beside_another_hold_of_its_owner_is_a_deadlock),
        ON_STAGE(an_inspection_lists_the_waiters_of_each_mode_in_their_order),
        ON_STAGE(an_inspection_lists_a_thousand_and_counts_all),
        ON_STAGE(an_older_structure_of_counters_is_filled_as_far_as_it_goes),
        ON_EVERY_HOST(a_loss_is_told_on_the_thread_that_the_host_says),
        ON_EVERY_HOST(an_entry_has_no_number_and_cannot_be_cancelled),
        ON_EVERY_HOST(one_loop_holds_and_waits_for_the_same_name),
        ON_EVERY_HOST(a_release_after_the_close_takes_the_handle),
    };
    /* clang-format on */
    return cmocka_run_group_tests_name("live promises", tests, NULL, NULL);
}
