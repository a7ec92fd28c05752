/* SPDX-License-Identifier: MIT
 * The story of a schedule, told line by line when it was asked for (--trace). */
#ifndef REDLOCK_TESTS_SIM_TRACE_H
#define REDLOCK_TESTS_SIM_TRACE_H

#include <stdbool.h>

extern bool is_traced;
void trace_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define trace(...)                                                                                 \
    do {                                                                                           \
        if (is_traced) trace_line(__VA_ARGS__);                                                    \
    } while (0)

#endif
