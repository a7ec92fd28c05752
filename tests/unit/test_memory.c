/* SPDX-License-Identifier: MIT
 * host/memory over hooks that count, fail on demand and hand out dirty memory; and what can be
 * said of host/entropy and host/clock without a false kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "host/clock.h"
#include "host/entropy.h"
#include "host/memory.h"

typedef struct heap {
    int live;
    bool is_empty;
    size_t last_size;
} heap;

static void *allocate(void *arg, size_t size)
{
    heap *self = arg;
    void *block = self->is_empty ? NULL : malloc(size);

    self->last_size = size;
    if (block == NULL) return NULL;
    self->live++;
    return memset(block, 0xa5, size);
}

static void release(void *arg, void *block)
{
    assert_non_null(block);
    ((heap *)arg)->live--;
    free(block);
}

static memory over(heap *self)
{
    return memory_from(&(redlock_allocator){.allocate = allocate, .release = release, .arg = self});
}

static bool is_zero(const void *block, size_t size)
{
    const unsigned char *bytes = block;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) return false;
    }
    return true;
}

static void release_a_wiped_text(void *arg, void *block)
{
    assert_true(is_zero(block, sizeof "a secret"));
    release(arg, block);
}

static void a_secret_is_overwritten_before_it_is_freed(void **state)
{
    heap of = {0};
    memory from = over(&of);
    char text[] = "a secret";

    (void)state;
    memory_wipe(text, 4);
    assert_memory_equal(text, "\0\0\0\0cret", sizeof text);
    memory_wipe(NULL, 0);
    from.release = release_a_wiped_text;
    memory_free_secret(&from, memory_copy(&from, "a secret", 8));
    memory_free_secret(&from, NULL);
    assert_int_equal(of.live, 0);
}

static void without_hooks_memory_comes_from_malloc(void **state)
{
    memory none = memory_from(NULL);
    memory zero = memory_from(&(redlock_allocator){0});
    void *a = memory_new(&none, 100);
    void *b = memory_new(&zero, 100);

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_true(is_zero(a, 100) && is_zero(b, 100));
    free(a);
    free(b);
}

static void hooks_are_given_their_argument_and_the_block_back(void **state)
{
    heap self = {0};
    memory from = over(&self);
    void *block = memory_new(&from, 40);

    (void)state;
    assert_int_equal(self.live, 1);
    assert_int_equal(self.last_size, 40);
    memory_free(&from, block);
    assert_int_equal(self.live, 0);
}

static void a_new_block_is_zeroed_though_the_hook_gives_dirty_memory(void **state)
{
    heap self = {0};
    memory from = over(&self);
    void *block = memory_new(&from, 64);

    (void)state;
    assert_true(is_zero(block, 64));
    memory_free(&from, block);
}

static void an_empty_block_is_not_out_of_memory(void **state)
{
    heap self = {0};
    memory from = over(&self);
    void *block = memory_new(&from, 0);

    (void)state;
    assert_non_null(block);
    assert_int_equal(self.last_size, 1);
    memory_free(&from, block);
}

static void a_copy_has_the_bytes_and_a_nul(void **state)
{
    heap self = {0};
    memory from = over(&self);
    char *copy = memory_copy(&from, "a\0b", 3);

    (void)state;
    assert_memory_equal(copy, "a\0b", 4);
    memory_free(&from, copy);
}

static void a_copy_of_nothing_is_an_empty_string(void **state)
{
    heap self = {0};
    memory from = over(&self);
    char *copy = memory_copy(&from, NULL, 0);

    (void)state;
    assert_string_equal(copy, "");
    memory_free(&from, copy);
}

static void a_copy_whose_size_overflows_is_out_of_memory(void **state)
{
    heap self = {0};
    memory from = over(&self);

    (void)state;
    assert_null(memory_copy(&from, "x", SIZE_MAX));
    assert_int_equal(self.live, 0);
}

static void regrowing_keeps_the_old_bytes_and_zeroes_the_rest(void **state)
{
    heap self = {0};
    memory from = over(&self);
    char *old = memory_copy(&from, "12345678", 8);
    char *grown = memory_regrow(&from, old, 4, 16);

    (void)state;
    assert_memory_equal(grown, "1234", 4);
    assert_true(is_zero(grown + 4, 12));
    assert_int_equal(self.live, 1);
    memory_free(&from, grown);
}

static void regrowing_nothing_makes_a_first_block(void **state)
{
    heap self = {0};
    memory from = over(&self);
    char *first = memory_regrow(&from, NULL, 0, 16);

    (void)state;
    assert_true(is_zero(first, 16));
    assert_int_equal(self.live, 1);
    memory_free(&from, first);
}

static void shrinking_copies_no_more_than_fits(void **state)
{
    heap self = {0};
    memory from = over(&self);
    char *small = memory_regrow(&from, memory_copy(&from, "12345678", 8), 8, 2);

    (void)state;
    assert_memory_equal(small, "12", 2);
    memory_free(&from, small);
}

static void a_failed_regrow_leaves_the_old_block(void **state)
{
    heap self = {0};
    memory from = over(&self);
    char *old = memory_copy(&from, "12345678", 8);

    (void)state;
    self.is_empty = true;
    assert_null(memory_regrow(&from, old, 8, 16));
    assert_string_equal(old, "12345678");
    assert_int_equal(self.live, 1);
    memory_free(&from, old);
}

static void out_of_memory_is_null(void **state)
{
    heap self = {.is_empty = true};
    memory from = over(&self);

    (void)state;
    assert_null(memory_new(&from, 1));
    assert_null(memory_copy(&from, "a", 1));
    assert_int_equal(self.live, 0);
}

static void freeing_null_does_not_reach_the_hook(void **state)
{
    heap self = {0};
    memory from = over(&self);

    (void)state;
    memory_free(&from, NULL);
    assert_int_equal(self.live, 0);
}

static void entropy_fills_every_byte(void **state)
{
    unsigned char seen[1000] = {0};

    (void)state;
    /* A byte stays zero in 12 fills with a probability of 2^-96. */
    for (int round = 0; round < 12; round++) {
        unsigned char bytes[sizeof seen];

        assert_true(entropy_fill(bytes, sizeof bytes));
        for (size_t i = 0; i < sizeof seen; i++) seen[i] |= bytes[i];
    }
    assert_null(memchr(seen, 0, sizeof seen));
}

