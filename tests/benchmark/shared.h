/* SPDX-License-Identifier: MIT
 * Memory that a process shares with the children it forks. */
#ifndef REDLOCK_BENCHMARK_SHARED_H
#define REDLOCK_BENCHMARK_SHARED_H

#include <stddef.h>
#include <sys/mman.h>

/* Zeroed; NULL when there is none. Given back by the end of the process. */
static inline void *shared_new(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

#endif
