/* SPDX-License-Identifier: MIT
 * A counter, and a condition for the last. */
#include "host/gate.h"

static const unsigned closing_bit = 1u << 31;

void gate_init(gate *self)
{
    atomic_init(&self->inside, 0);
    self->is_empty = false;
    mutex_init(&self->mutex);
    pthread_cond_init(&self->emptied, NULL);
}

void gate_destroy(gate *self)
{
    pthread_cond_destroy(&self->emptied);
    mutex_destroy(&self->mutex);
}

void gate_enter(gate *self) { atomic_fetch_add(&self->inside, 1); }

void gate_leave(gate *self)
{
    unsigned before = atomic_fetch_sub(&self->inside, 1);
    assert((before & ~closing_bit) > 0);
    if (before != closing_bit + 1) return;
    mutex_lock(&self->mutex);
    self->is_empty = true;
    pthread_cond_signal(&self->emptied);
    mutex_unlock(&self->mutex);
}

void gate_close(gate *self)
{
    unsigned before = atomic_fetch_or(&self->inside, closing_bit);
    assert((before & closing_bit) == 0);
    mutex_lock(&self->mutex);
    while (before > 0 && !self->is_empty) mutex_wait(&self->mutex, &self->emptied);
    mutex_unlock(&self->mutex);
}
