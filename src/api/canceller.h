/* SPDX-License-Identifier: MIT
 * Private to the api. */
#ifndef REDLOCK_API_CANCELLER_H
#define REDLOCK_API_CANCELLER_H

#include <redlock/redlock.h>

/* Readable while cancelled; -1 for NULL. */
int canceller_fd(const redlock_canceller *canceller);
_Bool canceller_is_set(const redlock_canceller *canceller);

#endif
