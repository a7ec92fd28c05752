/* SPDX-License-Identifier: MIT
 * Many locks at once: taken in the order of their bytes, which is the same for everyone, so that no
 * two sets can each hold what the other waits for (Havender 1968). */
#include "api/set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/options.h"
#include "api/words.h"
#include "host/clock.h"

/* ---- How it is made ---- */

static int compare(const void *left, const void *right)
{
    const redlock_name_bytes *a = &((const set_entry *)left)->name,
                             *b = &((const set_entry *)right)->name;
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->bytes, b->bytes, shorter);
    if (order != 0) return order;
    return a->length < b->length ? -1 : a->length > b->length;
}

static redlock_status fill(redlock_set *self, const redlock_name_bytes *names)
{
    for (size_t i = 0; i < self->count; i++) {
        if (names[i].bytes == NULL || names[i].length == 0) return REDLOCK_ERR_NAME;
        self->entries[i] = (set_entry){.name = names[i], .index = i};
    }
    qsort(self->entries, self->count, sizeof *self->entries, compare);
    for (size_t i = 1; i < self->count; i++)
        if (compare(&self->entries[i - 1], &self->entries[i]) == 0) return REDLOCK_ERR_ARGUMENT;
    return REDLOCK_OK;
}

redlock_status set_new(redlock_client *client, const redlock_name_bytes *names, size_t count,
                       redlock_set **out)
{
    assert(count > 0);
    redlock_set *self =
        memory_new(&client->memory, sizeof *self + count * (sizeof(set_entry) + sizeof(act)));
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    self->from = client->memory;
    atomic_init(&self->users, 1);
    self->count = count;
    self->acts = (act *)(self->entries + count);
    redlock_status status = fill(self, names);
    if (status == REDLOCK_OK) *out = self;
    else set_free(self);
    return status;
}

void set_free(redlock_set *self)
{
    memory from = self->from;
    if (atomic_fetch_sub(&self->users, 1) == 1) memory_free(&from, self);
}

redlock_status set_check(const redlock_client *client, const redlock_name_bytes *names,
                         size_t count, const redlock_options *options, redlock_options *o)
{
    bool has_room = count <= SIZE_MAX / (sizeof(set_entry) + sizeof(act)) / 2;
    if (client == NULL || names == NULL || count == 0 || !has_room) return REDLOCK_ERR_ARGUMENT;
    if (!options_copy(o, sizeof *o, options)) return REDLOCK_ERR_ARGUMENT;
    detail_write(o->detail, "");
    return o->reentrant ? REDLOCK_ERR_ARGUMENT : REDLOCK_OK;
}

/* ---- What is done with all of them ---- */

redlock_options set_terms(const redlock_options *o)
{
    redlock_options terms = *o;
    terms.auto_renew = true;
    terms.max_hold_ms = 0;
    terms.on_lost = NULL;
    terms.on_risk = NULL;
    return terms;
}

size_t set_prepare_extensions(redlock_set *self)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        redlock_lock *lock = self->entries[i].lock;
        if (redlock_remaining_ms(lock) >= lock->hold.ttl_ms * 2 / 3) continue;
        self->acts[count] = act_about(&act_extend, lock);
        self->acts[count++].ttl_ms = lock->hold.ttl_ms;
    }
    return count;
}

size_t set_prepare_releases(redlock_set *self)
{
    size_t count = 0;
    for (size_t i = self->count; i-- > 0;)
        if (self->entries[i].lock != NULL)
            self->acts[count++] = act_about(&act_release, self->entries[i].lock);
    return count;
}

static redlock_status first_failure(const redlock_set *self, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (self->acts[i].status != REDLOCK_OK) return self->acts[i].status;
    return REDLOCK_OK;
}

static void bind_all(const redlock_set *self, const redlock_options *o)
{
    int64_t now_us = clock_now_us();
    for (size_t i = 0; i < self->count; i++)
        lock_bound(self->entries[i].lock, o->auto_renew, o->max_hold_ms, now_us);
}

