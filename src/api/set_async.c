/* SPDX-License-Identifier: MIT
 * Sets, asynchronously: the parts of what is told as a whole run on the keeper's thread. */
#include <assert.h>
#include <string.h>

#include "api/async.h"
#include "api/options.h"
#include "api/set.h"
#include "api/words.h"
#include "host/clock.h"
#include "wire/key.h"

/* ---- Acquiring: one name after the other ---- */

typedef struct gathering gathering;
struct gathering {
    completion base; /* first: of the whole; its operation is never submitted */
    redlock_set *set;
    redlock_options options;
    limits within;
    size_t next;  /* the entry that is being acquired */
    size_t parts; /* extensions that are under way, and one more while they are being submitted */
    redlock_set_acquired_fn *acquired;
    void *arg;
    gathering *before, *behind; /* of the client's; with gatherings_mutex, as is ... */
    redlock_operation under_way;
    bool is_cancelled;
    redlock_detail why; /* of the first part that failed */
    char bytes[];       /* of the names */
};

static void enlist(gathering *self)
{
    redlock_client *client = self->base.client;
    mutex_lock(&client->gatherings_mutex);
    self->behind = client->gatherings;
    if (self->behind != NULL) self->behind->before = self;
    client->gatherings = self;
    mutex_unlock(&client->gatherings_mutex);
}

static void unlist(gathering *self)
{
    redlock_client *client = self->base.client;
    mutex_lock(&client->gatherings_mutex);
    if (self->before != NULL) self->before->behind = self->behind;
    else client->gatherings = self->behind;
    if (self->behind != NULL) self->behind->before = self->before;
    mutex_unlock(&client->gatherings_mutex);
}

static void give_up(gathering *self)
{
    set_leave(self->base.client, self->set);
    set_free(self->set);
}

static void tell_gathered(completion *base)
{
    gathering *self = (gathering *)base;
    redlock_status status = base->op.status;
    if (status == REDLOCK_OK) status = set_introduce(self->set, &self->options);
    if (status != REDLOCK_OK) words_keep(self->why.text);
    if (status != REDLOCK_OK) give_up(self);
    self->acquired(self->arg, status, status == REDLOCK_OK ? self->set : NULL);
    if (status == REDLOCK_OK) set_introduced(base->client, self->set);
}

static void conclude(gathering *self, redlock_status status)
{
    unlist(self);
    self->base.op.status = status;
    completion_conclude_alone(&self->base);
}

static void part_is_over(void *arg, redlock_status status)
{
    gathering *self = arg;
    assert(self->parts > 0);
    if (self->base.op.status == REDLOCK_OK && status != REDLOCK_OK)
        detail_write(&self->why, redlock_why_failed());
    if (self->base.op.status == REDLOCK_OK) self->base.op.status = status;
    if (--self->parts == 0) conclude(self, self->base.op.status);
}

/* All are taken. */
static void extend_all(gathering *self)
{
    assert(self->next == self->set->count);
    size_t count = self->options.auto_renew ? 0 : set_prepare_extensions(self->set);
    self->parts = count + 1;
    for (size_t i = 0; i < count; i++) {
        acting *part = acting_new(&self->set->acts[i], part_is_over, self);
        redlock_status status = REDLOCK_ERR_MEMORY;
        if (part != NULL) {
            part->base.is_a_part = true;
            status = acting_submit(part, self->within.deadline_us);
        }
        if (status != REDLOCK_OK) part_is_over(self, status);
    }
    part_is_over(self, REDLOCK_OK);
}

static void taken(void *arg, redlock_status status, redlock_lock *lock);

/* With the mutex, so that a cancel finds what is under way. */
static redlock_status start_next(gathering *self)
{
    assert(self->next < self->set->count);
    assert(mutex_is_mine(&self->base.client->gatherings_mutex));
    redlock_options terms = set_terms(&self->options);
    const redlock_name_bytes *name = &self->set->entries[self->next].name;
    if (self->is_cancelled) return REDLOCK_CANCELLED;
    acquiring *part = acquiring_new(self->base.client, &terms, taken, self);
    if (part == NULL) return REDLOCK_ERR_MEMORY;
    part->base.is_a_part = true;
    return acquiring_start(part, name->bytes, name->length, &self->within, &self->under_way);
}

/* Once it has been started, all may be over, on another thread. */
static redlock_status gather_next(gathering *self)
{
    redlock_client *client = self->base.client;
    mutex_lock(&client->gatherings_mutex);
    redlock_status status = start_next(self);
    mutex_unlock(&client->gatherings_mutex);
    return status;
}

static void taken(void *arg, redlock_status status, redlock_lock *lock)
{
    gathering *self = arg;
    if (status == REDLOCK_OK) self->set->entries[self->next++].lock = lock;
    else detail_write(&self->why, redlock_why_failed());
    bool is_whole = status == REDLOCK_OK && self->next == self->set->count;
    if (is_whole) extend_all(self);
    else if (status == REDLOCK_OK) status = gather_next(self);
    if (status != REDLOCK_OK) conclude(self, status);
}

/* ---- How it begins ---- */

/* The names are the caller's only until it returns. */
static void copy_names(gathering *self)
{
    char *at = self->bytes;
    for (size_t i = 0; i < self->set->count; i++) {
        redlock_name_bytes *name = &self->set->entries[i].name;
        memcpy(at, name->bytes, name->length);
        name->bytes = at;
        at += name->length;
    }
}

