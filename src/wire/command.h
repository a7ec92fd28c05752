/* SPDX-License-Identifier: MIT
 * One command as counted strings, ready for a codec (or the simulator's Lua). Pure: it points into
 * what its builder was given, and to its own numbers. */
#ifndef REDLOCK_WIRE_COMMAND_H
#define REDLOCK_WIRE_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#include "wire/script.h"

enum { COMMAND_ARGS = 12, COMMAND_NUMBERS = 5, COMMAND_NUMBER_SIZE = 24 };

typedef struct command {
    int argc;
    const char *argv[COMMAND_ARGS];
    size_t length[COMMAND_ARGS];
    int numbers;
    char number[COMMAND_NUMBERS][COMMAND_NUMBER_SIZE];
} command;

void command_begin(command *out, const char *verb);
void command_add(command *out, const char *bytes, size_t length);
void command_add_text(command *out, const char *text);
/* A decimal integer, kept in the command itself: a command must not be copied after this. */
void command_add_number(command *out, int64_t number);

/* SCRIPT LOAD with the source: the whole command. */
void command_load_script(command *out, enum script_id id);

/* EVALSHA, or EVAL with the source; then "1" and the key. Arguments follow with command_add. */
void command_begin_script(command *out, enum script_id id, _Bool by_source, const char *key,
                          size_t key_length);

#endif
