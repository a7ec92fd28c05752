/* SPDX-License-Identifier: MIT
 * keeper/schedule: the heap against a plain list, every order of a few timers and a long seeded run
 * of many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "keeper/schedule.h"

enum { MANY = 200, STEPS = 20000 };

static memory plain(void) { return memory_from(NULL); }

static schedule room_for(size_t count)
{
    memory from = plain();
    schedule made = {0};

    assert_true(schedule_reserve(&made, &from, count));
    return made;
}

static void drop(schedule *self)
{
    memory from = plain();

    schedule_free(self, &from);
}

/* The parent comes no later than its children, and each knows its place. */
static void assert_heap(const schedule *self)
{
    for (size_t place = 1; place <= self->count; place++) {
        assert_int_equal(self->heap[place]->place, place);
        if (place > 1) assert_true(self->heap[place / 2]->at_us <= self->heap[place]->at_us);
    }
}

static void an_empty_schedule_has_no_first(void **state)
{
    schedule self = {0};

    (void)state;
    assert_null(schedule_first(&self));
}

static void the_earliest_comes_first_in_every_order_of_setting(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 5 * 5 * 5 * 5 * 5; order++) {
        timer timers[5] = {{0}};
        schedule self = room_for(5);
        unsigned digits = order;

        for (int i = 0; i < 5; i++, digits /= 5) schedule_set(&self, &timers[i], digits % 5);
        assert_heap(&self);
        for (int64_t before = -1; self.count > 0;
             before = schedule_first(&self)->at_us, schedule_remove(&self, self.heap[1]))
            assert_true(schedule_first(&self)->at_us >= before);
        drop(&self);
    }
}

static void a_timer_is_moved_not_doubled(void **state)
{
    timer a = {0}, b = {0};
    schedule self = room_for(2);

    (void)state;
    schedule_set(&self, &a, 10);
    schedule_set(&self, &b, 20);
    schedule_set(&self, &a, 30);
    assert_int_equal(self.count, 2);
    assert_ptr_equal(schedule_first(&self), &b);
    schedule_set(&self, &a, 5);
    assert_ptr_equal(schedule_first(&self), &a);
    drop(&self);
}

static void what_is_not_scheduled_is_removed_without_harm(void **state)
{
    timer a = {0}, b = {0};
    schedule self = room_for(2);

    (void)state;
    schedule_set(&self, &a, 10);
    schedule_remove(&self, &b);
    assert_int_equal(self.count, 1);
    schedule_remove(&self, &a);
    schedule_remove(&self, &a);
    assert_int_equal(self.count, 0);
    assert_int_equal(a.place, 0);
    drop(&self);
}

static void what_was_reserved_is_enough_and_kept_when_it_grows(void **state)
{
    static timer timers[MANY];
    memory from = plain();
    schedule self = {0};

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        timers[i] = (timer){0};
        assert_true(schedule_reserve(&self, &from, i + 1));
        assert_true(self.size > i + 1);
        schedule_set(&self, &timers[i], (int64_t)(MANY - i));
        assert_heap(&self);
    }
    assert_ptr_equal(schedule_first(&self), &timers[MANY - 1]);
    drop(&self);
    assert_null(schedule_first(&self));
}

static void *refuse(void *arg, size_t size)
{
    (void)arg, (void)size;
    return NULL;
}

static void ignore(void *arg, void *block) { (void)arg, (void)block; }

static void out_of_memory_leaves_the_schedule_as_it_was(void **state)
{
    memory none = memory_from(&(redlock_allocator){.allocate = refuse, .release = ignore});
    timer a = {0};
    schedule self = room_for(15);

    (void)state;
    schedule_set(&self, &a, 10);
    assert_true(schedule_reserve(&self, &none, 15));
    assert_false(schedule_reserve(&self, &none, 16));
    assert_ptr_equal(schedule_first(&self), &a);
    assert_int_equal(self.size, 16);
    drop(&self);
}

static const timer *least_of(const timer *timers)
{
    const timer *least = NULL;

    for (int i = 0; i < MANY; i++)
        if (timers[i].place > 0 && (least == NULL || timers[i].at_us < least->at_us))
            least = &timers[i];
    return least;
}

static void it_agrees_with_a_list_over_a_long_run(void **state)
{
    static timer timers[MANY];
    schedule self = room_for(MANY);
    uint32_t random = 12345;

    (void)state;
    for (int step = 0; step < STEPS; step++) {
        random = random * 1664525u + 1013904223u;
        timer *which = &timers[(random >> 8) % MANY];

        if (random >> 30 == 0) schedule_remove(&self, which);
        else schedule_set(&self, which, (random >> 16) % 1000);

        const timer *first = schedule_first(&self), *least = least_of(timers);

        assert_int_equal(first == NULL, least == NULL);
        if (first != NULL) assert_int_equal(first->at_us, least->at_us);
        if (step % 100 == 0) assert_heap(&self);
    }
    drop(&self);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_schedule_has_no_first),
        cmocka_unit_test(the_earliest_comes_first_in_every_order_of_setting),
        cmocka_unit_test(a_timer_is_moved_not_doubled),
        cmocka_unit_test(what_is_not_scheduled_is_removed_without_harm),
        cmocka_unit_test(what_was_reserved_is_enough_and_kept_when_it_grows),
        cmocka_unit_test(out_of_memory_leaves_the_schedule_as_it_was),
        cmocka_unit_test(it_agrees_with_a_list_over_a_long_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