static redlock_status gathering_new(redlock_client *client, redlock_set *set,
                                    const redlock_options *o, gathering **out)
{
    size_t bytes = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (set->entries[i].name.length > KEY_NAME_MAX) return REDLOCK_ERR_NAME;
        bytes += set->entries[i].name.length;
    }
    gathering *self = completion_new(client, sizeof *self + bytes, NULL, tell_gathered);
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    self->set = set;
    self->options = *o;
    self->within = limits_of(client, o, clock_now_us());
    copy_names(self);
    *out = self;
    return REDLOCK_OK;
}

static redlock_status gather(redlock_client *client, redlock_set *set, const redlock_options *o,
                             redlock_set_acquired_fn *acquired, void *arg, redlock_operation *id)
{
    gathering *self;
    redlock_status status = gathering_new(client, set, o, &self);
    if (status != REDLOCK_OK) return status;
    self->acquired = acquired;
    self->arg = arg;
    if (id != NULL) *id = self->base.op.entry.number;
    enlist(self);
    status = gather_next(self);
    if (status == REDLOCK_OK) return REDLOCK_OK;
    unlist(self);
    completion_free(&self->base);
    return status;
}

static redlock_status acquire_set_async(redlock_client *client, const redlock_name_bytes *names,
                                        size_t count, redlock_options *o,
                                        redlock_set_acquired_fn *acquired, void *arg,
                                        redlock_operation *id)
{
    redlock_set *set;
    redlock_status status = acquiring_check(client, o);
    if (status == REDLOCK_OK) status = acquisition_check(o);
    if (status == REDLOCK_OK) status = set_new(client, names, count, &set);
    if (status != REDLOCK_OK) return status;
    status = gather(client, set, o, acquired, arg, id);
    if (status != REDLOCK_OK) set_free(set);
    return status;
}

redlock_status redlock_acquire_set_async(redlock_client *client, const redlock_name_bytes *names,
                                         size_t count, const redlock_options *options,
                                         redlock_set_acquired_fn *acquired, void *arg,
                                         redlock_operation *id)
{
    redlock_options o;
    if (id != NULL) *id = 0;
    redlock_status status = set_check(client, names, count, options, &o);
    if (status != REDLOCK_OK || acquired == NULL) return REDLOCK_ERR_ARGUMENT;
    gate_enter(&client->calls);
    status = acquire_set_async(client, names, count, &o, acquired, arg, id);
    gate_leave(&client->calls);
    return status;
}

bool set_cancel_async(redlock_client *client, redlock_operation id)
{
    mutex_lock(&client->gatherings_mutex);
    gathering *self = client->gatherings;
    while (self != NULL && self->base.op.entry.number != id) self = self->behind;
    redlock_operation under_way = self == NULL ? 0 : self->under_way;
    if (self != NULL) self->is_cancelled = true;
    mutex_unlock(&client->gatherings_mutex);
    if (under_way != 0) keeper_cancel(&client->keeper, under_way);
    return under_way != 0;
}

/* ---- Releasing: all at once ---- */

typedef struct parting {
    completion base;      /* first: of the whole; its operation is never submitted */
    _Atomic size_t parts; /* as in a gathering */
    _Atomic int status;   /* the first that is not REDLOCK_OK, and ... */
    redlock_detail why;   /* ... its words */
    redlock_done_fn *done;
    void *arg;
} parting;

static void tell_parted(completion *base)
{
    parting *self = (parting *)base;
    redlock_status status = (redlock_status)atomic_load(&self->status);
    if (status != REDLOCK_OK) words_keep(self->why.text);
    if (self->done != NULL) self->done(self->arg, status);
}

static void released(void *arg, redlock_status status)
{
    parting *self = arg;
    int none = REDLOCK_OK;
    bool is_first = status != REDLOCK_OK &&
                    atomic_compare_exchange_strong(&self->status, &none, (int)status);
    if (is_first) detail_write(&self->why, redlock_why_failed());
    if (atomic_fetch_sub(&self->parts, 1) == 1) completion_conclude_alone(&self->base);
}

static void free_parts(acting *first)
{
    while (first != NULL) {
        acting *next = (acting *)first->base.op.after;
        completion_free(&first->base);
        first = next;
    }
}

/* A part for each of the acts; NULL when out of memory. */
static acting *new_parts(const redlock_set *set, size_t count, parting *whole)
{
    acting *first = NULL;
    for (size_t i = count; i-- > 0;) {
        acting *part = acting_new(&set->acts[i], released, whole);
        if (part == NULL) {
            free_parts(first);
            return NULL;
        }
        part->base.is_a_part = true;
        part->base.op.after = first == NULL ? NULL : &first->base.op;
        first = part;
    }
    return first;
}

redlock_status redlock_release_set_async(redlock_set *set, redlock_done_fn *done, void *arg)
{
    if (set == NULL) return REDLOCK_ERR_ARGUMENT;
    redlock_client *client = client_of(set->entries[0].lock);
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    parting *self = completion_new(client, sizeof *self, NULL, tell_parted);
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    size_t count = set_prepare_releases(set);
    acting *first = new_parts(set, count, self);
    if (first == NULL) {
        completion_free(&self->base);
        return REDLOCK_ERR_MEMORY;
    }
    self->done = done;
    self->arg = arg;
    atomic_store(&self->parts, count);
    memory from = client->memory; /* on success all of it may be gone */
    set_free(set);
    redlock_status status = acting_submit(first, FROM_NOW);
    if (status != REDLOCK_OK) memory_free(&from, self);
    return status;
}
