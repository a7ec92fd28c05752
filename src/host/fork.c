/* SPDX-License-Identifier: MIT
 * The fork guard. */
#include "host/fork.h"

#include <sys/mman.h>
#include <unistd.h>

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

void fork_guard_open(fork_guard *self)
{
    *self = (fork_guard){.pid = getpid()};
#ifdef MADV_WIPEONFORK
    void *page =
        mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return;
    if (madvise(page, page_size(), MADV_WIPEONFORK) != 0) {
        munmap(page, page_size());
        return;
    }
    self->page = page;
    self->page[0] = 1;
#endif
}

void fork_guard_close(fork_guard *self)
{
    if (self->page != NULL) munmap((void *)self->page, page_size());
    self->page = NULL;
}

bool fork_guard_is_child(const fork_guard *self)
{
    return self->page != NULL ? self->page[0] == 0 : self->pid != getpid();
}