static int64_t boot_time_us(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &now), 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void the_clock_is_boot_time_in_microseconds(void **state)
{
    (void)state;
    /* More than once, so that the parts of a second are seen to move as well. */
    for (int round = 0; round < 1000; round++) {
        int64_t before = boot_time_us();
        int64_t now = clock_now_us();

        assert_true(before <= now);
        assert_true(now <= boot_time_us());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_is_overwritten_before_it_is_freed),
        cmocka_unit_test(without_hooks_memory_comes_from_malloc),
        cmocka_unit_test(hooks_are_given_their_argument_and_the_block_back),
        cmocka_unit_test(a_new_block_is_zeroed_though_the_hook_gives_dirty_memory),
        cmocka_unit_test(an_empty_block_is_not_out_of_memory),
        cmocka_unit_test(a_copy_has_the_bytes_and_a_nul),
        cmocka_unit_test(a_copy_of_nothing_is_an_empty_string),
        cmocka_unit_test(a_copy_whose_size_overflows_is_out_of_memory),
        cmocka_unit_test(regrowing_keeps_the_old_bytes_and_zeroes_the_rest),
        cmocka_unit_test(regrowing_nothing_makes_a_first_block),
        cmocka_unit_test(shrinking_copies_no_more_than_fits),
        cmocka_unit_test(a_failed_regrow_leaves_the_old_block),
        cmocka_unit_test(out_of_memory_is_null),
        cmocka_unit_test(freeing_null_does_not_reach_the_hook),
        cmocka_unit_test(entropy_fills_every_byte),
        cmocka_unit_test(the_clock_is_boot_time_in_microseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
