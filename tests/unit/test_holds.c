/* SPDX-License-Identifier: MIT
 * api/holds: who enters which hold again, who would wait for itself, and that the table loses
 * nothing, whatever its size and its memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/holds.h"
#include "host/thread.h"

enum { MANY = 1000, THREADS = 8, ROUNDS = 3000, VALID_UNTIL_US = 1000000 };

/* ---- A table, and holds as acquire would make them, without a client ---- */

static memory of_ours;
static holds table;

static int set_up(void **state)
{
    (void)state;
    of_ours = memory_from(NULL);
    holds_init(&table, &of_ours);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    holds_destroy(&table);
    return 0;
}

/* A reentrant hold unless `owner` is NULL; "" is the thread itself. */
static redlock_lock *hold_bytes(const char *name, size_t name_length, const char *owner, char kind)
{
    char holder[128];
    bool is_owned = owner != NULL && *owner != '\0';
    size_t holder_length = (size_t)snprintf(holder, sizeof holder, "%s%s id who",
                                            is_owned ? "@" : "-", is_owned ? owner : "");
    redlock_lock *self =
        calloc(1, sizeof *self + 1 + name_length + 1 + holder_length + 1 + sizeof "x");

    assert_non_null(self);
    self->name_length = (uint32_t)name_length;
    self->holder_length = (uint32_t)holder_length;
    self->mode_length = 1;
    self->owner_length = (uint16_t)(is_owned ? strlen(owner) : 0);
    self->is_reentrant = owner != NULL;
    self->thread = thread_number();
    atomic_store(&self->standing, standing_word(1, kind));
    atomic_store(&self->hold.valid_until_us, VALID_UNTIL_US);
    memcpy(self->bytes + 1, name, name_length);
    memcpy(self->bytes + 1 + name_length + 1, holder, holder_length);
    self->bytes[1 + name_length + 1 + holder_length + 1] = kind;
    return self;
}

static redlock_lock *hold_named(const char *name, const char *owner)
{
    redlock_lock *self = hold_bytes(name, strlen(name), owner, KIND_EXCLUSIVE);

    holds_add(&table, self);
    return self;
}

static redlock_lock *enter(const char *name, uint64_t thread, const char *owner)
{
    claimant who = {.thread = thread, .owner = owner, .owner_length = strlen(owner)};

    return holds_enter(&table, name, strlen(name), &who);
}

static uint64_t another_thread(void) { return thread_number() + 1; }

static redlock_lock *enter_as_myself(const char *name) { return enter(name, thread_number(), ""); }

static void drop(redlock_lock *self)
{
    while (!holds_leave(&table, self)) continue;
    free(self);
}

/* ---- Entering again ---- */

static void the_thread_that_holds_enters_again(void **state)
{
    redlock_lock *held = hold_named("a", "");

    (void)state;
    assert_int_equal(held->depth, 1);
    assert_ptr_equal(enter_as_myself("a"), held);
    assert_ptr_equal(enter_as_myself("a"), held);
    assert_int_equal(held->depth, 3);
    assert_int_equal(table.count, 1);
    drop(held);
}

static void another_thread_does_not(void **state)
{
    redlock_lock *held = hold_named("a", "");

    (void)state;
    assert_null(enter("a", another_thread(), ""));
    assert_int_equal(held->depth, 1);
    drop(held);
}

static void an_explicit_owner_enters_from_any_thread(void **state)
{
    redlock_lock *held = hold_named("a", "txn-77");

    (void)state;
    assert_ptr_equal(enter("a", another_thread(), "txn-77"), held);
    assert_ptr_equal(enter("a", thread_number(), "txn-77"), held);
    drop(held);
}

static void a_hold_is_not_entered_before_its_fence_is_known(void **state)
{
    redlock_lock *held = hold_named("a", "txn-77");

    (void)state;
    atomic_store(&held->standing, 0);
    assert_null(enter("a", another_thread(), "txn-77"));
    assert_int_equal(held->depth, 1);
    atomic_store(&held->standing, standing_word(5, KIND_EXCLUSIVE));
    assert_ptr_equal(enter("a", another_thread(), "txn-77"), held);
    drop(held);
}

