/* SPDX-License-Identifier: MIT
 * Where the inputs of a target come from; its own `parts` are their dictionary. Included last, by
 * targets alone.
 *
 *     with libFuzzer            its mutations, and one in four puts a part somewhere
 *     with FUZZ_STANDALONE      a main, as a smoke test: inputs put together from parts, some of
 *                               them spoiled. Its
 * arguments are a seed and a number of rounds, so every run can be repeated. */
#ifndef REDLOCK_TESTS_FUZZ_DRIVER_H
#define REDLOCK_TESTS_FUZZ_DRIVER_H

#include <stdio.h>

#include "fuzz.h"

/* How many rounds of an ordinary target one round of this one takes. */
#ifndef SLOWNESS
#define SLOWNESS 1
#endif

static uint32_t random_state;

static uint32_t below(uint32_t bound)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % bound;
}

static const char *any_part(void) { return parts[below(sizeof parts / sizeof *parts)]; }

#ifdef FUZZ_STANDALONE

enum { INPUT_MAX = 512, NOISE_MAX = 24 };

static size_t append_part(uint8_t *out, size_t at)
{
    const char *part = any_part();
    size_t length = strlen(part);

    if (at + length > INPUT_MAX) return at;
    memcpy(out + at, part, length);
    return at + length;
}

static size_t append_noise(uint8_t *out, size_t at)
{
    for (uint32_t left = below(NOISE_MAX); left > 0 && at < INPUT_MAX; left--)
        out[at++] = (uint8_t)below(256);
    return at;
}

/* Half of the inputs begin with a byte that may be any, a quarter has such a byte somewhere, and
 * some have many. */
static size_t compose(uint8_t *out)
{
    size_t at = below(2);
    uint32_t count = below(below(4) == 0 ? 100 : 10);
    uint32_t noise = below(4) == 0 ? 2 : 16;

    out[0] = (uint8_t)below(256);
    for (uint32_t i = 0; i < count; i++)
        at = below(noise) == 0 ? append_noise(out, at) : append_part(out, at);
    if (at > 0 && below(4) == 0) out[below((uint32_t)at)] = (uint8_t)below(256);
    return at;
}

/* In a block of its exact size, so that a sanitizer sees a read beyond it. */
static void feed(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);

    if (exact == NULL) exit(1);
    if (size > 0) memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 20000;
    uint8_t bytes[INPUT_MAX];

    random_state = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
    rounds /= SLOWNESS;
    for (unsigned long round = 0; round < rounds; round++) feed(bytes, compose(bytes));
    printf("%lu rounds\n", rounds);
    return 0;
}

#else

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    random_state = seed;
    const char *part = any_part();
    size_t length = strlen(part), at = below((uint32_t)size + 1);

    if (below(4) > 0 || size + length > max_size) return LLVMFuzzerMutate(data, size, max_size);
    memmove(data + at + length, data + at, size - at);
    memcpy(data + at, part, length);
    return size + length;
}

#endif
#endif
