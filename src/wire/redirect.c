/* SPDX-License-Identifier: MIT
 * Where a server of a cluster sends whoever asked the wrong one. The rule: what is not exactly a
 * redirect is none, and half of one is of no use. Pure. */
#include "wire/redirect.h"

#include <string.h>

#include "wire/decimal.h"
#include "wire/key.h"
#include "wire/text.h"

/* Of a name, or of an address and its zone; so "?" is no host. */
static bool is_endpoint_byte(char byte)
{
    return text_is_host_byte(byte) || byte == ':' || byte == '%';
}

bool redirect_read_host(char out[REDIRECT_HOST_SIZE], const char *text, size_t length)
{
    out[0] = '\0';
    if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    if (length >= REDIRECT_HOST_SIZE) return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_endpoint_byte(text[i])) return false;
    }
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

/* "<slot> <endpoint>:<port>": an address has colons of its own, so the last one counts. */
static bool read_target(redirect *out, const char *text, size_t length)
{
    const char *end = text + length, *space = memchr(text, ' ', length);
    const char *colon = space != NULL ? memrchr(space, ':', (size_t)(end - space)) : NULL;
    uint64_t slot, port;

    if (colon == NULL) return false;
    if (!decimal_read(&slot, text, (size_t)(space - text), KEY_SLOTS - 1)) return false;
    if (!decimal_read(&port, colon + 1, (size_t)(end - colon - 1), UINT16_MAX)) return false;
    out->slot = (uint16_t)slot;
    out->port = (uint16_t)port;
    return port > 0 && redirect_read_host(out->host, space + 1, (size_t)(colon - space - 1));
}

static bool take_start(const char **text, size_t *length, const char *start)
{
    size_t size = strlen(start);

    if (*length < size || memcmp(*text, start, size) != 0) return false;
    *text += size;
    *length -= size;
    return true;
}

bool redirect_read(redirect *out, const char *text, size_t length)
{
    out->is_ask = take_start(&text, &length, "ASK ");
    if ((out->is_ask || take_start(&text, &length, "MOVED ")) && read_target(out, text, length))
        return true;
    memset(out, 0, sizeof *out);
    return false;
}
