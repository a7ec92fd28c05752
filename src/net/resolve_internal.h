/* SPDX-License-Identifier: MIT
 * What the look-ups share. */
#ifndef REDLOCK_NET_RESOLVE_INTERNAL_H
#define REDLOCK_NET_RESOLVE_INTERNAL_H

#include "net/resolve.h"

enum { SERVICE_SIZE = 6 }; /* a port in decimal */

void service_write(char out[SERVICE_SIZE], uint16_t port);

/* What is longer than any address, and what comes after RESOLVE_ADDRESSES, is left out. */
void address_list_add(address_list *self, const struct sockaddr *bytes, socklen_t length);

/* By getaddrinfo, with these flags of its. Zero, or its error. */
int resolve_by_system(address_list *out, const char *host, const char *service, int flags);

#endif
