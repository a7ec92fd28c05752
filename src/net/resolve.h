/* SPDX-License-Identifier: MIT
 * Names to addresses without blocking. Numeric addresses are there at once. A name is looked up by
 * getaddrinfo on a detached thread of its own (resolve_thread.c), which may outlive its client; or,
 * in a build with c-ares, by whoever polls (resolve_cares.c), without any thread. Either reports
 * through one descriptor. */
#ifndef REDLOCK_NET_RESOLVE_H
#define REDLOCK_NET_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "host/memory.h"

enum { RESOLVE_ADDRESSES = 8 };

typedef struct address {
    struct sockaddr_storage storage;
    socklen_t length;
} address;

typedef struct address_list {
    int count;
    address at[RESOLVE_ADDRESSES];
} address_list;

/* Tells addresses apart; never 0. */
uint64_t address_mark(const address *which);

/* The address with that mark goes first, if it is there; the others keep their order. */
void address_list_prefer(address_list *self, uint64_t mark);

/* A look-up under way. Abandoning it is allowed at any time; where it has a thread, that frees what
 * is left. */
typedef struct lookup lookup;

/* True when `host` was numeric: *out is filled and no look-up is needed. */
bool resolve_numeric(address_list *out, const char *host, uint16_t port);

/* Starts a look-up; NULL, and errno, when memory (ENOMEM), a thread or a descriptor is refused. The
 * host name is copied. A thread of its own blocks all signals. */
lookup *lookup_begin(const char *host, uint16_t port);
/* Readable when lookup_poll has something to do, and for good once the answer is there. */
int lookup_fd(const lookup *self);
/* Goes on with it, where that is up to the caller. True when the answer is there: *out (count 0:
 * does not resolve), and *error is a static text or NULL. */
bool lookup_poll(lookup *self, address_list *out, const char **error);
/* Gives it up or frees it. Never blocks. NULL is allowed. */
void lookup_end(lookup *self);

#endif
