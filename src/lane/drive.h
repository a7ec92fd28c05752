/* SPDX-License-Identifier: MIT
 * How operations are driven on a lane: round by round; and the blocking calls, whose thread pumps a
 * lane until one operation is done. */
#ifndef REDLOCK_LANE_DRIVE_H
#define REDLOCK_LANE_DRIVE_H

#include <stdatomic.h>

#include "engine/acquire.h"
#include "lane/exchange.h"
#include "lane/lane.h"

/* It begins, on the lane that its question was entered on. */
void drive_begin(acquire *op, exchange *asks, const acquire_terms *terms, int64_t now_us);

/* It hears of its subscription what it missed: of all losses one, and that it is open now. Another
 * subscription than before, since another node has the lock, is a loss, too. False: no memory. */
bool drive_catch_up(acquire *op, exchange *asks, int64_t now_us);

/* A message of a grant came by that inbox. It counts where that is the inbox of the node that has
 * the lock, as far as is known. */
void drive_granted(acquire *op, exchange *asks, const inbox *by, const grant *message,
                   int64_t now_us);

/* One round of everything that needs no waiting. inbox_length is that of the inbox in the
 * question. */
void drive_advance(acquire *op, exchange *asks, size_t inbox_length, _Atomic int64_t *nonces,
                   int64_t now_us);

/* Is there another round to be made without waiting? If not: until when to wait. */
bool drive_can_go_on(const acquire *op, const exchange *asks);
int64_t drive_wake_us(const acquire *op, const exchange *asks);

/* Asks until the acquisition is done. `asks` carries the question with the inbox. Its nonces are
 * drawn from `nonces`, a new one for each question. If it is given up with its question under way,
 * `undo` is sent behind that, and the connection closed. True when it has left; nobody waits for
 * its answer. With REDLOCK_ERR_UNAVAILABLE it also ends where there is no room
 * for its connection, and another may carry it; then nothing is owed. */
bool drive_acquire(acquire *op, exchange *asks, const question *undo, _Atomic int64_t *nonces,
                   lane_stops *stops);

/* Connects to the home of the lane, one attempt, and asks whether somebody there serves us
 * (PING); where that fails, to the other seeds of the cluster in turn. `detail` may be NULL. */
redlock_status lane_connect(lane *self, redlock_detail *detail);

#endif
