/* SPDX-License-Identifier: MIT
 * Randomness from the kernel (getrandom), for identities and jitter. */
#ifndef REDLOCK_HOST_ENTROPY_H
#define REDLOCK_HOST_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False when the system has none to give. */
bool entropy_fill(void *bytes, size_t size);

#endif
