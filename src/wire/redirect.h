/* SPDX-License-Identifier: MIT
 * Where a server of a cluster sends whoever asked the wrong one.
 *
 *     MOVED <slot> <endpoint>:<port>     for good
 *     ASK <slot> <endpoint>:<port>       this once
 *
 * An endpoint is an address (of IPv6 without brackets), a name, nothing (the port is of the host
 * that was asked), or "?", which nobody can reach. Pure. */
#ifndef REDLOCK_WIRE_REDIRECT_H
#define REDLOCK_WIRE_REDIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REDIRECT_HOST_SIZE = 256 };

typedef struct redirect {
    bool is_ask; /* for one attempt, and never for the map */
    uint16_t slot;
    char host[REDIRECT_HOST_SIZE]; /* without brackets; "": whoever said so */
    uint16_t port;
} redirect;

/* Reads the text of an error. False, and nothing in *out: it is no redirect, or leads nowhere.
 * Not from the text of an answer, which may be cut in the midst of a port. */
bool redirect_read(redirect *out, const char *text, size_t length);

/* Reads an endpoint, wherever a server names one; "" is whoever said so. False, and "" in out: it
 * leads nowhere. */
bool redirect_read_host(char out[REDIRECT_HOST_SIZE], const char *text, size_t length);

#endif
