/* SPDX-License-Identifier: MIT
 * The pool of lanes. Its mutex guards the lists only; nothing blocks under it. */
#include "lane/pool.h"

#include <assert.h>

#include "host/cancellation.h"

/* After so long without use a connection is looked at before it is used. */
static const int64_t rest_us = 1000000;

void pool_init(pool *self, const lane_terms *terms)
{
    *self = (pool){.terms = terms};
    mutex_init(&self->mutex);
    pthread_cond_init(&self->all_back, NULL);
}

static lane *take_idle(pool *self, unsigned *number)
{
    mutex_lock(&self->mutex);
    lane *found = NULL;
    *number = 0;
    if (!self->is_closed) {
        self->lent++;
        found = self->idle;
        if (found != NULL) self->idle = found->next;
        else *number = ++self->made + 1; /* 1 is the keeper's lane */
    }
    mutex_unlock(&self->mutex);
    return found;
}

static void count_back(pool *self, lane *back)
{
    mutex_lock(&self->mutex);
    assert(self->lent > 0);
    if (back != NULL) {
        back->next = self->idle;
        self->idle = back;
    }
    if (--self->lent == 0 && self->is_closed) pthread_cond_signal(&self->all_back);
    mutex_unlock(&self->mutex);
}

static redlock_status borrow(pool *self, lane **out, int64_t now_us)
{
    unsigned number;
    *out = take_idle(self, &number);
    if (*out != NULL) {
        if (now_us - (*out)->used_us > rest_us) lane_refresh(*out, now_us);
        return REDLOCK_OK;
    }
    if (number == 0) return REDLOCK_ERR_CLOSED;
    *out = memory_new(self->terms->config->memory, sizeof **out);
    if (*out == NULL) {
        count_back(self, NULL);
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

void pool_return(pool *self, lane *back, int64_t now_us)
{
    assert(lane_is_idle(back));
    int before = back->cancellation;
    back->used_us = now_us;
    count_back(self, back);
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
    while (self->idle != NULL) {
        lane *gone = self->idle;
        self->idle = gone->next;
        lane_destroy(gone);
        memory_free(self->terms->config->memory, gone);
    }
    pthread_cond_destroy(&self->all_back);
    mutex_destroy(&self->mutex);
}
