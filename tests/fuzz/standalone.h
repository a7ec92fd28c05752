/* SPDX-License-Identifier: MIT
 * A main for a fuzz target without libFuzzer, as a smoke test: it puts together inputs from the target's own `parts`,
 * spoils some, and feeds them. Its arguments are a seed and a number of rounds, so every run can be repeated.
 * Included last, under FUZZ_STANDALONE, by targets alone. */
#ifndef REDLOCK_TESTS_FUZZ_STANDALONE_H
#define REDLOCK_TESTS_FUZZ_STANDALONE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 512 };
static uint32_t random_state;

static uint32_t below(uint32_t bound)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % bound;
}

static size_t append(uint8_t *out, size_t at)
{
    const char *part = parts[below(sizeof parts / sizeof *parts)];
    size_t length = strlen(part);

    if (at + length > INPUT_MAX) return at;
    memcpy(out + at, part, length);
    return at + length;
}

/* Half of the inputs begin with a byte that may be any, and a quarter has such a byte somewhere. */
static size_t compose(uint8_t *out)
{
    size_t at = below(2);
    uint32_t count = below(below(4) == 0 ? 100 : 10);

    out[0] = (uint8_t)below(256);
    for (uint32_t i = 0; i < count; i++) at = append(out, at);
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
    for (unsigned long round = 0; round < rounds; round++) feed(bytes, compose(bytes));
    printf("%lu rounds\n", rounds);
    return 0;
}

#endif
