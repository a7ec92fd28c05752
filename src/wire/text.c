/* SPDX-License-Identifier: MIT
 * Bytes from outside, made fit to print. The rule: an escape is written whole or not at all.
 * Pure. */
#include "wire/text.h"

#include <stdbool.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

static bool is_plain(unsigned char byte) { return byte >= ' ' && byte <= '~' && byte != '\\'; }

/* The length of one byte's form, written to `form`. */
static size_t escape(char form[4], unsigned char byte)
{
    if (is_plain(byte)) {
        form[0] = (char)byte;
        return 1;
    }
    form[0] = '\\';
    form[1] = 'x';
    form[2] = hex_digits[byte >> 4];
    form[3] = hex_digits[byte & 15];
    return 4;
}

char *text_escape(char *out, size_t out_size, const void *bytes, size_t length)
{
    const unsigned char *from = bytes;
    size_t used = 0;

    if (out_size == 0) return out;
    for (size_t i = 0; i < length; i++) {
        char form[4];
        size_t size = escape(form, from[i]);

        if (size >= out_size - used) break;
        memcpy(out + used, form, size);
        used += size;
    }
    out[used] = '\0';
    return out;
}

bool text_is_host_byte(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '.' || byte == '_';
}
