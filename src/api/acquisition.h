/* SPDX-License-Identifier: MIT
 * What the blocking and the asynchronous acquire have in common. Private to the api. */
#ifndef REDLOCK_API_ACQUISITION_H
#define REDLOCK_API_ACQUISITION_H

#include "api/act.h"
#include "engine/acquire.h"
#include "lane/lane.h"

/* Fills in the defaults. REDLOCK_OK, or what is wrong with the options. */
redlock_status acquisition_check(redlock_options *o);

wanted acquisition_wanted(const redlock_options *o);

/* The hold of the same owner, entered once more; NULL when there is none. */
redlock_lock *acquisition_enter_again(redlock_client *client, const void *name, size_t name_length,
                                      const wanted *what);

acquire_terms acquisition_terms(const redlock_client *client, const redlock_lock *lock,
                                const redlock_options *o, const limits *within);

/* The question, and the inbox that it points to. */
question acquisition_question(redlock_client *client, redlock_lock *lock, const redlock_options *o,
                              const lane *on, char inbox_field[INBOX_SIZE]);

/* The question that undoes it, with the same inbox. */
question acquisition_undo(const redlock_client *client, const question *asked);

void acquisition_count(redlock_client *client, const acquire *op, int64_t waited_us);

/* What the acquisition came to: a held lock, or one that is undone, or nothing. undo_is_behind: it
 * was undone behind its question, and counted. */
redlock_status acquisition_settle(redlock_client *client, redlock_lock *lock, const acquire *op,
                                  const redlock_options *o, bool undo_is_behind, int64_t now_us);

/* The blocking acquire, on a thread that may block. `within` NULL: by its own wait_ms; a set has
 * one for all. */
redlock_status acquisition_take(redlock_client *client, const void *name, size_t name_length,
                                redlock_options *o, limits *within, redlock_lock **lock);

#endif
