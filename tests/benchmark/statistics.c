/* SPDX-License-Identifier: MIT
 * What a heap of measurements comes to. Pure. */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>

static int compare_integers(const void *left, const void *right)
{
    const int64_t a = *(const int64_t *)left;
    const int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static int compare_doubles(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

double percentile(int64_t *values, size_t count, double share)
{
    if (count == 0) return NAN;
    qsort(values, count, sizeof *values, compare_integers);
    size_t index = (size_t)(share * (double)count);
    return (double)values[index < count ? index : count - 1];
}

double median(double *values, size_t count)
{
    if (count == 0) return NAN;
    qsort(values, count, sizeof *values, compare_doubles);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

double jain_index(const uint64_t *shares, size_t count)
{
    double sum = 0;
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)shares[i];
        squares += (double)shares[i] * (double)shares[i];
    }
    if (squares <= 0) return NAN;
    return sum * sum / ((double)count * squares);
}
