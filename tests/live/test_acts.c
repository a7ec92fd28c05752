/* SPDX-License-Identifier: MIT
 * What acts owe at their edges: when memory lacks, when a callback runs, when the client closes,
 * when there are many. */
#include "live/async_stage.h"

#include "api/holds.h"

/* ---- Re-entry ---------------------------------------------------------------------------------*/

#define MINE(...) REDLOCK_OPTIONS(.reentrant = true, .owner = "o", __VA_ARGS__)

static void an_entry_for_which_there_is_no_memory_is_none(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *taken = deed_new(on), *inner = deed_new(on), *given = deed_new(on);
    deed_acquire(taken, "r", MINE(.ttl_ms = LONG_MS));
    COMPLETES(taken, REDLOCK_OK);
    atomic_store(&the->account.until, 1);
    EXPECT(deed_submit(inner, "r", MINE(.ttl_ms = LONG_MS)), REDLOCK_ERR_MEMORY);
    deed_release(given, taken->lock);
    COMPLETES(given, REDLOCK_OK);
    expect_free(the->stage->other, "r");
}

/* ---- Callbacks --------------------------------------------------------------------------------*/

typedef struct listener {
    _Atomic int told;
    _Atomic bool may_return, has_returned;
} listener;

static void hears(void *arg, redlock_lock *lock)
{
    (void)lock;
    atomic_fetch_add(&((listener *)arg)->told, 1);
}

static void hears_slowly(void *arg, redlock_lock *lock)
{
    listener *self = arg;
    hears(arg, lock);
    int64_t until_us = now_us() + 2000000;
    while (!atomic_load(&self->may_return) && now_us() < until_us) patience_pause();
    atomic_store(&self->has_returned, true);
}

static bool has_heard(void *arg) { return atomic_load(&((listener *)arg)->told) > 0; }

static void an_asynchronous_release_waits_for_no_callback(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    listener slow = {0};
    deed *given = deed_new(on);
    const redlock_options *brief =
        REDLOCK_OPTIONS(.ttl_ms = 600, .on_lost = hears_slowly, .on_lost_arg = &slow);
    redlock_lock *lock = take(on->client, "r", brief);
    eventually(has_heard, &slow);
    deed_release(given, lock);
    assert_false(slow.has_returned);
    atomic_store(&slow.may_return, true);
    COMPLETES(given, REDLOCK_LOST);
}

/* ---- Late news --------------------------------------------------------------------------------*/

static bool has_lost_one(void *client) { return stats_of(client).lost == 1; }
static bool has_renewed_one(void *client) { return stats_of(client).renewed == 1; }

/* Its user has no handle yet to which the news would belong. */
static void what_is_lost_before_it_is_delivered_is_told_by_its_status(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    listener seen = {0};
    deed *taken = deed_new(on);
    const redlock_options *told =
        REDLOCK_OPTIONS(.ttl_ms = 1500, .auto_renew = true, .on_lost = hears, .on_lost_arg = &seen);
    deed_acquire(taken, "r", told);
    await_holders(the->stage, "r", 1);
    server_number(the->stage->server, "DEL redlock:{r}");
    eventually(has_lost_one, on->client);
    COMPLETES(taken, REDLOCK_LOST);
    assert_int_equal(seen.told, 0);
}

/* It was good when the keeper made it, and is not when it is told: whoever entered has no entry. */
static void an_entry_that_is_lost_before_it_is_delivered_is_none(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *inner = deed_new(on), *given = deed_new(on);
    redlock_lock *outer = take(on->client, "r", MINE(.ttl_ms = 1000));
    deed_acquire(inner, "r", MINE(.ttl_ms = 100));
    eventually(is_posted, on->client);
    eventually(is_unheld, outer);
    COMPLETES(inner, REDLOCK_LOST);
    deed_release(given, outer);
    COMPLETES(given, REDLOCK_LOST);
    async_close(the);
    eventually(is_all_given_back, &the->account);
}

typedef struct asked {
    redlock_client *client;
    uint64_t commands;
} asked;

static bool has_asked_one_more(void *arg)
{
    const asked *self = arg;
    return stats_of(self->client).commands > self->commands;
}

/* Its answer tells of the fence that was the last one then, and is read when there is a newer one.
 */
