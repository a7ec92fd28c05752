/* SPDX-License-Identifier: MIT
 * Lock names to keys, and keys to cluster slots. The rule: two names never have one key, and the
 * server finds in the key the very tag that is meant. Pure.
 *
 *     no tag in the name    <prefix>{<escaped name>}
 *     a tag in the name     <prefix>=<escaped>{<tag as it is>}<escaped>
 *
 * The byte after the prefix tells the two forms apart; in the second the first '{' and the first
 * '}' after it are those of the tag, because the prefix has none and those before it are
 * escaped. */
#include "wire/key.h"

#include <assert.h>
#include <string.h>

typedef struct key_room {
    char *out;
    size_t size;
    size_t length; /* also what did not fit */
} key_room;

static void put_byte(key_room *to, char byte)
{
    if (to->length < to->size) to->out[to->length] = byte;
    to->length++;
}

static void put_bytes(key_room *to, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) put_byte(to, bytes[i]);
}

static bool is_control(unsigned char byte) { return byte < 0x20 || byte == 0x7f; }

static void put_escaped(key_room *to, const char *bytes, size_t length)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];

        if (!is_control(byte) && byte != '{' && byte != '}' && byte != '%') {
            put_byte(to, bytes[i]);
            continue;
        }
        put_byte(to, '%');
        put_byte(to, hex[byte >> 4]);
        put_byte(to, hex[byte & 15]);
    }
}

typedef struct tag_span {
    size_t begin, end; /* the tag without its braces */
} tag_span;

/* The server's own rule: from the first '{' to the first '}' after it, unless nothing is
 * between. */
static bool find_tag(tag_span *tag, const char *bytes, size_t length)
{
    const char *open = length > 0 ? memchr(bytes, '{', length) : NULL;
    if (open == NULL) return false;

    tag->begin = (size_t)(open - bytes) + 1;
    const char *close = memchr(bytes + tag->begin, '}', length - tag->begin);
    if (close == NULL) return false;

    tag->end = (size_t)(close - bytes);
    return tag->end > tag->begin;
}

bool key_prefix_is_valid(const char *prefix)
{
    size_t length = 0;

    for (; prefix[length] != '\0'; length++) {
        unsigned char byte = (unsigned char)prefix[length];

        if (length == KEY_PREFIX_MAX || is_control(byte) || byte == '{' || byte == '}')
            return false;
    }
    return true;
}

size_t key_write(char *out, size_t out_size, const char *prefix, const void *name,
                 size_t name_length)
{
    key_room to = {.out = out, .size = out_size, .length = 0};
    const char *bytes = name;
    tag_span tag;

    if (name_length == 0 || name_length > KEY_NAME_MAX) return 0;
    put_bytes(&to, prefix, strlen(prefix));
    if (find_tag(&tag, bytes, name_length)) {
        put_byte(&to, '=');
        put_escaped(&to, bytes, tag.begin - 1);
        put_bytes(&to, bytes + tag.begin - 1, tag.end - tag.begin + 2);
        put_escaped(&to, bytes + tag.end + 1, name_length - tag.end - 1);
    } else {
        put_byte(&to, '{');
        put_escaped(&to, bytes, name_length);
        put_byte(&to, '}');
    }
    return to.length;
}

/* CRC16, XMODEM: polynomial 0x1021, from zero, not reflected; half a byte at a step. */
static uint16_t crc16(const unsigned char *bytes, size_t length)
{
    static const uint16_t step[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
    };
    unsigned crc = 0;

    for (size_t i = 0; i < length; i++) {
        crc = (crc << 4 & 0xffff) ^ step[(crc >> 12 ^ bytes[i] >> 4) & 15];
        crc = (crc << 4 & 0xffff) ^ step[(crc >> 12 ^ bytes[i]) & 15];
    }
    return (uint16_t)crc;
}

uint16_t key_slot(const void *key, size_t key_length)
{
    assert(key != NULL || key_length == 0);
    const unsigned char *bytes = key;
    tag_span tag;

    if (!find_tag(&tag, key, key_length)) tag = (tag_span){0, key_length};
    return crc16(bytes + tag.begin, tag.end - tag.begin) & (KEY_SLOTS - 1);
}

/* A letter has four free bits, and four letters 16. CRC16 is linear: the slot of the sum (modulo 2)
 * of two tags is the sum of their slots, but for what is the same in all tags. So 14 constants are
 * enough, one for each bit of a slot, and what leads from there to slot 0. */
void slot_tag_write(char out[SLOT_TAG_SIZE], uint16_t slot)
{
    static const uint16_t of_bit[14] = {0x1afa, 0x06ed, 0x277b, 0x110c, 0x2a91, 0x39c0, 0x1f63,
                                        0x277f, 0x1104, 0x2208, 0x1bea, 0x04cd, 0x233b, 0x198c};
    unsigned bits = 0x3db2;

    assert(slot < KEY_SLOTS);
    for (int i = 0; i < 14; i++) {
        if (slot >> i & 1) bits ^= of_bit[i];
    }
    for (int i = 0; i < SLOT_TAG_SIZE - 1; i++) out[i] = (char)('`' | (bits >> (12 - 4 * i) & 15));
    out[SLOT_TAG_SIZE - 1] = '\0';
}
