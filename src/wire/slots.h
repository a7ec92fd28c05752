/* SPDX-License-Identifier: MIT
 * The table of a cluster, which CLUSTER SLOTS answers: an array of ranges, each with its primary.
 *
 *     range   first slot, last slot, primary, replica ...
 *     node    endpoint, port, and what newer servers add
 *
 * An endpoint is that of a redirect, or nil where the host is the one that was asked. Pure. */
#ifndef REDLOCK_WIRE_SLOTS_H
#define REDLOCK_WIRE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/redirect.h"
#include "wire/reply.h"

typedef struct slot_range {
    uint16_t first, last;
    char host[REDIRECT_HOST_SIZE]; /* of the primary; "": whoever was asked */
    uint16_t port;
} slot_range;

/* Reads the range at that place of the table. False, and nothing in *out: there is none, or it
 * names nobody who can be reached. */
bool slots_read(slot_range *out, const reply *table, size_t at);

/* Is it a table, and not empty? Each of its elements has to say of which slots it speaks. Whether
 * it names somebody is its own affair, and of a slot that no element has the table says nothing. */
bool slots_is_table(const reply *table);

#endif