static void an_owner_is_the_whole_of_its_name(void **state)
{
    redlock_lock *held = hold_named("a", "txn-77");

    (void)state;
    assert_null(enter_as_myself("a")); /* the thread is not the owner, although it made the hold */
    assert_null(enter("a", thread_number(), "txn-7"));
    assert_null(enter("a", thread_number(), "txn-777"));
    assert_null(enter("a", thread_number(), "txn-78"));
    drop(held);
}

static void a_hold_of_the_thread_is_not_an_explicit_owner_s(void **state)
{
    redlock_lock *held = hold_named("a", "");

    (void)state;
    assert_null(enter("a", thread_number(), "txn-77"));
    drop(held);
}

static void a_plain_hold_is_not_entered_again(void **state)
{
    redlock_lock *held = hold_named("a", NULL);

    (void)state;
    assert_null(enter_as_myself("a"));
    assert_int_equal(held->depth, 1);
    drop(held);
}

static void a_name_is_compared_to_its_last_byte(void **state)
{
    static const char longer[] = "a\0b";
    redlock_lock *held = hold_bytes(longer, 3, "", KIND_EXCLUSIVE);
    claimant self = {.thread = thread_number()};

    (void)state;
    holds_add(&table, held);
    assert_null(holds_enter(&table, "a", 1, &self));
    assert_null(holds_enter(&table, "a\0", 2, &self));
    assert_null(holds_enter(&table, "a\0c", 3, &self));
    assert_null(holds_enter(&table, "a\0b\0", 4, &self));
    assert_ptr_equal(holds_enter(&table, "a\0b", 3, &self), held);
    drop(held);
}

/* Names that fall on one hash, by force; and the longer one comes first. */
static void two_names_with_one_hash_are_kept_apart(void **state)
{
    redlock_lock *one = hold_named("a", ""), *other = hold_named("ab", "");

    (void)state;
    holds_leave(&table, other);
    other->name_hash = one->name_hash;
    other->depth = 1;
    other->same_bucket = table.bucket[one->name_hash & (table.buckets - 1)];
    table.bucket[one->name_hash & (table.buckets - 1)] = other;
    table.count++;
    assert_ptr_equal(enter_as_myself("a"), one);
    assert_null(enter_as_myself("ab"));
    drop(one);
    drop(other);
}

/* ---- Leaving ---- */

static void the_last_one_to_leave_is_told_so(void **state)
{
    redlock_lock *held = hold_named("a", "");

    (void)state;
    enter_as_myself("a");
    enter_as_myself("a");
    assert_false(holds_leave(&table, held));
    assert_false(holds_leave(&table, held));
    assert_int_equal(table.count, 1);
    assert_true(holds_leave(&table, held));
    assert_int_equal(table.count, 0);
    assert_null(enter_as_myself("a"));
    free(held);
}

/* Of holds that share a bucket, each can go first. */
static void whoever_leaves_takes_nobody_along(void **state)
{
    static const char *const owners[] = {"p", "q", "r"};

    (void)state;
    for (int gone = 0; gone < 3; gone++) {
        redlock_lock *held[3];

        for (int i = 0; i < 3; i++) held[i] = hold_named("a", owners[i]);
        drop(held[gone]);
        for (int i = 0; i < 3; i++)
            assert_ptr_equal(enter("a", 1, owners[i]), i == gone ? NULL : held[i]);
        for (int i = 0; i < 3; i++)
            if (i != gone) drop(held[i]);
        assert_int_equal(table.count, 0);
    }
}

/* ---- Waiting for oneself ---- */

static bool excludes(uint64_t thread, char kind, int64_t now_us)
{
    return holds_excludes(&table, "a", 1, thread, &(mode){.kind = kind}, now_us);
}

