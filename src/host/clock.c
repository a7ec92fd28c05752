/* SPDX-License-Identifier: MIT
 * The only reader of the clock. The rule: CLOCK_BOOTTIME and no other, because a lease goes on
 * ending while the machine sleeps, and a wall clock may be set back. */
#include "host/clock.h"

#include <time.h>

int64_t clock_now_us(void)
{
    struct timespec now = {0, 0};

    /* It cannot fail: Linux has had this clock since 2.6.39, and the address is ours. */
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + (int64_t)now.tv_nsec / 1000;
}
