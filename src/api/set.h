/* SPDX-License-Identifier: MIT
 * A set of locks: how it is made, and what is done with all of them. Private to the api. */
#ifndef REDLOCK_API_SET_H
#define REDLOCK_API_SET_H

#include "api/acquisition.h"

typedef struct set_entry {
    redlock_name_bytes name; /* while the set is being acquired */
    size_t index;            /* in the caller's order */
    redlock_lock *lock;      /* NULL: it is not taken yet */
} set_entry;

struct redlock_set {
    memory from;
    _Atomic unsigned users; /* who has it; and who hands it out, meanwhile */
    size_t count;
    act *acts;           /* room for one for each */
    set_entry entries[]; /* in the order of acquisition */
};

/* Of the names, which are to stay where they are until the set is acquired. REDLOCK_OK,
 * REDLOCK_ERR_NAME, REDLOCK_ERR_ARGUMENT, REDLOCK_ERR_MEMORY. */
redlock_status set_new(redlock_client *client, const redlock_name_bytes *names, size_t count,
                       redlock_set **out);
void set_free(redlock_set *self);

/* With which options each is taken: renewed until all are there, for however long that takes, as
 * what was taken first must not run out meanwhile; and nobody hears of a loss or a risk before they
 * hear of the set. */
redlock_options set_terms(const redlock_options *o);

/* All are taken. Prepares to extend those that have no whole lease; so many in `acts`. */
size_t set_prepare_extensions(redlock_set *self);

/* They were extended: from here on each lives by the caller's own terms. REDLOCK_OK: it stays,
 * whatever its user does to it, until set_introduced, and nobody is told of its locks before;
 * REDLOCK_LOST or REDLOCK_ERR_CLOSED: nobody will be told of them. */
redlock_status set_introduce(redlock_set *self, const redlock_options *o);
void set_introduced(redlock_client *client, redlock_set *self);

/* Prepares to release those that are taken, the last one first; so many in `acts`. */
size_t set_prepare_releases(redlock_set *self);

/* Gives those that are taken back in the background. */
void set_leave(redlock_client *client, redlock_set *self);

/* Is that a question for a set? REDLOCK_OK or REDLOCK_ERR_ARGUMENT; the options are copied. */
redlock_status set_check(const redlock_client *client, const redlock_name_bytes *names,
                         size_t count, const redlock_options *options, redlock_options *o);

#endif
