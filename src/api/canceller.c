/* SPDX-License-Identifier: MIT
 * Cancellers: a wake that stays raised from cancel to reset, so that one of them ends any number of
 * waits, and waits need no registration. */
#include "api/canceller.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "host/wake.h"

struct redlock_canceller {
    wake wake;
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
    if (!wake_open(&self->wake)) {
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
    atomic_store(&canceller->is_set, true);
    wake_raise(&canceller->wake);
    errno = saved;
}

void redlock_canceller_reset(redlock_canceller *canceller)
{
    if (canceller == NULL || canceller->pid != getpid()) return;
    atomic_store(&canceller->is_set, false);
    wake_clear(&canceller->wake);
}

void redlock_canceller_close(redlock_canceller *canceller)
{
    if (canceller == NULL) return;
    wake_close(&canceller->wake);
    free(canceller);
}

int canceller_fd(const redlock_canceller *canceller)
{
    return canceller == NULL ? -1 : canceller->wake.fd;
}

_Bool canceller_is_set(const redlock_canceller *canceller)
{
    return canceller != NULL && atomic_load(&canceller->is_set);
}
