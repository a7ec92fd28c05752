/* SPDX-License-Identifier: MIT
 * A chained hash table, by the low bits of consecutive numbers. Pure. */
#include "keeper/directory.h"

#include <assert.h>

/* How many entries a chain may have on average. */
enum { LOAD = 2 };

void directory_init(directory *self)
{
    *self = (directory){.buckets = DIRECTORY_FIRST_BUCKETS};
    self->bucket = self->first_buckets;
}

void directory_free(directory *self, const memory *from)
{
    if (self->bucket != self->first_buckets) memory_free(from, self->bucket);
    self->bucket = NULL;
}

static directory_entry **bucket_of(const directory *self, uint64_t number)
{
    assert(self->buckets > 0);
    return &self->bucket[number & (self->buckets - 1)];
}

static void chain(directory *self, directory_entry *entry)
{
    directory_entry **bucket = bucket_of(self, entry->number);
    entry->same_bucket = *bucket;
    *bucket = entry;
}

static void grow(directory *self, const memory *from)
{
    directory_entry **old = self->bucket;
    size_t old_buckets = self->buckets;
    directory_entry **larger = memory_new(from, 2 * old_buckets * sizeof *larger);
    if (larger == NULL) return;
    self->bucket = larger;
    self->buckets = 2 * old_buckets;
    for (size_t i = 0; i < old_buckets; i++) {
        for (directory_entry *entry = old[i], *next; entry != NULL; entry = next) {
            next = entry->same_bucket;
            chain(self, entry);
        }
    }
    if (old != self->first_buckets) memory_free(from, old);
}

void directory_add(directory *self, const memory *from, directory_entry *entry)
{
    assert(entry->number != 0);
    if (++self->count > LOAD * self->buckets) grow(self, from);
    chain(self, entry);
}

void directory_remove(directory *self, const directory_entry *entry)
{
    assert(self->count > 0);
    directory_entry **at = bucket_of(self, entry->number);
    while (*at != entry) at = &(*at)->same_bucket;
    *at = entry->same_bucket;
    self->count--;
}

directory_entry *directory_find(const directory *self, uint64_t number)
{
    directory_entry *entry = *bucket_of(self, number);
    while (entry != NULL && entry->number != number) entry = entry->same_bucket;
    return entry;
}
