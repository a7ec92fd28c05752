/* SPDX-License-Identifier: MIT
 * Thread numbers. */
#include "host/thread.h"

#include <stdatomic.h>

static _Atomic uint64_t threads_seen;
static _Thread_local uint64_t this_thread;

uint64_t thread_number(void)
{
    if (this_thread == 0) this_thread = atomic_fetch_add(&threads_seen, 1) + 1;
    return this_thread;
}
