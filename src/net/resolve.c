/* SPDX-License-Identifier: MIT
 * Addresses: which is which, which goes first, and those that need no look-up. */
#include "net/resolve.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "net/resolve_internal.h"

/* FNV-1a (Fowler, Noll, Vo). */
uint64_t address_mark(const address *which)
{
    const unsigned char *bytes = (const unsigned char *)&which->storage;
    uint64_t mark = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < which->length; i++) mark = (mark ^ bytes[i]) * UINT64_C(0x100000001b3);
    return mark != 0 ? mark : 1;
}

void address_list_prefer(address_list *self, uint64_t mark)
{
    int index = 0;
    while (index < self->count && address_mark(&self->at[index]) != mark) index++;
    if (index == self->count) return;
    address known = self->at[index];
    memmove(&self->at[1], &self->at[0], (size_t)index * sizeof known);
    self->at[0] = known;
}

void address_list_add(address_list *self, const struct sockaddr *bytes, socklen_t length)
{
    if (self->count == RESOLVE_ADDRESSES || length > sizeof self->at[0].storage) return;
    address *to = &self->at[self->count++];
    memset(to, 0, sizeof *to);
    memcpy(&to->storage, bytes, length);
    to->length = length;
}

void service_write(char out[SERVICE_SIZE], uint16_t port)
{
    snprintf(out, SERVICE_SIZE, "%u", (unsigned)port);
}

int resolve_by_system(address_list *out, const char *host, const char *service, int flags)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *info = NULL;
    out->count = 0;
    int error = getaddrinfo(host, service, &hints, &info);
    if (error != 0) return error;
    for (const struct addrinfo *each = info; each != NULL; each = each->ai_next)
        address_list_add(out, each->ai_addr, each->ai_addrlen);
    freeaddrinfo(info);
    return 0;
}

bool resolve_numeric(address_list *out, const char *host, uint16_t port)
{
    char service[SERVICE_SIZE];
    service_write(service, port);
    return resolve_by_system(out, host, service, AI_NUMERICHOST) == 0 && out->count > 0;
}
