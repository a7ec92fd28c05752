/* SPDX-License-Identifier: MIT
 * What is known of a hold's version on the server, and which conversions are in doubt. Pure.
 *
 *     sent for F     answered with G > F
 *   --+------------------+------------------->
 *     doubt = F          known = (G, kind)
 *
 * Conversions are compare and set on the last fence, and mint a new one. So versions are ordered by
 * fence, and whatever was sent for F is void as soon as a newer fence than F is heard of.
 *
 * Exclusive is believed only if the newest version that was told is exclusive, and newer than every
 * conversion that was sent: a downgrade that was cut may be carried out at any moment, an upgrade
 * that was cut proves nothing. */
#ifndef REDLOCK_ENGINE_VERSION_H
#define REDLOCK_ENGINE_VERSION_H

#include <stdbool.h>
#include <stdint.h>

typedef struct version {
    uint64_t fence; /* the newest that was told */
    uint64_t doubt; /* the highest for which a conversion was sent; 0: none was */
    char kind;      /* of the newest: KIND_EXCLUSIVE or KIND_SHARED */
} version;

/* An answer, or the message of a grant, told it; answers may arrive in any order. */
void version_told(version *self, uint64_t fence, char kind);

/* A conversion for the fence is about to be sent. */
void version_doubted(version *self, uint64_t fence);

/* Is nothing on its way that may still change the kind? */
bool version_is_settled(const version *self);

/* The kind that may be believed. */
char version_kind(const version *self);

#endif
