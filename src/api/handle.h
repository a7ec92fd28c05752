/* SPDX-License-Identifier: MIT
 * The lock handle: how it is made, what it asks, what it tells. Private to the api. */
#ifndef REDLOCK_API_HANDLE_H
#define REDLOCK_API_HANDLE_H

#include "api/client.h"
#include "wire/mode.h"
#include "wire/question.h"

/* A handle for one acquisition, with an identity of its own, not held yet. It counts as a reference of the client. NULL when out of
 * memory. */
redlock_lock *handle_new(redlock_client *client, const void *name, size_t name_length, const mode *as,
                         const redlock_options *options);

/* What the script is asked about this lock. */
question handle_question(const redlock_lock *lock, enum script_id id, int64_t first_ms);

bool handle_is_valid(const redlock_lock *lock, int64_t now_us);

#endif
