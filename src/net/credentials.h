/* SPDX-License-Identifier: MIT
 * User and password as the user's callback hands them over for one greeting: texts of the client's
 * memory, which live until AUTH was written and are overwritten then. Any thread; each connection
 * that is made has its own. */
#ifndef REDLOCK_NET_CREDENTIALS_H
#define REDLOCK_NET_CREDENTIALS_H

#include <stdbool.h>

#include <redlock/redlock.h>

#include "host/memory.h"

/* Where they come from. */
typedef struct credentials_source {
    redlock_credentials_fn *ask; /* NULL: nowhere */
    void *arg;
} credentials_source;

struct redlock_credentials {
    const memory *from;
    char *user, *password; /* NULL: not given */
    redlock_status status; /* REDLOCK_OK: they were handed over */
    const char *why;       /* they were not */
};

/* Asks for them. Not REDLOCK_OK: there are none, and `why` has one printable line. Either way they
 * are to be dropped. */
redlock_status credentials_ask(redlock_credentials *out, const credentials_source *source,
                               bool was_refused, const memory *from, redlock_detail *why);

/* See redlock_credentials_set. */
redlock_status credentials_take(redlock_credentials *self, const char *user, const char *password);

void credentials_drop(redlock_credentials *self);

/* Is this thread inside a callback that is being asked? */
bool credentials_are_asked_for(void);

#endif
