/* SPDX-License-Identifier: MIT
 * What conversions, inspection, force and sets do asynchronously: the same as when they are waited
 * for. */
#include "live/async_stage.h"

/* ---- Conversions ------------------------------------------------------------------------------*/

typedef redlock_status convert_fn(redlock_lock *lock, redlock_done_fn *done, void *arg);

static void deed_convert(deed *self, convert_fn *convert, redlock_lock *lock)
{
    self->lock = lock;
    submitting++;
    redlock_status status = convert(lock, deed_done, self);
    submitting--;
    EXPECT(status, REDLOCK_OK);
}

static redlock_lock *async_take(async_stage *the, const char *name, const redlock_options *options)
{
    deed *taken = deed_new(&the->loop);
    deed_acquire(taken, name, options);
    COMPLETES(taken, REDLOCK_OK);
    return taken->lock;
}

static void async_give(async_stage *the, redlock_lock *lock)
{
    deed *given = deed_new(&the->loop);
    deed_release(given, lock);
    COMPLETES(given, REDLOCK_OK);
}

static void a_hold_is_converted_there_and_back_with_new_fences(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    redlock_lock *lock = async_take(the, "r", NULL);
    uint64_t first = redlock_fence(lock);
    deed *down = deed_new(on), *up = deed_new(on);
    deed_convert(down, redlock_downgrade_async, lock);
    COMPLETES(down, REDLOCK_OK);
    assert_int_equal(redlock_lock_mode(lock), REDLOCK_SHARED);
    uint64_t second = redlock_fence(lock);
    deed_convert(up, redlock_upgrade_async, lock);
    COMPLETES(up, REDLOCK_OK);
    assert_int_equal(redlock_lock_mode(lock), REDLOCK_EXCLUSIVE);
    assert_true(first < second && second < redlock_fence(lock));
    async_give(the, lock);
}

static void an_upgrade_beside_another_reader_is_a_deadlock(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    const redlock_options *shared = REDLOCK_OPTIONS(.mode = REDLOCK_SHARED);
    redlock_lock *beside = take(the->stage->other, "r", shared);
    redlock_lock *lock = async_take(the, "r", shared);
    deed *up = deed_new(on);
    deed_convert(up, redlock_upgrade_async, lock);
    COMPLETES(up, REDLOCK_DEADLOCK);
    assert_true(redlock_is_held(lock));
    async_give(the, lock);
    EXPECT(redlock_release(beside), REDLOCK_OK);
}

static void a_hold_that_is_gone_is_not_converted(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    redlock_lock *lock = async_take(the, "r", NULL);
    deed *down = deed_new(on), *given = deed_new(on);
    server_number(the->stage->server, "DEL redlock:{r}");
    deed_convert(down, redlock_downgrade_async, lock);
    COMPLETES(down, REDLOCK_LOST);
    assert_false(redlock_is_held(lock));
    deed_release(given, lock);
    COMPLETES(given, REDLOCK_LOST);
}

/* Both are needed: the mode, and the lease. */
static void a_reentry_upgrades_and_extends(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    redlock_options short_read =
        *REDLOCK_OPTIONS(.reentrant = true, .owner = "o", .ttl_ms = LONG_MS);
    redlock_options long_write = short_read;
    short_read.mode = REDLOCK_SHARED;
    long_write.ttl_ms = 3 * LONG_MS;
    redlock_lock *outer = async_take(the, "r", &short_read);
    deed *inner = deed_new(on);
    deed_acquire(inner, "r", &long_write);
    COMPLETES(inner, REDLOCK_OK);
    assert_ptr_equal(inner->lock, outer);
    assert_int_equal(redlock_lock_mode(outer), REDLOCK_EXCLUSIVE);
    assert_true(redlock_remaining_ms(outer) > 2 * LONG_MS);
    async_give(the, outer);
    async_give(the, outer);
    expect_free(the->stage->other, "r");
}

/* ---- Names ------------------------------------------------------------------------------------*/

typedef struct seen {
    deed deed; /* first */
    redlock_inspection *inspection;
    size_t removed;
} seen;

static void inspected(void *arg, redlock_status status, redlock_inspection *inspection)
{
    ((seen *)arg)->inspection = inspection;
    deed_note(arg, status, NULL);
}

