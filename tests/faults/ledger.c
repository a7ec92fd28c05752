/* SPDX-License-Identifier: MIT
 * The ledger's memory, its clock, and the resources. */
#include "faults/ledger.h"

#include <stddef.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

const char *const lock_names[NAMES] = {"fault:plain", "fault:other", "fault:pages",
                                       "fault:permits"};

ledger *ledger_map(int fd)
{
    void *memory = mmap(NULL, sizeof(ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

ledger *ledger_create(int *fd)
{
    *fd = memfd_create("ledger", 0);
    if (*fd < 0 || ftruncate(*fd, sizeof(ledger)) != 0) return NULL;
    return ledger_map(*fd);
}

int64_t boot_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool resource_write(resource *self, uint64_t fence)
{
    uint64_t seen = atomic_load(&self->highest);
    while (seen <= fence)
        if (atomic_compare_exchange_weak(&self->highest, &seen, fence)) return true;
    return false;
}
