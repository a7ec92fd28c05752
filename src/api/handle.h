/* SPDX-License-Identifier: MIT
 * The lock handle: how it is made, what it asks, what it tells. Private to the api. */
#ifndef REDLOCK_API_HANDLE_H
#define REDLOCK_API_HANDLE_H

#include "api/client.h"
#include "wire/mode.h"
#include "wire/question.h"

/* What is asked for, and for whom: the owner's bytes, length 0 for none. */
typedef struct wanted {
    mode as;
    const char *owner;
    size_t owner_length;
} wanted;

/* A handle for one acquisition, with an identity of its own, not held yet. It counts as a reference of the client. NULL
 * when out of memory. */
redlock_lock *handle_new(redlock_client *client, const void *name, size_t name_length, const wanted *what,
                         const redlock_options *options);

/* What the script is asked about this lock. */
question handle_question(const redlock_lock *lock, enum script_id id, int64_t first_ms);

bool handle_is_valid(const redlock_lock *lock, int64_t now_us);

/* What a release asks. */
question handle_release_question(const redlock_lock *lock, int64_t now_us);

/* What a release's answer means: one that finds nothing was taken from us, unless an earlier attempt of it may have
 * been the one. */
redlock_status handle_judge_release(const redlock_lock *lock, const request *asked);

/* It was done, but its time ran out before all who wait were served. */
bool handle_is_left_over(const request *asked);

/* The release is over, well or not: the handle is freed, or left to the keeper, to undo it or to serve who is left. */
void handle_end_release(redlock_client *client, redlock_lock *lock, redlock_status status, bool is_left_over);

/* The last entry lets go: as keeper_let_go, and counted. */
redlock_status handle_let_go(redlock_client *client, redlock_lock *lock, int64_t now_us);

/* Takes an entry back that came to nothing; if it was the last, the lock is given back in the background. */
void handle_leave(redlock_client *client, redlock_lock *lock);

/* An extension: what is asked on the exchange, and what its answer means. */
question handle_begin_extension(redlock_lock *lock, int64_t ttl_ms, exchange *asks);
redlock_status handle_judge_extend(redlock_lock *lock, const exchange *asks);

/* A semaphore's holds are shared for good. */
bool handle_has_permits(const redlock_lock *lock);

/* A conversion to the kind that the script is for: prepares the exchange, on which the question returned is to be
 * asked, so that it is asked again for as long as the version was another one; and what the last answer means. */
question handle_begin_conversion(redlock_lock *lock, enum script_id id, exchange *asks);
redlock_status handle_judge_conversion(redlock_lock *lock, enum script_id id, const request *asked);

#endif
