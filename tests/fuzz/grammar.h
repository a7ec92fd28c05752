/* SPDX-License-Identifier: MIT
 * What a server may say, as regular expressions: a second description of what is read. */
#ifndef REDLOCK_TESTS_FUZZ_GRAMMAR_H
#define REDLOCK_TESTS_FUZZ_GRAMMAR_H

#include <regex.h>

#include "fuzz.h"

#define GRAMMAR_NUMBER "(0|[1-9][0-9]*)"
#define GRAMMAR_HOST "(\\[[0-9A-Za-z._:%-]+]|[0-9A-Za-z._:%-]*)"

typedef struct grammar {
    const char *pattern;
    bool is_ready;
    regex_t compiled;
} grammar;

/* Is the whole text as the pattern says? */
static inline bool grammar_fits(grammar *self, const char *text)
{
    if (!self->is_ready)
        must(regcomp(&self->compiled, self->pattern, REG_EXTENDED | REG_NOSUB) == 0);
    self->is_ready = true;
    return regexec(&self->compiled, text, 0, NULL, 0) == 0;
}

/* Is this, which fits GRAMMAR_HOST, no longer than a host may be? */
static inline bool grammar_is_short(const char *host, size_t length)
{
    return length <= (host[0] == '[' ? 257 : 255);
}

#endif
