/* SPDX-License-Identifier: MIT
 * Randomness from the kernel. The rule: all the bytes that were asked for, or none are to be
 * used. */
#include "host/entropy.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

bool entropy_fill(void *bytes, size_t size)
{
    unsigned char *at = bytes;

    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);

        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}
