/* SPDX-License-Identifier: MIT
 * When a waiter asks again although nothing was published. Pure. */
#ifndef REDLOCK_ENGINE_RECHECK_H
#define REDLOCK_ENGINE_RECHECK_H

#include <stdint.h>

/* How long after an answer "queued" to ask again: at the end of the lease that the answer told,
 * staggered by the position in the queue (1 is next) so that one waiter finds the dead holder and
 * the others hear of it; but no later than a cap, because the holder may have changed to one that
 * froze with a claim. The cap is seven eighths of the shorter claim of ours and of the waiter that
 * stands ahead (0: unknown), since who does not ask within its claim may be taken for frozen;
 * longer far down the queue, and jittered downwards so that waiters do not march in step.
 *
 * A lease of 0 means now, whatever the position and the cap: nobody holds the lock, and the server
 * left some of its work to whoever asks next. */
int64_t recheck_after_us(int64_t lease_left_ms, int64_t position, int64_t claim_ms,
                         int64_t claim_ahead_ms, uint32_t *jitter);

/* What is to be added after so many answers in a row that said "now": nothing for the first three,
 * then 1 ms, which doubles up to 64 ms. A server with much work left is asked at its own speed, and
 * one that always says so is not asked in a spin. */
int64_t recheck_pause_us(unsigned urged);

#endif
