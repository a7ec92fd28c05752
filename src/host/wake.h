/* SPDX-License-Identifier: MIT
 * A descriptor that one thread makes readable to end the sleep of others: the one place that knows
 * how. It stays readable, for everybody who looks, until it is cleared. */
#ifndef REDLOCK_HOST_WAKE_H
#define REDLOCK_HOST_WAKE_H

#include <stdbool.h>

typedef struct wake {
    int fd; /* -1: there is none */
} wake;

bool wake_open(wake *self);
/* Nothing happens to one that there is not. */
void wake_close(wake *self);

/* From any thread, and from a signal handler; errno may change. It cannot fail: there is room for
 * more raises than a program can make. */
void wake_raise(const wake *self);
void wake_clear(const wake *self);

#endif
