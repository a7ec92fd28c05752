/* SPDX-License-Identifier: MIT
 * Cancellers: an eventfd that stays readable from cancel to reset, so that one of them ends any
 * number of waits, and waits need no registration. */
#include "api/canceller.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/types.h>
#include <unistd.h>

struct redlock_canceller {
    int fd;
    pid_t pid; /* that opened it: a child of fork shares the descriptor, and has no say */
    _Atomic bool is_set;
};

redlock_status redlock_canceller_open(redlock_canceller **canceller)
{
    if (canceller == NULL) return REDLOCK_ERR_ARGUMENT;
    *canceller = NULL;
    redlock_canceller *self = calloc(1, sizeof *self);
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    self->pid = getpid();
    self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->fd < 0) {
        free(self);
        return REDLOCK_ERR_SYSTEM;
    }
    *canceller = self;
    return REDLOCK_OK;
}

void redlock_cancel(redlock_canceller *canceller)
{
    if (canceller == NULL || canceller->pid != getpid()) return;
    int saved = errno; /* a signal handler may be calling */
    uint64_t one = 1;
    atomic_store(&canceller->is_set, true);
    while (write(canceller->fd, &one, sizeof one) < 0 && errno == EINTR) continue;
    errno = saved;
}

void redlock_canceller_reset(redlock_canceller *canceller)
{
    if (canceller == NULL || canceller->pid != getpid()) return;
    uint64_t count;
    atomic_store(&canceller->is_set, false);
    while (read(canceller->fd, &count, sizeof count) < 0 && errno == EINTR) continue;
}

void redlock_canceller_close(redlock_canceller *canceller)
{
    if (canceller == NULL) return;
    close(canceller->fd);
    free(canceller);
}

int canceller_fd(const redlock_canceller *canceller)
{
    return canceller == NULL ? -1 : canceller->fd;
}

_Bool canceller_is_set(const redlock_canceller *canceller)
{
    return canceller != NULL && atomic_load(&canceller->is_set);
}
