/* SPDX-License-Identifier: MIT
 * Lock names to keys, and keys to cluster slots (docs/protocol.md, "Name to key"). Pure. */
#ifndef REDLOCK_WIRE_KEY_H
#define REDLOCK_WIRE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_NAME_MAX = 65536, KEY_PREFIX_MAX = 256, KEY_SLOTS = 16384 };

/* A prefix is at most KEY_PREFIX_MAX bytes without braces and control characters; it may be
 * empty. */
bool key_prefix_is_valid(const char *prefix);

/* The key of a name, written to `out` if it fits (no NUL is added). Returns the length that it has,
 * fitting or not; 0 when the name is empty or longer than KEY_NAME_MAX. */
size_t key_write(char *out, size_t out_size, const char *prefix, const void *name,
                 size_t name_length);

/* The slot of a key, below KEY_SLOTS: CRC16 (XMODEM) of its hash tag, or of the whole key (the
 * Redis Cluster specification, "Key distribution model"). */
uint16_t key_slot(const void *key, size_t key_length);

/* A hash tag for each slot: four letters and a NUL. */
enum { SLOT_TAG_SIZE = 5 };
void slot_tag_write(char out[SLOT_TAG_SIZE], uint16_t slot);

#endif
