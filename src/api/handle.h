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

/* A handle for one acquisition, with an identity of its own, not held yet. It counts as a reference
 * of the client. NULL when out of memory. */
redlock_lock *handle_new(redlock_client *client, const void *name, size_t name_length,
                         const wanted *what, const redlock_options *options);

/* Nobody is told of it, until it is introduced: it is not handed out yet. */
void handle_hush(redlock_lock *lock);

/* It is handed out: who is to be told of it from now on, as keeper_introduce has it. On REDLOCK_OK
 * the handle stays, whatever its user does to it, until handle_introduced: when the user has heard
 * of the lock. */
redlock_status handle_introduce(redlock_lock *lock, const redlock_options *options);
void handle_introduced(redlock_client *client, redlock_lock *lock);

/* What the script is asked about this lock. */
question handle_question(const redlock_lock *lock, enum script_id id, int64_t first_ms);

bool handle_is_valid(const redlock_lock *lock, int64_t now_us);

/* Is it held? REDLOCK_OK, REDLOCK_LOST, or REDLOCK_ERR_CLOSED when the client's close took it. */
redlock_status handle_status(const redlock_lock *lock);

/* The last entry lets go: as keeper_let_go, and counted. */
redlock_status handle_let_go(redlock_client *client, redlock_lock *lock, bool waits,
                             int64_t now_us);

/* Takes an entry back that came to nothing; if it was the last, the lock is given back in the
 * background. */
void handle_leave(redlock_client *client, redlock_lock *lock);

#endif
