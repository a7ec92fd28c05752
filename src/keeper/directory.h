/* SPDX-License-Identifier: MIT
 * Things that are found by their number: a hash table that is chained through them. Pure.
 *
 * The numbers are consecutive, so that their low bits spread them. The table doubles when its
 * chains get long; without memory they get longer, and that is all: adding cannot fail. */
#ifndef REDLOCK_KEEPER_DIRECTORY_H
#define REDLOCK_KEEPER_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

#include "host/memory.h"

enum { DIRECTORY_FIRST_BUCKETS = 64 };

typedef struct directory_entry directory_entry;
struct directory_entry {
    uint64_t number;
    directory_entry *same_bucket;
};

/* It points into itself, and must not be copied. */
typedef struct directory {
    directory_entry **bucket;
    size_t buckets, count;
    directory_entry *first_buckets[DIRECTORY_FIRST_BUCKETS];
} directory;

void directory_init(directory *self);
void directory_free(directory *self, const memory *from);

/* Its number is set, and nobody else there has it. */
void directory_add(directory *self, const memory *from, directory_entry *entry);
/* It is there. */
void directory_remove(directory *self, const directory_entry *entry);
/* NULL when it is not there. */
directory_entry *directory_find(const directory *self, uint64_t number);

#endif