static void forced(void *arg, redlock_status status, size_t removed)
{
    ((seen *)arg)->removed = removed;
    deed_note(arg, status, NULL);
}

static void a_lock_is_looked_at_and_taken_by_force(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    seen looked = {.deed = {.on = on}}, raided = {.deed = {.on = on}}, again = {.deed = {.on = on}};
    redlock_lock *held = take(the->stage->other, "r", NULL);
    EXPECT(redlock_inspect_async(on->client, "r", 1, inspected, &looked), REDLOCK_OK);
    COMPLETES(&looked.deed, REDLOCK_OK);
    assert_int_equal(looked.inspection->holders, 1);
    assert_int_equal(looked.inspection->fence, redlock_fence(held));
    redlock_inspection_free(looked.inspection);
    EXPECT(redlock_force_release_async(on->client, "r", 1, forced, &raided), REDLOCK_OK);
    COMPLETES(&raided.deed, REDLOCK_OK);
    assert_int_equal(raided.removed, 1);
    EXPECT(redlock_force_release_async(on->client, "r", 1, forced, &again), REDLOCK_OK);
    COMPLETES(&again.deed, REDLOCK_OK);
    assert_int_equal(again.removed, 0);
    EXPECT(redlock_release(held), REDLOCK_LOST);
}

static void what_is_no_name_is_refused_at_once(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    seen never = {.deed = {.on = on}};
    EXPECT(redlock_inspect_async(on->client, "", 0, inspected, &never), REDLOCK_ERR_NAME);
    EXPECT(redlock_inspect_async(on->client, NULL, 1, inspected, &never), REDLOCK_ERR_NAME);
    EXPECT(redlock_inspect_async(on->client, "r", 1, NULL, &never), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_force_release_async(on->client, "", 0, forced, &never), REDLOCK_ERR_NAME);
    EXPECT(redlock_force_release_async(NULL, "r", 1, forced, &never), REDLOCK_ERR_ARGUMENT);
    loop_for(on, 20);
    assert_int_equal(never.deed.completions, 0);
}

static void what_is_no_lock_of_ours_is_neither_shown_nor_taken(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    seen looked = {.deed = {.on = on}}, raided = {.deed = {.on = on}};
    server_number(the->stage->server, "ZADD redlock:{r} 1 somebody");
    EXPECT(redlock_inspect_async(on->client, "r", 1, inspected, &looked), REDLOCK_OK);
    COMPLETES(&looked.deed, REDLOCK_ERR_LAYOUT);
    assert_null(looked.inspection);
    EXPECT(redlock_force_release_async(on->client, "r", 1, forced, &raided), REDLOCK_OK);
    COMPLETES(&raided.deed, REDLOCK_ERR_LAYOUT);
    assert_int_equal(server_number(the->stage->server, "ZCARD redlock:{r}"), 1);
}

/* ---- Sets -------------------------------------------------------------------------------------*/

typedef struct gathered {
    deed deed; /* first */
    redlock_set *set;
} gathered;

static void set_acquired(void *arg, redlock_status status, redlock_set *set)
{
    ((gathered *)arg)->set = set;
    deed_note(arg, status, NULL);
}

enum { NAMES = 3 };

/* The names and their bytes are gone when it returns. */
static redlock_status gather(gathered *self, const redlock_options *options)
{
    char bytes[NAMES] = {'c', 'a', 'b'};
    redlock_name_bytes names[NAMES];
    for (int i = 0; i < NAMES; i++) names[i] = (redlock_name_bytes){&bytes[i], 1};
    submitting++;
    redlock_status status = redlock_acquire_set_async(self->deed.on->client, names, NAMES, options,
                                                      set_acquired, self, &self->deed.id);
    submitting--;
    memset(bytes, 'x', sizeof bytes);
    memset(names, 0, sizeof names);
    return status;
}

static void expect_all_free(async_stage *the)
{
    for (int i = 0; i < NAMES; i++)
        expect_free(the->stage->other, (const char *[]){"a", "b", "c"}[i]);
}

