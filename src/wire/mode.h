/* SPDX-License-Identifier: MIT
 * The mode of a holder or waiter, the first field of its member:
 *
 *     kind   policy   limit     owner
 *     x|s    ""|f|w   ""|/n     ""|@owner
 *
 * "x" excludes everyone; "sf/3@txn-77" shares with at most two others, fairly, for the owner "txn-77". The owner is percent-encoded where it is not
 * printable. Pure. */
#ifndef REDLOCK_WIRE_MODE_H
#define REDLOCK_WIRE_MODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MODE_OWNER_MAX = 64,                      /* bytes of an owner */
    MODE_SIZE = 2 + 12 + 1 + 3 * MODE_OWNER_MAX + 1
};

enum { KIND_EXCLUSIVE = 'x', KIND_SHARED = 's' };
enum { POLICY_READERS = '\0', POLICY_FAIR = 'f', POLICY_WRITERS = 'w' };

typedef struct mode {
    char kind;
    char policy;
    uint32_t permits; /* of a shared hold; 0: no limit */
    const char *owner; /* bytes when written; percent-encoded when read; length 0 for none */
    size_t owner_length;
} mode;

/* Returns the length. The owner has at most MODE_OWNER_MAX bytes. */
size_t mode_write(char out[MODE_SIZE], const mode *from);

/* False when the field is not a mode. The owner points into the field. */
bool mode_read(mode *out, const char *field, size_t length);

#endif
