/* SPDX-License-Identifier: MIT
 * Many locks at once: taken in the order of their bytes, which is the same for everyone, so that no two sets can each
 * hold what the other waits for (Havender 1968). */
#include <stdlib.h>
#include <string.h>

#include "api/acquisition.h"
#include "api/options.h"
#include "host/clock.h"

typedef struct entry {
    redlock_name_bytes name;
    size_t index; /* in the caller's order */
    redlock_lock *lock;
} entry;

struct redlock_set {
    memory from;
    size_t count;
    entry entries[]; /* in the order of acquisition */
};

static int compare(const void *left, const void *right)
{
    const redlock_name_bytes *a = &((const entry *)left)->name, *b = &((const entry *)right)->name;
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->bytes, b->bytes, shorter);
    if (order != 0) return order;
    return a->length < b->length ? -1 : a->length > b->length;
}

static redlock_status fill(redlock_set *self, const redlock_name_bytes *names)
{
    for (size_t i = 0; i < self->count; i++) {
        if (names[i].bytes == NULL || names[i].length == 0) return REDLOCK_ERR_NAME;
        self->entries[i] = (entry){.name = names[i], .index = i};
    }
    qsort(self->entries, self->count, sizeof *self->entries, compare);
    for (size_t i = 1; i < self->count; i++)
        if (compare(&self->entries[i - 1], &self->entries[i]) == 0) return REDLOCK_ERR_ARGUMENT;
    return REDLOCK_OK;
}

static redlock_status release_all(redlock_set *self)
{
    redlock_status first = REDLOCK_OK;
    for (size_t i = self->count; i-- > 0;) {
        redlock_status status = redlock_release(self->entries[i].lock);
        if (first == REDLOCK_OK) first = status;
    }
    memory from = self->from;
    memory_free(&from, self);
    return first;
}

/* Each has what is left of the limits of all. */
static redlock_status acquire_all(redlock_client *client, redlock_set *self, redlock_options o, const limits *within)
{
    redlock_status status = REDLOCK_OK;
    o.auto_renew = true; /* until all are there: what was taken first must not run out meanwhile */
    for (size_t i = 0; i < self->count && status == REDLOCK_OK; i++) {
        entry *next = &self->entries[i];
        status = acquisition_take(client, next->name.bytes, next->name.length, &o, within, &next->lock);
    }
    return status;
}

/* All are held: from here on each lives by the caller's own terms, with a whole lease. */
static redlock_status settle(redlock_set *self, const redlock_options *o, const limits *within)
{
    for (size_t i = 0; i < self->count && !o->auto_renew; i++) {
        redlock_lock *lock = self->entries[i].lock;
        bool is_short = redlock_remaining_ms(lock) < lock->hold.ttl_ms * 2 / 3;
        redlock_status status = is_short ? limits_extend(lock, lock->hold.ttl_ms, within) : REDLOCK_OK;
        if (status != REDLOCK_OK) return status;
        keeper_end_renewal(lock->keeper, lock, clock_now_us());
    }
    int64_t now_us = clock_now_us();
    for (size_t i = 0; i < self->count; i++)
        if (!handle_is_valid(self->entries[i].lock, now_us)) return REDLOCK_LOST;
    return REDLOCK_OK;
}

/* Nobody waits for that: with one that cannot be had, none is wanted. */
static void give_all_back(redlock_client *client, redlock_set *self, const limits *within)
{
    limits part = limits_to_part(within, client, clock_now_us());
    for (size_t i = self->count; i-- > 0;)
        if (self->entries[i].lock != NULL) limits_give_back(self->entries[i].lock, &part);
    memory_free(&client->memory, self);
}

static redlock_status acquire_set(redlock_client *client, const redlock_name_bytes *names, size_t count,
                                  redlock_options *o, redlock_set **set)
{
    int64_t began_us = clock_now_us();
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    redlock_set *self = memory_new(&client->memory, sizeof *self + count * sizeof(entry));
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    self->from = client->memory;
    self->count = count;
    status = fill(self, names);
    if (status == REDLOCK_OK) status = acquisition_check(o);
    limits within = {0};
    if (status == REDLOCK_OK) {
        within = limits_of(client, o, began_us);
        status = acquire_all(client, self, *o, &within);
    }
    if (status == REDLOCK_OK) status = settle(self, o, &within);
    if (status == REDLOCK_OK) *set = self;
    else give_all_back(client, self, &within);
    return status;
}

redlock_status redlock_acquire_set(redlock_client *client, const redlock_name_bytes *names, size_t count,
                                   const redlock_options *options, redlock_set **set)
{
    redlock_options o;
    if (set == NULL) return REDLOCK_ERR_ARGUMENT;
    *set = NULL;
    if (client == NULL || names == NULL || count == 0 || count > SIZE_MAX / sizeof(entry) / 2)
        return REDLOCK_ERR_ARGUMENT;
    if (!options_copy(&o, sizeof o, options) || o.reentrant) return REDLOCK_ERR_ARGUMENT;
    client_begin_call(client);
    redlock_status status = acquire_set(client, names, count, &o, set);
    client_end_call(client);
    return status;
}

redlock_lock *redlock_set_lock(const redlock_set *set, size_t index)
{
    for (size_t i = 0; set != NULL && i < set->count; i++)
        if (set->entries[i].index == index) return set->entries[i].lock;
    return NULL;
}

redlock_status redlock_release_set(redlock_set *set)
{
    if (set == NULL) return REDLOCK_OK;
    redlock_status status = client_enter(client_of(set->entries[0].lock));
    return status == REDLOCK_OK ? release_all(set) : status;
}
