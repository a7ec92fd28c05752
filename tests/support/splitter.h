/* SPDX-License-Identifier: MIT
 * One address over two servers, as a balancer or a name with two addresses has it: what a
 * connection asks first decides where it leads. Commands lead to the one, inboxes (SUBSCRIBE) to
 * the other. */
#ifndef REDLOCK_TESTS_SPLITTER_H
#define REDLOCK_TESTS_SPLITTER_H

#include "support/server.h"

typedef struct splitter splitter;

/* Listens on a Unix socket in the first server's directory; is stopped before the servers. */
splitter *splitter_start(server *commands, server *inboxes);
void splitter_stop(splitter *self); /* NULL is allowed */

const char *splitter_uri(const splitter *self); /* unix:///... */

/* Of the inboxes that come from now on, only so many lead to the other server; all until this is
 * said. */
void splitter_lead_astray(splitter *self, int inboxes);

#endif
