/* SPDX-License-Identifier: MIT
 * A number written in decimal, read strictly. The rule: one number has one spelling. Pure. */
#ifndef REDLOCK_WIRE_DECIMAL_H
#define REDLOCK_WIRE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False unless all of the bytes are digits, the first is not a needless zero, and the number is at
 * most `max`. */
static inline bool decimal_read(uint64_t *out, const char *digits, size_t length, uint64_t max)
{
    uint64_t number = 0;

    if (length == 0 || (length > 1 && digits[0] == '0')) return false;
    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9') return false;

        uint64_t digit = (uint64_t)(digits[i] - '0');

        if (digit > max || number > (max - digit) / 10) return false;
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}

#endif
