/* SPDX-License-Identifier: MIT
 * One command as counted strings. The rule: it points into what its builder was given, and copies
 * nothing but its own numbers. Pure. */
#include "wire/command.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void command_begin(command *out, const char *verb)
{
    out->argc = 0;
    out->numbers = 0;
    command_add_text(out, verb);
}

void command_add(command *out, const char *bytes, size_t length)
{
    assert(out->argc < COMMAND_ARGS);
    out->argv[out->argc] = bytes;
    out->length[out->argc] = length;
    out->argc++;
}

void command_add_text(command *out, const char *text) { command_add(out, text, strlen(text)); }

void command_add_number(command *out, int64_t number)
{
    assert(out->numbers < COMMAND_NUMBERS);

    char *digits = out->number[out->numbers++];
    int length = snprintf(digits, COMMAND_NUMBER_SIZE, "%" PRId64, number);

    command_add(out, digits, (size_t)length);
}

void command_begin_script(command *out, enum script_id id, _Bool by_source, const char *key, size_t key_length)
{
    const script *run = &scripts[id];

    command_begin(out, by_source ? "EVAL" : "EVALSHA");
    if (by_source) {
        command_add(out, run->source, run->source_length);
    } else {
        command_add(out, run->sha1, sizeof run->sha1 - 1);
    }
    command_add(out, "1", 1);
    command_add(out, key, key_length);
}
