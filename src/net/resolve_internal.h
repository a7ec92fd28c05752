/* SPDX-License-Identifier: MIT
 * What the look-ups share. */
#ifndef REDLOCK_NET_RESOLVE_INTERNAL_H
#define REDLOCK_NET_RESOLVE_INTERNAL_H

#include "net/resolve.h"

enum { SERVICE_SIZE = 6 }; /* a port in decimal */

/* By getaddrinfo, with these flags of its. Zero, or its error. */
int resolve_by_system(address_list *out, const char *host, const char *service, int flags);

#endif
