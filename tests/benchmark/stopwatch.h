/* SPDX-License-Identifier: MIT
 * The benchmark's clock: CLOCK_MONOTONIC, which all processes of the machine share. */
#ifndef REDLOCK_BENCHMARK_STOPWATCH_H
#define REDLOCK_BENCHMARK_STOPWATCH_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

static inline int64_t clock_read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static inline int64_t now_ns(void) { return clock_read_ns(CLOCK_MONOTONIC); }

static inline void sleep_ns(int64_t duration_ns)
{
    const int64_t until = now_ns() + duration_ns;
    const struct timespec at = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
    }
}

#endif
