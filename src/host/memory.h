/* SPDX-License-Identifier: MIT
 * The client's memory: every allocation of the library goes through these functions. */
#ifndef REDLOCK_HOST_MEMORY_H
#define REDLOCK_HOST_MEMORY_H

#include <stdbool.h>

#include <redlock/redlock.h>

/* Either the user's functions or malloc and free; copied by value into whatever allocates. */
typedef struct redlock_allocator memory;

/* The given hooks, or malloc and free when none are given. */
memory memory_from(const redlock_allocator *hooks);

/* Zeroed; NULL when out of memory. */
void *memory_new(const memory *from, size_t size);

/* A copy that ends in NUL, or NULL when out of memory. */
char *memory_copy(const memory *from, const void *bytes, size_t length);

/* A copy of the text in *out; NULL stays NULL. False when out of memory. */
bool memory_copy_text(const memory *from, char **out, const char *text);

/* A block of `size` bytes that begins with the old block's `kept` bytes; the old one is freed.
 * NULL, and the old one stays, when out of memory. */
void *memory_regrow(const memory *from, void *old, size_t kept, size_t size);

void memory_free(const memory *from, void *block);

/* Overwrites a secret, surely: also where nobody reads the bytes any more. */
void memory_wipe(void *bytes, size_t length);

/* Frees a text that is a secret. NULL is allowed. */
void memory_free_secret(const memory *from, char *text);

#endif
