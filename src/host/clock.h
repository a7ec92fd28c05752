/* SPDX-License-Identifier: MIT
 * The only reader of the clock. */
#ifndef REDLOCK_HOST_CLOCK_H
#define REDLOCK_HOST_CLOCK_H

#include <stdint.h>

/* Microseconds on CLOCK_BOOTTIME: monotonic, and counts while the machine sleeps. */
int64_t clock_now_us(void);

#endif
