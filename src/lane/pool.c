/* SPDX-License-Identifier: MIT
 * The pool of lanes. Its mutex guards the lists and numbers only; nothing blocks under it. */
#include "lane/pool.h"

#include <assert.h>

#include "host/cancellation.h"

/* After so long without use a connection is looked at before it is used; and a lane is given up. */
static const int64_t rest_us = 1000000, rest_most_us = 60 * 1000000;

/* So long after there was no room for a connection it is tried again. */
static const int64_t crowded_us = 5 * 1000000;

void pool_init(pool *self, const lane_terms *terms)
{
    *self = (pool){.terms = terms};
    mutex_init(&self->mutex);
    pthread_cond_init(&self->all_back, NULL);
}

static void give_up_all(lane *first)
{
    for (lane *next; first != NULL; first = next) {
        const memory *from = first->terms->config->memory;
        next = first->next;
        lane_destroy(first);
        memory_free(from, first);
    }
}

/* ---- Lending ---- */

/* With the mutex. */
static bool has_room(pool *self, int64_t now_us)
{
    assert(mutex_is_mine(&self->mutex));
    if (self->terms->lanes_most == 0) return true;
    if (now_us >= self->bound_until_us) self->bound = self->terms->lanes_most;
    return self->count < self->bound;
}

/* An idle one, or the number of one that is to be made. */
static redlock_status take_idle(pool *self, lane **out, unsigned *number, int64_t now_us)
{
    redlock_status status = REDLOCK_OK;
    mutex_lock(&self->mutex);
    *out = self->idle;
    if (self->is_closed) status = REDLOCK_ERR_CLOSED;
    else if (*out == NULL && !has_room(self, now_us)) status = REDLOCK_ERR_UNAVAILABLE;
    if (status == REDLOCK_OK) {
        self->lent++;
        if (*out != NULL) self->idle = (*out)->next;
        else self->count++, *number = ++self->made + 1; /* 1 is the keeper's lane */
    }
    mutex_unlock(&self->mutex);
    return status;
}

/* With the mutex. The longest at rest is the last one. */
static lane *take_rested(pool *self, int64_t now_us)
{
    assert(mutex_is_mine(&self->mutex));
    lane **at = &self->idle;
    while (*at != NULL && (*at)->next != NULL) at = &(*at)->next;
    lane *last = *at;
    if (last == NULL || now_us - last->used_us < rest_most_us) return NULL;
    *at = NULL;
    self->count--;
    return last;
}

/* With the mutex. */
static void count_back(pool *self)
{
    assert(mutex_is_mine(&self->mutex));
    assert(self->lent > 0);
    if (--self->lent == 0 && self->is_closed) pthread_cond_signal(&self->all_back);
}

static void count_unmade(pool *self)
{
    mutex_lock(&self->mutex);
    self->count--;
    count_back(self);
    mutex_unlock(&self->mutex);
}

static redlock_status borrow(pool *self, lane **out, int64_t now_us)
{
    unsigned number = 0;
    redlock_status status = take_idle(self, out, &number, now_us);
    if (status != REDLOCK_OK) return status;
    if (*out != NULL) {
        if (now_us - (*out)->used_us > rest_us) lane_refresh(*out, now_us);
        return REDLOCK_OK;
    }
    *out = memory_new(self->terms->config->memory, sizeof **out);
    if (*out == NULL) {
        count_unmade(self);
        return REDLOCK_ERR_MEMORY;
    }
    lane_init(*out, self->terms, number, NULL);
    return REDLOCK_OK;
}

redlock_status pool_borrow(pool *self, lane **out, int64_t now_us)
{
    int before = cancellation_defer();
    redlock_status status = borrow(self, out, now_us);
    if (status == REDLOCK_OK) (*out)->cancellation = before;
    else cancellation_restore(before);
    return status;
}

/* ---- Taking back ---- */

/* In this order: with the last one that is back a client may be gone. */
static void give_up_and_count(pool *self, lane *first)
{
    give_up_all(first);
    mutex_lock(&self->mutex);
    count_back(self);
    mutex_unlock(&self->mutex);
}

void pool_return(pool *self, lane *back, int64_t now_us)
{
    assert(lane_is_idle(back));
    int before = back->cancellation;
    back->used_us = now_us;
    mutex_lock(&self->mutex);
    back->next = self->idle;
    self->idle = back;
    lane *rested = take_rested(self, now_us);
    if (rested == NULL) count_back(self);
    mutex_unlock(&self->mutex);
    if (rested != NULL) give_up_and_count(self, rested);
    cancellation_restore(before);
}

void pool_return_crowded(pool *self, lane *back, int64_t now_us)
{
    assert(lane_is_idle(back));
    assert(self->terms->lanes_most > 0);
    int before = back->cancellation;
    mutex_lock(&self->mutex);
    back->next = self->idle;
    self->idle = NULL;
    for (const lane *each = back; each != NULL; each = each->next) self->count--;
    self->bound = self->count;
    self->bound_until_us = now_us + crowded_us;
    mutex_unlock(&self->mutex);
    give_up_and_count(self, back);
    cancellation_restore(before);
}

void pool_close(pool *self)
{
    mutex_lock(&self->mutex);
    self->is_closed = true;
    while (self->lent > 0) mutex_wait(&self->mutex, &self->all_back);
    mutex_unlock(&self->mutex);
}

void pool_destroy(pool *self)
{
    give_up_all(self->idle);
    pthread_cond_destroy(&self->all_back);
    mutex_destroy(&self->mutex);
}
