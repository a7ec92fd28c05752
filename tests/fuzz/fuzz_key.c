/* SPDX-License-Identifier: MIT
 * Any bytes as a name: the name can be read back from its key (so no two names share one), the key has
 * a tag and no stray control characters, and what does not fit is not written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
    if (!is_so) abort();
}

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
    must(key_slot(key, length) == key_slot(open + 1, end - begin - 1) ||
         memchr(open + 1, '{', end - begin - 1) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length = key_write(NULL, 0, "", data, size);

    must((length == 0) == (size == 0 || size > KEY_NAME_MAX));
    (void)key_slot(data, size);
    if (length == 0) return 0;

    char *key = malloc(length);

    if (key == NULL) return 0;
    must(key_write(key, length / 2, "", data, size) == length);
    must(key_write(key, length, "", data, size) == length);
    check_key(key, length, data, size);
    free(key);
    return 0;
}

#ifdef FUZZ_STANDALONE
static const char *const parts[] = {"a",    "{",    "}",   "{}",   "{a}",    "{user}",     "=",
                                    "%",    "%7B",  "%7b", "\x01", "\x1f",   " ",          "\x7f",
                                    "\x80", "\xff", "{{",  "}}",   "{a}{b}", "invoice:42", "\r\n"};
#include "standalone.h"
#endif
