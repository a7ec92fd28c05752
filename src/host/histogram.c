/* SPDX-License-Identifier: MIT
 * Counters for many threads: relaxed atomics, since no counter orders anything else. */
#include "host/histogram.h"

void counter_add(uint64_t *counter, uint64_t number)
{
    __atomic_fetch_add(counter, number, __ATOMIC_RELAXED);
}

static unsigned bucket_of_duration(uint64_t duration_us)
{
    if (duration_us < 2) return 0;
    unsigned log2 = 63u - (unsigned)__builtin_clzll(duration_us);
    return log2 < REDLOCK_HISTOGRAM_BUCKETS ? log2 : REDLOCK_HISTOGRAM_BUCKETS - 1;
}

void histogram_add(redlock_histogram *self, int64_t duration_us)
{
    uint64_t duration = duration_us > 0 ? (uint64_t)duration_us : 0;
    counter_add(&self->count, 1);
    counter_add(&self->sum_us, duration);
    counter_add(&self->bucket[bucket_of_duration(duration)], 1);
}

void counters_read(uint64_t *out, const uint64_t *counters, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = __atomic_load_n(&counters[i], __ATOMIC_RELAXED);
}
