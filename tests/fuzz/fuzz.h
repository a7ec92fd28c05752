/* SPDX-License-Identifier: MIT
 * What the targets share: a promise, and an input that is taken off piece by piece; where it has
 * ended, zeros follow. */
#ifndef REDLOCK_TESTS_FUZZ_FUZZ_H
#define REDLOCK_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(bool is_so)
{
    if (!is_so) abort();
}

typedef struct source {
    const uint8_t *at;
    size_t left;
} source;

static inline size_t take(source *from, void *out, size_t size)
{
    size_t taken = size < from->left ? size : from->left;

    memset(out, 0, size);
    if (taken > 0) memcpy(out, from->at, taken);
    from->at += taken;
    from->left -= taken;
    return taken;
}

static inline uint8_t take_byte(source *from)
{
    uint8_t byte;

    take(from, &byte, 1);
    return byte;
}

/* Small, about a limit of the protocol, or any at all. */
static inline int64_t take_number(source *from)
{
    static const int64_t limits[] = {INT64_MIN,
                                     INT64_MAX,
                                     INT64_C(1) << 53,
                                     INT64_C(2592000000),
                                     INT64_C(20000000000000),
                                     INT64_C(100000000000000),
                                     INT64_C(4000000000000000),
                                     INT64_C(1800000000000000)};
    uint8_t shape = take_byte(from);
    int64_t number;

    if (shape < 128) return shape;
    if (shape < 192) return (int64_t)((uint64_t)limits[shape % 8] + shape / 8 % 3 - 1);
    if (shape < 224) return (int64_t)take_byte(from) * 1000;
    take(from, &number, sizeof number);
    return number;
}

/* In a block of its exact size and a NUL, so that a read beyond it is seen. */
static inline char *take_text(source *from, size_t *length)
{
    size_t asked = take_byte(from);
    char *text;

    *length = asked < from->left ? asked : from->left;
    text = calloc(1, *length + 1);
    if (text == NULL) exit(1);
    take(from, text, *length);
    return text;
}

#endif
