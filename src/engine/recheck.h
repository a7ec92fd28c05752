/* SPDX-License-Identifier: MIT
 * When a waiter asks again although nothing was published. Pure. */
#ifndef REDLOCK_ENGINE_RECHECK_H
#define REDLOCK_ENGINE_RECHECK_H

#include <stdint.h>

/* How long after an answer "queued" to ask again: at the end of the lease that the answer told, staggered by the position in
 * the queue (1 is next) so that one waiter finds the dead holder and the others hear of it; but no later than a
 * cap, because the holder may have changed to one that froze with a claim. The cap is our own claim, longer far down the queue, and jittered downwards so that waiters do
 * not march in step. */
int64_t recheck_after_us(int64_t lease_left_ms, int64_t position, int64_t claim_ms, uint32_t *jitter);

#endif
