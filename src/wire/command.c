/* SPDX-License-Identifier: MIT
 * One command as counted strings. The rule: it points into what its builder was given, and copies
 * nothing but its own numbers. Pure. */
#include "wire/command.h"

#include <assert.h>
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

    /* By hand: several numbers go into every command, and printf is most of what building one
     * costs. */
    char *end = out->number[out->numbers++] + COMMAND_NUMBER_SIZE, *at = end;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

    do *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (number < 0) *--at = '-';
    command_add(out, at, (size_t)(end - at));
}

void command_load_script(command *out, enum script_id id)
{
    command_begin(out, "SCRIPT");
    command_add_text(out, "LOAD");
    command_add(out, scripts[id].source, scripts[id].source_length);
}

void command_begin_script(command *out, enum script_id id, _Bool by_source, const char *key,
                          size_t key_length)
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
