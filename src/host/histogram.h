/* SPDX-License-Identifier: MIT
 * Durations counted into powers of two, by many threads at once. */
#ifndef REDLOCK_HOST_HISTOGRAM_H
#define REDLOCK_HOST_HISTOGRAM_H

#include <redlock/redlock.h>

void histogram_add(redlock_histogram *self, int64_t duration_us);
void counter_add(uint64_t *counter, uint64_t number);

/* A copy of `count` counters, each read atomically. */
void counters_read(uint64_t *out, const uint64_t *counters, size_t count);

#endif
