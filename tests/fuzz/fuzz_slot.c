/* SPDX-License-Identifier: MIT
 * Any bytes as a key: its slot is that of the server, by a second reading of the specification that
 * goes bit by bit, and depends on the tag alone. */

/* Parses: wire/key.c */
#include "fuzz.h"

#include "wire/key.h"

/* CRC16 (XMODEM) as a division, one bit at a time. */
static unsigned divide(const uint8_t *bytes, size_t length)
{
    unsigned remainder = 0;

    for (size_t bit = 0; bit < 8 * length + 16; bit++) {
        unsigned next = bit < 8 * length ? (unsigned)(bytes[bit / 8] >> (7 - bit % 8)) & 1u : 0;

        remainder = remainder << 1 | next;
        if (remainder > 0xffff) remainder ^= 0x11021;
    }
    return remainder;
}

/* "If the key contains a '{', and a '}' to the right of it with one byte or more between the first
 * of each." */
static void find_tag(const uint8_t *key, size_t length, size_t *begin, size_t *end)
{
    size_t open = 0, close;

    *begin = 0;
    *end = length;
    while (open < length && key[open] != '{') open++;
    for (close = open; close < length && key[close] != '}'; close++) continue;
    if (close >= length || close == open + 1) return;
    *begin = open + 1;
    *end = close;
}

/* Other bytes around the tag, none of them a brace, make no difference. */
static void check_surroundings(const uint8_t *key, size_t begin, size_t end, size_t length)
{
    uint8_t *other = malloc(length);

    if (other == NULL) exit(1);
    memset(other, 'o', length);
    memcpy(other + begin - 1, key + begin - 1, end - begin + 2);
    must(key_slot(other, length) == key_slot(key, length));
    free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t begin, end;

    find_tag(data, size, &begin, &end);
    must(key_slot(data, size) == (divide(data + begin, end - begin) & 16383));
    if (begin > 0) check_surroundings(data, begin, end, size);
    return 0;
}

static const char *const parts[] = {"a",
                                    "{",
                                    "}",
                                    "{}",
                                    "{a}",
                                    "{user1000}.following",
                                    "foo{}{bar}",
                                    "foo{{bar}}zap",
                                    "foo{bar}{zap}",
                                    "123456789",
                                    "\x01",
                                    "\xff",
                                    "}{"};
#include "driver.h"
