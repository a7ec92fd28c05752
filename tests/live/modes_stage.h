/* SPDX-License-Identifier: MIT
 * What the tests of the modes share: one name, and options that do not end by themselves. */
#ifndef REDLOCK_TESTS_MODES_STAGE_H
#define REDLOCK_TESTS_MODES_STAGE_H

#include "live/stage.h"

static const char *const name = "r";

#define EXCLUSIVE(...) REDLOCK_OPTIONS(.ttl_ms = LONG_MS, __VA_ARGS__)
#define SHARED(...) REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .ttl_ms = LONG_MS, __VA_ARGS__)
#define OWN(...) REDLOCK_OPTIONS(.reentrant = true, __VA_ARGS__)
#define OWN_SHARED(...) OWN(.mode = REDLOCK_SHARED, __VA_ARGS__)
#define PATIENT .wait_ms = REDLOCK_WAIT_FOREVER, .claim_ms = LONG_MS

/* How an acquisition ends that is given back at once. */
static inline redlock_status attempt(redlock_client *client, const redlock_options *options)
{
    redlock_lock *lock;
    redlock_status status = redlock_acquire(client, name, options, &lock);
    redlock_release(lock);
    return status;
}

#endif
