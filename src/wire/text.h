/* SPDX-License-Identifier: MIT
 * Bytes from outside, made fit to print. Pure. */
#ifndef REDLOCK_WIRE_TEXT_H
#define REDLOCK_WIRE_TEXT_H

#include <stddef.h>

/* Writes bytes as printable ASCII into `out` (always NUL-terminated, cut to fit): what is not
 * printable, and the backslash, becomes \xNN. Returns out. */
char *text_escape(char *out, size_t out_size, const void *bytes, size_t length);

#endif
