/* SPDX-License-Identifier: MIT
 * host/histogram: which bucket a duration falls into, and that no count is lost between threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/histogram.h"

enum { THREADS = 4, TIMES = 20000, LAST = REDLOCK_HISTOGRAM_BUCKETS - 1 };

static int only_bucket(int64_t duration_us)
{
    redlock_histogram self = {0};
    int found = -1;

    histogram_add(&self, duration_us);
    for (int i = 0; i <= LAST; i++) {
        if (self.bucket[i] == 0) continue;
        assert_int_equal(self.bucket[i], 1);
        assert_int_equal(found, -1);
        found = i;
    }
    return found;
}

static void a_bucket_holds_one_power_of_two(void **state)
{
    (void)state;
    for (int i = 1; i <= LAST; i++) {
        assert_int_equal(only_bucket(INT64_C(1) << i), i);
        assert_int_equal(only_bucket((INT64_C(1) << i) - 1), i - 1);
    }
}

static void what_is_shorter_falls_into_the_first(void **state)
{
    (void)state;
    assert_int_equal(only_bucket(1), 0);
    assert_int_equal(only_bucket(0), 0);
    assert_int_equal(only_bucket(INT64_MIN), 0);
}

static void what_is_longer_falls_into_the_last(void **state)
{
    (void)state;
    assert_int_equal(only_bucket(INT64_C(1) << (LAST + 1)), LAST);
    assert_int_equal(only_bucket(INT64_MAX), LAST);
}

static void durations_are_counted_and_summed(void **state)
{
    redlock_histogram self = {0};

    (void)state;
    histogram_add(&self, 5);
    histogram_add(&self, 6);
    histogram_add(&self, -7);
    assert_int_equal(self.count, 3);
    assert_int_equal(self.sum_us, 11);
    assert_int_equal(self.bucket[2], 2);
}

static void *add_many(void *arg)
{
    for (int i = 0; i < TIMES; i++) histogram_add(arg, 3);
    return NULL;
}

static void no_count_is_lost_between_threads(void **state)
{
    static redlock_histogram self;
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, &self), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(self.count, THREADS * TIMES);
    assert_int_equal(self.sum_us, 3 * THREADS * TIMES);
    assert_int_equal(self.bucket[1], THREADS * TIMES);
}

static void counters_are_copied_in_order(void **state)
{
    uint64_t counters[3] = {0}, out[3] = {9, 9, 9};

    (void)state;
    counter_add(&counters[0], 1);
    counter_add(&counters[1], UINT64_MAX);
    counters_read(out, counters, 2);
    assert_int_equal(out[0], 1);
    assert_true(out[1] == UINT64_MAX);
    assert_int_equal(out[2], 9);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_holds_one_power_of_two),
        cmocka_unit_test(what_is_shorter_falls_into_the_first),
        cmocka_unit_test(what_is_longer_falls_into_the_last),
        cmocka_unit_test(durations_are_counted_and_summed),
        cmocka_unit_test(no_count_is_lost_between_threads),
        cmocka_unit_test(counters_are_copied_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