redlock_status set_introduce(redlock_set *self, const redlock_options *o)
{
    redlock_status status = REDLOCK_OK;
    size_t done = 0;
    if (!o->auto_renew || o->max_hold_ms > 0) bind_all(self, o);
    while (done < self->count && status == REDLOCK_OK) {
        status = handle_introduce(self->entries[done].lock, o);
        if (status == REDLOCK_OK) done++;
    }
    if (status == REDLOCK_OK) atomic_fetch_add(&self->users, 1);
    else /* the others stay silent for ever */
        while (done-- > 0) lock_unuse(self->entries[done].lock);
    return status;
}

void set_introduced(redlock_client *client, redlock_set *self)
{
    if (fork_guard_is_child(&client->fork)) return;
    for (size_t i = 0; i < self->count; i++) handle_introduced(client, self->entries[i].lock);
    set_free(self);
}

void set_leave(redlock_client *client, redlock_set *self)
{
    for (size_t i = self->count; i-- > 0;)
        if (self->entries[i].lock != NULL) handle_leave(client, self->entries[i].lock);
}

/* ---- Acquiring, blocking ---- */

/* Each has what is left of the limits of all. */
static redlock_status acquire_all(redlock_client *client, redlock_set *self,
                                  const redlock_options *o, limits *within)
{
    redlock_status status = REDLOCK_OK;
    redlock_options terms = set_terms(o);
    for (size_t i = 0; i < self->count && status == REDLOCK_OK; i++) {
        set_entry *next = &self->entries[i];
        status = acquisition_take(client, next->name.bytes, next->name.length, &terms, within,
                                  &next->lock);
    }
    if (status != REDLOCK_OK || o->auto_renew) return status;
    size_t extended = set_prepare_extensions(self);
    act_wait_each(self->acts, extended, within, o->detail);
    return first_failure(self, extended);
}

/* With one that cannot be had, none is wanted. Nobody waits for that, where there is a keeper that
 * does it. */
static void give_all_back(redlock_client *client, redlock_set *self, limits *within)
{
    limits part = limits_to_end(within, client, clock_now_us());
    if (client->host == REDLOCK_HOST_MANUAL)
        act_wait_each(self->acts, set_prepare_releases(self), &part, NULL);
    else set_leave(client, self);
    set_free(self);
}

static redlock_status acquire_set(redlock_client *client, const redlock_name_bytes *names,
                                  size_t count, redlock_options *o, redlock_set **set)
{
    int64_t began_us = clock_now_us();
    redlock_set *self;
    redlock_status status = client_enter(client);
    if (status == REDLOCK_OK) status = acquisition_check(o);
    if (status == REDLOCK_OK) status = set_new(client, names, count, &self);
    if (status != REDLOCK_OK) return status;
    limits within = limits_of(client, o, began_us);
    status = acquire_all(client, self, o, &within);
    if (status == REDLOCK_OK) status = set_introduce(self, o);
    if (status != REDLOCK_OK) {
        give_all_back(client, self, &within);
        return status;
    }
    *set = self;
    set_introduced(client, self);
    return status;
}

redlock_status redlock_acquire_set(redlock_client *client, const redlock_name_bytes *names,
                                   size_t count, const redlock_options *options, redlock_set **set)
{
    redlock_options o;
    if (set == NULL) return REDLOCK_ERR_ARGUMENT;
    *set = NULL;
    redlock_status status = set_check(client, names, count, options, &o);
    if (status != REDLOCK_OK) return status;
    gate_enter(&client->calls);
    status = acquire_set(client, names, count, &o, set);
    gate_leave(&client->calls);
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
    redlock_client *client = client_of(set->entries[0].lock);
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return words_of_refusal(status);
    limits within = limits_of_one(client);
    size_t count = set_prepare_releases(set);
    act_wait_each(set->acts, count, &within, words_of_thread());
    status = first_failure(set, count);
    set_free(set);
    return status;
}