static void a_renewal_from_before_a_conversion_is_no_loss(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    redlock_lock *lock = take(on->client, "r", REDLOCK_OPTIONS(.ttl_ms = 3000, .auto_renew = true));
    EXPECT(redlock_extend(lock, 3000), REDLOCK_OK); /* the server knows the script now */
    asked seen = {.client = on->client, .commands = stats_of(on->client).commands};
    call_count before = {the->stage->server, server_calls(the->stage->server, "evalsha")};
    loop_until(on, has_asked_one_more, &seen);
    eventually(has_served_one_more, &before);
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    loop_until(on, has_renewed_one, on->client);
    assert_true(redlock_is_held(lock));
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* ---- Sets -------------------------------------------------------------------------------------*/

static const redlock_name_bytes two[] = {{"a", 1}, {"b", 1}};

typedef struct gathering_thread {
    redlock_client *client;
    const redlock_options *options;
    redlock_status status;
    redlock_set *set;
} gathering_thread;

static void *gathers(void *arg)
{
    gathering_thread *self = arg;
    self->status = redlock_acquire_set(self->client, two, 2, self->options, &self->set);
    return NULL;
}

/* Its user has no handle yet to which the news would belong. */
static void what_a_set_loses_while_it_waits_is_told_by_its_status(void **state)
{
    async_stage *the = *state;
    listener seen = {0};
    pthread_t thread;
    redlock_lock *beside = take(the->stage->other, "b", NULL);
    const redlock_options *options =
        REDLOCK_OPTIONS(.ttl_ms = 1500, .wait_ms = REDLOCK_WAIT_FOREVER, .auto_renew = true,
                        .on_lost = hears, .on_lost_arg = &seen);
    gathering_thread waits = {.client = the->stage->client, .options = options};
    assert_int_equal(pthread_create(&thread, NULL, gathers, &waits), 0);
    await_waiters(the->stage, "b", 1);
    server_number(the->stage->server, "DEL redlock:{a}");
    eventually(has_lost_one, the->stage->client);
    EXPECT(redlock_release(beside), REDLOCK_OK);
    pthread_join(thread, NULL);
    EXPECT(waits.status, REDLOCK_LOST);
    assert_int_equal(seen.told, 0);
}

enum { MANY = 40 };

static void all_of_a_large_set_are_given_back(void **state)
{
    async_stage *the = *state;
    char bytes[MANY][16];
    redlock_name_bytes names[MANY];
    redlock_set *set;
    for (int i = 0; i < MANY; i++) {
        int length = snprintf(bytes[i], sizeof bytes[i], "n%d", i);
        names[i] = (redlock_name_bytes){bytes[i], (size_t)length};
    }
    EXPECT(redlock_acquire_set(the->stage->client, names, MANY, NULL, &set), REDLOCK_OK);
    EXPECT(redlock_release_set(set), REDLOCK_OK);
    for (int i = 0; i < MANY; i++) assert_int_equal(stage_holders(the->stage, bytes[i]), 0);
}

/* The table of holds grows while the first name is taken in, which is between the two. */
typedef struct canceller_between {
    account account; /* first */
    redlock_client *client;
    redlock_operation id; /* 0: not armed */
} canceller_between;

static void *cancels_when_the_table_grows(void *arg, size_t size)
{
    canceller_between *self = arg;
    if (size == (size_t)2 * HOLDS_FIRST_BUCKETS * sizeof(void *) && self->id != 0)
        redlock_cancel_async(self->client, self->id);
    return account_take(&self->account, size);
}

static void set_acquired(void *arg, redlock_status status, redlock_set *set)
{
    (void)set;
    deed_note(arg, status, NULL);
}

static void a_set_that_is_cancelled_between_two_names_goes_no_further(void **state)
{
    async_stage *the = *state;
    static canceller_between between;
    redlock_lock *held[2 * HOLDS_FIRST_BUCKETS];
    memset(&between, 0, sizeof between);
    const redlock_client_options *options =
        REDLOCK_CLIENT_OPTIONS(.allocator = {cancels_when_the_table_grows, account_give, &between});
    loop *on = async_open(the, server_uri(the->stage->server), options);
    deed *set = deed_new(on);
    for (int i = 0; i < 2 * HOLDS_FIRST_BUCKETS; i++) {
        char name[16];
        snprintf(name, sizeof name, "h%d", i);
        held[i] = take(on->client, name, NULL);
    }
    between.client = on->client;
    submitting++;
    redlock_status status =
        redlock_acquire_set_async(on->client, two, 2, NULL, set_acquired, set, &between.id);
    submitting--;
    EXPECT(status, REDLOCK_OK);
    COMPLETES(set, REDLOCK_CANCELLED);
    for (int i = 0; i < 2 * HOLDS_FIRST_BUCKETS; i++) EXPECT(redlock_release(held[i]), REDLOCK_OK);
    async_close(the);
    expect_free(the->stage->other, "a");
    expect_free(the->stage->other, "b");
}

/* ---- Closing ----------------------------------------------------------------------------------*/

enum { ONE_PORTION = 64, SOME_PORTIONS = 200 };

static void take_many(redlock_client *client, redlock_lock **locks, int count)
{
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        locks[i] = take(client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    }
}

static void give_many(redlock_lock **locks, int count)
{
    for (int i = 0; i < count; i++) EXPECT(redlock_release(locks[i]), REDLOCK_ERR_CLOSED);
}

static void a_close_gives_back_more_than_one_portion(void **state)
{
    async_stage *the = *state;
    redlock_lock *locks[SOME_PORTIONS];
    loop *on = async_open_plain(the);
    take_many(on->client, locks, SOME_PORTIONS);
    async_close(the);
    for (int i = 0; i < SOME_PORTIONS; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        assert_int_equal(stage_holders(the->stage, name), 0);
    }
    give_many(locks, SOME_PORTIONS);
}

/* What is given back is blank, so that whoever still looks at it finds nothing. */
static void blanks(void *arg, void *block)
{
    size_t size;
    if (block == NULL) return;
    memcpy(&size, (char *)block - ACCOUNT_HEAD, sizeof size);
    explicit_bzero(block, size);
    account_give(arg, block);
}

static void lets_go(void *arg, redlock_lock *lock)
{
    hears(arg, lock);
    redlock_auto_release(&lock);
}

/* The loss of the lock behind the first portion is told when that has been taken, and its callback
 * lets go of it. */
static void a_close_goes_on_behind_a_lock_that_leaves_meanwhile(void **state)
{
    async_stage *the = *state;
    listener seen = {0};
    redlock_lock *locks[ONE_PORTION];
    const redlock_client_options *options =
        REDLOCK_CLIENT_OPTIONS(.allocator = {account_take, blanks, &the->account});
    loop *on = async_open(the, server_uri(the->stage->server), options);
    const redlock_options *told =
        REDLOCK_OPTIONS(.ttl_ms = LONG_MS, .on_lost = lets_go, .on_lost_arg = &seen);
    redlock_lock *last = take(on->client, "last", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    redlock_lock *gone = take(on->client, "gone", told);
    take_many(on->client, locks, ONE_PORTION);
    server_number(the->stage->server, "DEL redlock:{gone}");
    EXPECT(redlock_extend(gone, LONG_MS), REDLOCK_LOST);
    async_close(the);
    assert_int_equal(seen.told, 1);
    assert_int_equal(stage_holders(the->stage, "last"), 0);
    give_many(locks, ONE_PORTION);
    EXPECT(redlock_release(last), REDLOCK_ERR_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_HOST(an_entry_for_which_there_is_no_memory_is_none),
        ON_HOST(an_asynchronous_release_waits_for_no_callback, on_the_keeper),
        ON_HOST(what_is_lost_before_it_is_delivered_is_told_by_its_status, delivered),
        ON_HOST(an_entry_that_is_lost_before_it_is_delivered_is_none, delivered),
        ON_HOST(a_renewal_from_before_a_conversion_is_no_loss, by_hand),
        ON_HOST(what_a_set_loses_while_it_waits_is_told_by_its_status, on_the_keeper),
        ON_HOST(all_of_a_large_set_are_given_back, on_the_keeper),
        ON_EVERY_HOST(a_set_that_is_cancelled_between_two_names_goes_no_further),
        ON_EVERY_HOST(a_close_gives_back_more_than_one_portion),
        ON_HOST(a_close_goes_on_behind_a_lock_that_leaves_meanwhile, by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
