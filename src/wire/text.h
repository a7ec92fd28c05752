/* SPDX-License-Identifier: MIT
 * Bytes from outside: what a host has, and all of them, made fit to print. Pure. */
#ifndef REDLOCK_WIRE_TEXT_H
#define REDLOCK_WIRE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Writes bytes as printable ASCII into `out` (always NUL-terminated, cut to fit): what is not
 * printable, and the backslash, becomes \xNN. Returns out. */
char *text_escape(char *out, size_t out_size, const void *bytes, size_t length);

/* Does the name of a host, an address in dots, or the zone of one, have such a byte? */
bool text_is_host_byte(char byte);

#endif
