/* SPDX-License-Identifier: MIT
 * What a request asks for, and for whom: the mode of a waiter's member, and the owner of a
 * holder's.
 *
 *     mode   kind   policy   limit          owner
 *            x|s    ""|f|w   ""|/n          -|@owner
 *
 * "x" excludes everyone; "sf/3" shares with at most two others, fairly. An owner is percent-encoded
 * where it is not printable. Pure. */
#ifndef REDLOCK_WIRE_MODE_H
#define REDLOCK_WIRE_MODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MODE_OWNER_MAX = 64,    /* bytes of an owner */
    MODE_SIZE = 2 + 12 + 1, /* as text, with a NUL */
    OWNER_FIELD_SIZE = 1 + 3 * MODE_OWNER_MAX + 1
};

enum { KIND_EXCLUSIVE = 'x', KIND_SHARED = 's' };
enum { POLICY_READERS = '\0', POLICY_FAIR = 'f', POLICY_WRITERS = 'w' };

typedef struct mode {
    char kind;
    char policy;
    uint32_t permits; /* of a shared hold; 0: no limit */
} mode;

/* Returns the length. */
size_t mode_write(char out[MODE_SIZE], const mode *from);

/* False when the field is not a mode. */
bool mode_read(mode *out, const char *field, size_t length);

/* The owner's bytes, at most MODE_OWNER_MAX, as a field; length 0 for nobody. Returns the field's
 * length. */
size_t owner_write(char out[OWNER_FIELD_SIZE], const char *owner, size_t length);

#endif
