/* SPDX-License-Identifier: MIT
 * keeper/directory: what was added is found by its number, and nothing else is, however it grew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "keeper/directory.h"

enum { MANY = 5000, FIRST = 1000 };

static directory_entry entries[MANY];
static int blocks, allowed; /* how many blocks are out; how many more there may be */

static void *allocate(void *arg, size_t size)
{
    (void)arg;
    if (allowed == 0) return NULL;
    allowed--;
    blocks++;
    return malloc(size);
}

static void release(void *arg, void *block)
{
    (void)arg;
    blocks--;
    free(block);
}

static memory with(int blocks_allowed)
{
    blocks = 0;
    allowed = blocks_allowed;
    return memory_from(&(redlock_allocator){allocate, release, NULL});
}

static directory_entry *entry(int i)
{
    entries[i].number = (uint64_t)(FIRST + i);
    return &entries[i];
}

static void fill(directory *self, const memory *from, int count)
{
    directory_init(self);
    for (int i = 0; i < count; i++) directory_add(self, from, entry(i));
    assert_int_equal(self->count, count);
}

static void assert_has(const directory *self, int from, int to)
{
    for (int i = from; i < to; i++)
        assert_ptr_equal(directory_find(self, (uint64_t)(FIRST + i)), &entries[i]);
}

static void an_empty_one_has_nothing_and_no_memory(void **state)
{
    (void)state;
    memory from = with(0);
    directory self;
    directory_init(&self);
    assert_null(directory_find(&self, 0));
    assert_null(directory_find(&self, FIRST));
    directory_free(&self, &from);
}

static void what_was_added_is_found_and_its_neighbours_are_not(void **state)
{
    (void)state;
    memory from = with(MANY);
    directory self;
    fill(&self, &from, MANY);
    assert_has(&self, 0, MANY);
    assert_null(directory_find(&self, FIRST - 1));
    assert_null(directory_find(&self, FIRST + MANY));
    assert_null(directory_find(&self, 0));
    directory_free(&self, &from);
    assert_int_equal(blocks, 0);
}

static void it_grows_with_what_is_in_it(void **state)
{
    (void)state;
    memory from = with(MANY);
    directory self;
    fill(&self, &from, MANY);
    assert_true(self.count <= 2 * self.buckets);
    assert_true(self.buckets <= self.count);
    assert_int_equal(blocks, 1);
    directory_free(&self, &from);
}

static void without_memory_it_finds_all_the_same(void **state)
{
    (void)state;
    for (int blocks_allowed = 0; blocks_allowed < 4; blocks_allowed++) {
        memory from = with(blocks_allowed);
        directory self;
        fill(&self, &from, MANY);
        assert_int_equal(self.buckets, DIRECTORY_FIRST_BUCKETS << blocks_allowed);
        assert_has(&self, 0, MANY);
        directory_free(&self, &from);
        assert_int_equal(blocks, 0);
    }
}

static void what_was_removed_is_not_found_and_all_else_is(void **state)
{
    (void)state;
    memory from = with(MANY);
    directory self;
    fill(&self, &from, MANY);
    for (int i = 0; i < MANY; i += 3) directory_remove(&self, &entries[i]);
    for (int i = 0; i < MANY; i++) {
        directory_entry *expected = i % 3 == 0 ? NULL : &entries[i];
        assert_ptr_equal(directory_find(&self, (uint64_t)(FIRST + i)), expected);
    }
    assert_int_equal(self.count, MANY - (MANY + 2) / 3);
    directory_free(&self, &from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_has_nothing_and_no_memory),
        cmocka_unit_test(what_was_added_is_found_and_its_neighbours_are_not),
        cmocka_unit_test(it_grows_with_what_is_in_it),
        cmocka_unit_test(without_memory_it_finds_all_the_same),
        cmocka_unit_test(what_was_removed_is_not_found_and_all_else_is),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
