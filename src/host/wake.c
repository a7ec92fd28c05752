/* SPDX-License-Identifier: MIT
 * An eventfd. */
#include "host/wake.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/cancellation.h"

bool wake_open(wake *self)
{
    self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return self->fd >= 0;
}

void wake_close(wake *self)
{
    if (self->fd >= 0) close(self->fd);
    self->fd = -1;
}

void wake_raise(const wake *self)
{
    assert(self->fd >= 0);
    uint64_t one = 1;
    int before = cancellation_defer();
    while (write(self->fd, &one, sizeof one) < 0 && errno == EINTR) continue;
    cancellation_restore(before);
}

void wake_clear(const wake *self)
{
    assert(self->fd >= 0);
    uint64_t count;
    int before = cancellation_defer();
    while (read(self->fd, &count, sizeof count) < 0 && errno == EINTR) continue;
    cancellation_restore(before);
}
