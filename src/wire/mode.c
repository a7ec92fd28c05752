/* SPDX-License-Identifier: MIT
 * The mode field, written and read. Pure. */
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

static size_t write_owner(char *out, const char *owner, size_t length)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t at = 0;
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
    if (from->owner_length > 0) {
        out[at++] = '@';
        at += write_owner(out + at, from->owner, from->owner_length);
    }
    out[at] = '\0';
    return at;
}

static bool read_permits(mode *out, const char *field, size_t length, size_t *at)
{
    if (*at >= length || field[*at] != '/') return true;
    size_t begin = ++*at;
    while (*at < length && field[*at] != '@') ++*at;
    uint64_t permits;
    if (!decimal_read(&permits, field + begin, *at - begin, UINT32_MAX) || permits == 0) return false;
    out->permits = (uint32_t)permits;
    return true;
}

bool mode_read(mode *out, const char *field, size_t length)
{
    *out = (mode){0};
    if (length == 0 || (field[0] != KIND_EXCLUSIVE && field[0] != KIND_SHARED)) return false;
    out->kind = field[0];
    size_t at = 1;
    if (at < length && (field[at] == POLICY_FAIR || field[at] == POLICY_WRITERS)) out->policy = field[at++];
    if (!read_permits(out, field, length, &at)) return false;
    if (at == length) return true;
    if (field[at] != '@' || at + 1 == length) return false;
    out->owner = field + at + 1;
    out->owner_length = length - at - 1;
    return true;
}