static void a_thread_would_wait_for_its_own_hold(void **state)
{
    static const char kinds[] = {KIND_EXCLUSIVE, KIND_SHARED};

    (void)state;
    for (int i = 0; i < 8; i++) {
        const char has = kinds[i % 2], wants = kinds[i / 2 % 2];
        redlock_lock *held = hold_bytes("a", 1, i < 4 ? NULL : "", has);

        holds_add(&table, held);
        assert_int_equal(excludes(thread_number(), wants, 0),
                         has == KIND_EXCLUSIVE || wants == KIND_EXCLUSIVE);
        assert_false(excludes(another_thread(), wants, 0));
        assert_false(holds_excludes(&table, "b", 1, thread_number(), &(mode){.kind = wants}, 0));
        drop(held);
        assert_false(excludes(thread_number(), wants, 0));
    }
}

static void nobody_waits_for_a_hold_that_is_over(void **state)
{
    redlock_lock *held = hold_named("a", NULL);

    (void)state;
    assert_true(excludes(held->thread, KIND_EXCLUSIVE, VALID_UNTIL_US - 1));
    assert_false(excludes(held->thread, KIND_EXCLUSIVE, VALID_UNTIL_US));
    atomic_store(&held->hold.valid_until_us, 0);
    assert_false(excludes(held->thread, KIND_EXCLUSIVE, 0));
    drop(held);
}

static void one_hold_that_excludes_is_enough(void **state)
{
    redlock_lock *shared = hold_bytes("a", 1, NULL, KIND_SHARED), *lost = hold_named("a", NULL);

    (void)state;
    holds_add(&table, shared);
    atomic_store(&lost->hold.valid_until_us, 0);
    assert_false(excludes(thread_number(), KIND_SHARED, 0));
    assert_true(excludes(thread_number(), KIND_EXCLUSIVE, 0));
    drop(shared);
    drop(lost);
}

static bool permits_exclude(uint32_t permits)
{
    return holds_excludes(&table, "a", 1, thread_number(),
                          &(mode){.kind = KIND_SHARED, .permits = permits}, 0);
}

static void a_thread_waits_for_itself_when_it_has_all_the_permits(void **state)
{
    redlock_lock *held[3];

    (void)state;
    assert_false(permits_exclude(1));
    for (uint32_t i = 0; i < 3; i++) {
        held[i] = hold_bytes("a", 1, NULL, KIND_SHARED);
        holds_add(&table, held[i]);
        assert_true(permits_exclude(i + 1));
        assert_false(permits_exclude(i + 2));
        assert_false(permits_exclude(0));
    }
    atomic_store(&held[0]->hold.valid_until_us, 0);
    held[1]->thread = another_thread();
    assert_true(permits_exclude(1));
    assert_false(permits_exclude(2));
    for (int i = 0; i < 3; i++) drop(held[i]);
}

static void a_converted_hold_is_judged_by_what_it_is_now(void **state)
{
    redlock_lock *held = hold_named("a", "");

    (void)state;
    assert_true(excludes(held->thread, KIND_SHARED, 0));
    atomic_store(&held->standing, standing_word(1, KIND_SHARED));
    assert_false(excludes(held->thread, KIND_SHARED, 0));
    drop(held);
}

static void a_hold_that_is_adopted_changes_its_thread(void **state)
{
    redlock_lock *held = hold_named("a", "");
    uint64_t another = another_thread();

    (void)state;
    held->thread = another;
    assert_null(enter_as_myself("a"));
    holds_adopt(&table, held);
    assert_ptr_equal(enter_as_myself("a"), held);
    assert_null(enter("a", another, ""));
    assert_false(excludes(another, KIND_EXCLUSIVE, 0));
    assert_true(excludes(thread_number(), KIND_EXCLUSIVE, 0));
    drop(held);
}

/* ---- The table ---- */

static void assert_keeps_many(void)
{
    redlock_lock *held[MANY];
    char name[16];

    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "name:%d", i);
        held[i] = hold_named(name, "");
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "name:%d", i);
        assert_ptr_equal(enter_as_myself(name), held[i]);
    }
    for (int i = 0; i < MANY; i++) drop(held[i * 7 % MANY]);
}

