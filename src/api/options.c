/* SPDX-License-Identifier: MIT
 * The copy of versioned options. */
#include "api/options.h"

#include <stdio.h>
#include <string.h>

static bool is_zero(const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != 0) return false;
    return true;
}

bool options_copy(void *out, size_t size, const void *from)
{
    memset(out, 0, size);
    if (from == NULL) return true;
    size_t given;
    memcpy(&given, from, sizeof given);
    /* A structure of ours has less than a page: anything larger was never stamped. */
    if (given < sizeof given || given > 4096) return false;
    if (given > size && !is_zero((const unsigned char *)from + size, given - size)) return false;
    memcpy(out, from, given < size ? given : size);
    return true;
}

void detail_write(redlock_detail *detail, const char *text)
{
    if (detail != NULL) snprintf(detail->text, sizeof detail->text, "%s", text ? text : "");
}