static void a_set_is_taken_and_given_back(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    gathered taken = {.deed = {.on = on}};
    deed *given = deed_new(on);
    EXPECT(gather(&taken, REDLOCK_OPTIONS(.ttl_ms = LONG_MS)), REDLOCK_OK);
    COMPLETES(&taken.deed, REDLOCK_OK);
    assert_string_equal(redlock_name(redlock_set_lock(taken.set, 0), NULL), "c");
    for (size_t i = 0; i < NAMES; i++) assert_true(redlock_is_held(redlock_set_lock(taken.set, i)));
    EXPECT(redlock_release_set_async(taken.set, deed_done, given), REDLOCK_OK);
    COMPLETES(given, REDLOCK_OK);
    expect_all_free(the);
}

static void until_nobody_has(async_stage *the, const char *name)
{
    loop_until(&the->loop, has_holders, (&(expected){the->stage, name, 0}));
    loop_until(&the->loop, has_waiters, (&(expected){the->stage, name, 0}));
}

static void a_set_of_which_one_is_taken_holds_nothing(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    redlock_lock *beside = take(the->stage->other, "b", NULL);
    gathered failed = {.deed = {.on = on}};
    EXPECT(gather(&failed, NULL), REDLOCK_OK);
    COMPLETES(&failed.deed, REDLOCK_BUSY);
    assert_null(failed.set);
    EXPECT(redlock_release(beside), REDLOCK_OK);
    until_nobody_has(the, "a");
    expect_all_free(the);
}

/* It has its first name, and is in the line of its second, which is held beside it. */
static redlock_lock *gather_in_vain(async_stage *the, gathered *waits)
{
    redlock_lock *beside = take(the->stage->other, "b", NULL);
    EXPECT(gather(waits, REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER)), REDLOCK_OK);
    loop_until(&the->loop, has_waiters, (&(expected){the->stage, "b", 1}));
    return beside;
}

static void a_set_that_waits_is_cancelled(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    gathered waits = {.deed = {.on = on}};
    redlock_lock *beside = gather_in_vain(the, &waits);
    redlock_cancel_async(on->client, waits.deed.id);
    COMPLETES(&waits.deed, REDLOCK_CANCELLED);
    redlock_cancel_async(on->client, waits.deed.id); /* too late: no harm */
    EXPECT(redlock_release(beside), REDLOCK_OK);
    until_nobody_has(the, "a");
    until_nobody_has(the, "b");
    expect_all_free(the);
}

static void a_set_that_waits_meets_the_close(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    gathered waits = {.deed = {.on = on}};
    redlock_lock *beside = gather_in_vain(the, &waits);
    async_close(the);
    assert_int_equal(waits.deed.completions, 1);
    EXPECT(waits.deed.status, REDLOCK_ERR_CLOSED);
    EXPECT(redlock_release(beside), REDLOCK_OK);
    expect_all_free(the);
}

static void a_set_with_a_name_twice_is_refused_at_once(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    const redlock_name_bytes twice[] = {{"a", 1}, {"a", 1}};
    gathered never = {.deed = {.on = on}};
    redlock_client *client = on->client;
    EXPECT(redlock_acquire_set_async(client, twice, 2, NULL, set_acquired, &never, NULL),
           REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_acquire_set_async(client, twice, 0, NULL, set_acquired, &never, NULL),
           REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_acquire_set_async(client, twice, 1, NULL, NULL, &never, NULL),
           REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_release_set_async(NULL, deed_done, &never), REDLOCK_ERR_ARGUMENT);
    loop_for(on, 20);
    assert_int_equal(never.deed.completions, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_HOST(a_hold_is_converted_there_and_back_with_new_fences),
        ON_EVERY_HOST(an_upgrade_beside_another_reader_is_a_deadlock),
        ON_EVERY_HOST(a_hold_that_is_gone_is_not_converted),
        ON_EVERY_HOST(a_reentry_upgrades_and_extends),
        ON_EVERY_HOST(a_lock_is_looked_at_and_taken_by_force),
        ON_EVERY_HOST(what_is_no_name_is_refused_at_once),
        ON_EVERY_HOST(what_is_no_lock_of_ours_is_neither_shown_nor_taken),
        ON_EVERY_HOST(a_set_is_taken_and_given_back),
        ON_EVERY_HOST(a_set_of_which_one_is_taken_holds_nothing),
        ON_EVERY_HOST(a_set_that_waits_is_cancelled),
        ON_EVERY_HOST(a_set_that_waits_meets_the_close),
        ON_EVERY_HOST(a_set_with_a_name_twice_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