static void a_table_grows_with_its_holds(void **state)
{
    (void)state;
    assert_int_equal(table.buckets, HOLDS_FIRST_BUCKETS);
    assert_keeps_many();
    assert_int_equal(table.count, 0);
    assert_int_equal(table.buckets, 512);
    assert_keeps_many(); /* and what it has grown to is used again */
    assert_int_equal(table.buckets, 512);
}

static void *refuse(void *arg, size_t size)
{
    (void)arg, (void)size;
    return NULL;
}

static void ignore(void *arg, void *block) { (void)arg, (void)block; }

static void without_memory_the_table_stays_and_serves(void **state)
{
    (void)state;
    of_ours = memory_from(&(redlock_allocator){.allocate = refuse, .release = ignore});
    assert_keeps_many();
    assert_int_equal(table.count, 0);
    assert_ptr_equal(table.bucket, table.first);
}

/* ---- All at once ---- */

static redlock_lock *of_all;

/* A hold of the thread's own under a name that all use, one under a name of its own, and one that
 * belongs to all. */
static void *come_and_go(void *failures)
{
    static const mode reader = {.kind = KIND_SHARED};
    char own_name[32];
    uint64_t self = thread_number();

    snprintf(own_name, sizeof own_name, "own:%llu", (unsigned long long)self);
    for (int i = 0; i < ROUNDS; i++) {
        redlock_lock *common = hold_named("common", ""), *own = hold_named(own_name, NULL);
        bool is_sound = enter("common", self, "") == common &&
                        enter("all", self, "everybody") == of_all &&
                        holds_excludes(&table, own_name, strlen(own_name), self, &reader, 0) &&
                        !holds_excludes(&table, own_name, strlen(own_name), self + 1, &reader, 0) &&
                        !holds_leave(&table, of_all) && !holds_leave(&table, common) &&
                        holds_leave(&table, common) && holds_leave(&table, own);

        if (i % 16 == 0) holds_adopt(&table, of_all);
        if (!is_sound) atomic_fetch_add((atomic_int *)failures, 1);
        free(common);
        free(own);
    }
    return NULL;
}

static void threads_that_come_and_go_do_not_disturb_each_other(void **state)
{
    pthread_t threads[THREADS];
    atomic_int failures = 0;

    (void)state;
    of_all = hold_named("all", "everybody");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &failures), 0);
    assert_keeps_many(); /* the table grows under them */
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(failures, 0);
    assert_int_equal(table.count, 1);
    assert_true(holds_leave(&table, of_all));
    free(of_all);
}

/* ---- */

#define TABLE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TABLE_TEST(the_thread_that_holds_enters_again),
        TABLE_TEST(another_thread_does_not),
        TABLE_TEST(an_explicit_owner_enters_from_any_thread),
        TABLE_TEST(a_hold_is_not_entered_before_its_fence_is_known),
        TABLE_TEST(an_owner_is_the_whole_of_its_name),
        TABLE_TEST(a_hold_of_the_thread_is_not_an_explicit_owner_s),
        TABLE_TEST(a_plain_hold_is_not_entered_again),
        TABLE_TEST(a_name_is_compared_to_its_last_byte),
        TABLE_TEST(two_names_with_one_hash_are_kept_apart),
        TABLE_TEST(the_last_one_to_leave_is_told_so),
        TABLE_TEST(whoever_leaves_takes_nobody_along),
        TABLE_TEST(a_thread_would_wait_for_its_own_hold),
        TABLE_TEST(nobody_waits_for_a_hold_that_is_over),
        TABLE_TEST(one_hold_that_excludes_is_enough),
        TABLE_TEST(a_thread_waits_for_itself_when_it_has_all_the_permits),
        TABLE_TEST(a_converted_hold_is_judged_by_what_it_is_now),
        TABLE_TEST(a_hold_that_is_adopted_changes_its_thread),
        TABLE_TEST(a_table_grows_with_its_holds),
        TABLE_TEST(without_memory_the_table_stays_and_serves),
        TABLE_TEST(threads_that_come_and_go_do_not_disturb_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
