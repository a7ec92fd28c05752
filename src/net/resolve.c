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

static void copy_addresses(address_list *out, const struct addrinfo *info)
{
    out->count = 0;
    for (; info != NULL && out->count < RESOLVE_ADDRESSES; info = info->ai_next) {
        if (info->ai_addrlen > sizeof out->at[0].storage) continue;
        address *to = &out->at[out->count++];
        memset(to, 0, sizeof *to);
        memcpy(&to->storage, info->ai_addr, info->ai_addrlen);
        to->length = info->ai_addrlen;
    }
}

int resolve_by_system(address_list *out, const char *host, const char *service, int flags)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *info = NULL;
    out->count = 0;
    int error = getaddrinfo(host, service, &hints, &info);
    if (error != 0) return error;
    copy_addresses(out, info);
    freeaddrinfo(info);
    return 0;
}

bool resolve_numeric(address_list *out, const char *host, uint16_t port)
{
    char service[SERVICE_SIZE];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    return resolve_by_system(out, host, service, AI_NUMERICHOST) == 0 && out->count > 0;
}
