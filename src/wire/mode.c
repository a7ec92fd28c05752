/* SPDX-License-Identifier: MIT
 * The mode field, written and read; and the owner's. Pure. */
#include "wire/mode.h"

#include "wire/decimal.h"

static size_t write_number(char *out, uint32_t number)
{
    char digits[10];
    size_t count = 0, at = 0;
    do digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0) out[at++] = digits[--count];
    return at;
}

size_t mode_write(char out[MODE_SIZE], const mode *from)
{
    size_t at = 0;
    out[at++] = from->kind;
    if (from->policy != POLICY_READERS) out[at++] = from->policy;
    if (from->permits > 0) {
        out[at++] = '/';
        at += write_number(out + at, from->permits);
    }
    out[at] = '\0';
    return at;
}

bool mode_read(mode *out, const char *field, size_t length)
{
    *out = (mode){0};
    if (length == 0 || (field[0] != KIND_EXCLUSIVE && field[0] != KIND_SHARED)) return false;
    out->kind = field[0];
    size_t at = 1;
    if (at < length && (field[at] == POLICY_FAIR || field[at] == POLICY_WRITERS))
        out->policy = field[at++];
    if (at == length) return true;
    uint64_t permits;
    if (field[at] != '/' || !decimal_read(&permits, field + at + 1, length - at - 1, UINT32_MAX))
        return false;
    out->permits = (uint32_t)permits;
    return permits > 0;
}

size_t owner_write(char out[OWNER_FIELD_SIZE], const char *owner, size_t length)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t at = 0;
    out[at++] = length == 0 ? '-' : '@';
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)owner[i];
        if (byte > ' ' && byte <= '~' && byte != '%') {
            out[at++] = (char)byte;
            continue;
        }
        out[at++] = '%';
        out[at++] = hex[byte >> 4];
        out[at++] = hex[byte & 15];
    }
    out[at] = '\0';
    return at;
}
