/* SPDX-License-Identifier: MIT
 * What a heap of measurements comes to. Pure. */
#ifndef REDLOCK_BENCHMARK_STATISTICS_H
#define REDLOCK_BENCHMARK_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

/* The value below which `share` (0 to 1) of the values lie; sorts them. NAN when there are none. */
double percentile(int64_t *values, size_t count, double share);

/* The middle one, or the mean of the middle two; sorts them. NAN when there are none. */
double median(double *values, size_t count);

/* Jain's fairness index of what each participant got: 1 when all got the same, 1/count when one got
 * everything. NAN when nobody got anything. */
double jain_index(const uint64_t *shares, size_t count);

#endif
