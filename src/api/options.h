/* SPDX-License-Identifier: MIT
 * Options as the caller gave them, whatever version of the header it was compiled with. Private to
 * the api. */
#ifndef REDLOCK_API_OPTIONS_H
#define REDLOCK_API_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include <redlock/redlock.h>

/* Copies a structure that begins with its own size into one of `size` bytes, zero-filled. False
 * when the size is impossible, or when a newer caller uses fields that we do not know. `from` NULL
 * gives all zeroes. */
bool options_copy(void *out, size_t size, const void *from);

/* Writes the words into the caller's detail, if there is one. */
void detail_write(redlock_detail *detail, const char *text);

#endif
