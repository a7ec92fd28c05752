/* SPDX-License-Identifier: MIT
 * Any bytes as a name: the name can be read back from its key (so no two names share one), the key
 * has a tag and no stray control characters, and what does not fit is not written. Any bytes as a
 * prefix. */

/* Parses: wire/key.c */
#include "fuzz.h"

#include "wire/key.h"

static unsigned digit_of(char digit)
{
    must((digit >= '0' && digit <= '9') || (digit >= 'A' && digit <= 'F'));
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'A' + 10);
}

/* The bytes of name that key[from..to) stands for are those at *at. */
static void check_escaped(const char *key, size_t from, size_t to, const uint8_t *name, size_t *at)
{
    for (; from < to; from++) {
        unsigned byte = (unsigned char)key[from];

        must(byte >= 0x20 && byte != 0x7f && byte != '{' && byte != '}');
        if (byte == '%') {
            must(to - from >= 3);
            byte = digit_of(key[from + 1]) * 16 + digit_of(key[from + 2]);
            from += 2;
        }
        must(name[(*at)++] == byte);
    }
}

static void check_key(const char *key, size_t length, const uint8_t *name, size_t size)
{
    const char *open = memchr(key, '{', length);
    must(open != NULL);
    size_t begin = (size_t)(open - key);
    const char *close = memchr(open, '}', length - begin);
    must(close != NULL && close > open + 1);
    size_t end = (size_t)(close - key);
    size_t at = 0;

    if (begin == 0) {
        must(end == length - 1);
        check_escaped(key, 1, end, name, &at);
    } else {
        must(key[0] == '=');
        check_escaped(key, 1, begin, name, &at);
        must(memcmp(name + at, open, end - begin + 1) == 0);
        at += end - begin + 1;
        check_escaped(key, end + 1, length, name, &at);
        must(key_slot(key, length) == key_slot(name, size));
    }
    must(at == size);
}

/* A valid prefix goes before the key as it is, and changes neither the rest nor the slot. */
static void check_prefix(const char *prefix, const uint8_t *name, size_t size, const char *bare,
                         size_t bare_length)
{
    size_t prefix_length = strlen(prefix), length = key_write(NULL, 0, prefix, name, size);
    char *key = malloc(length);

    must(length == prefix_length + bare_length);
    if (key == NULL) exit(1);
    must(key_write(key, length, prefix, name, size) == length);
    must(memcmp(key, prefix, prefix_length) == 0 &&
         memcmp(key + prefix_length, bare, bare_length) == 0);
    must(key_slot(key, length) == key_slot(bare, bare_length));
    free(key);
}

static void check_room(char *key, size_t length, const uint8_t *name, size_t size)
{
    size_t half = length / 2;

    memset(key, '#', length);
    must(key_write(key, half, "", name, size) == length);
    for (size_t i = half; i < length; i++) must(key[i] == '#');
    must(key_write(key, length, "", name, size) == length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    source from = {data, size};
    size_t prefix_length;
    char *prefix = take_text(&from, &prefix_length);
    bool has_prefix = key_prefix_is_valid(prefix);
    size_t length = key_write(NULL, 0, "", from.at, from.left);

    must(!has_prefix || strpbrk(prefix, "{}\r\n\t\x7f") == NULL);
    must((length == 0) == (from.left == 0 || from.left > KEY_NAME_MAX));
    if (length > 0) {
        char *key = malloc(length);

        if (key == NULL) exit(1);
        check_room(key, length, from.at, from.left);
        check_key(key, length, from.at, from.left);
        if (has_prefix) check_prefix(prefix, from.at, from.left, key, length);
        free(key);
    }
    free(prefix);
    return 0;
}

static const char *const parts[] = {
    "\x01p", "\x02{p", "\x08redlock:", "a",      "{",          "}",    "{}", "{a}",  "{user}",
    "=",     "%",      "%7B",          "%7b",    "\x01",       "\x1f", " ",  "\x7f", "\x80",
    "\xff",  "{{",     "}}",           "{a}{b}", "invoice:42", "\r\n"};
#include "driver.h"
