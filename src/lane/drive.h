/* SPDX-License-Identifier: MIT
 * The blocking calls: the calling thread pumps a lane until one operation is done. */
#ifndef REDLOCK_LANE_DRIVE_H
#define REDLOCK_LANE_DRIVE_H

#include <stdatomic.h>

#include "lane/lane.h"

/* Asks until the acquisition is done. `asks` carries the question with the waiter's member. Its nonces are
 * drawn from `nonces`, a new one for each question. */
void drive_acquire(lane *on, acquire *op, exchange *asks, _Atomic int64_t *nonces, lane_stops *stops);

/* Asks until the request is done. */
void drive_request(lane *on, exchange *asks, lane_stops *stops);

/* Connects the lane's command connection, one attempt; on failure its failure_detail says more. */
redlock_status lane_connect(lane *on);

#endif
