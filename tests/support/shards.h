/* SPDX-License-Identifier: MIT
 * A cluster of the test's own: servers (server.h) that share the slots among them, on ports of
 * 127.0.0.1. It begins within a quarter of a second and not in two: shards.c says how. What does
 * not come to pass in time fails the test with the log of the server that it was asked of.
 *
 * CLUSTER SLOTS names a replica only when it has told that it has read something, seconds later.
 * Its servers are killed, frozen, thawed and restarted as any other. One that was restarted is
 * empty, but knows the cluster. */
#ifndef REDLOCK_TESTS_SHARDS_H
#define REDLOCK_TESTS_SHARDS_H

#include <stdbool.h>

#include "support/server.h"

typedef struct shards shards;

/* Primaries that have an equal share of the slots each, in their order, and `replicas_each`
 * replicas of each of them: all say that the cluster is whole, and the replicas are linked.
 * `arguments` are further words for each server, as in server.h; may be NULL. Without a
 * "--cluster-node-timeout" among them it is 5 s. */
shards *shards_start(int primaries, int replicas_each, const char *arguments);
void shards_stop(shards *self); /* NULL is allowed */

/* redis+cluster://127.0.0.1:port,...: those that were primaries in the beginning. */
const char *shards_uri(const shards *self);

/* Servers are numbered from 0: the primaries first, then a replica of each, then a second of each.
 * So they began; a failover changes no number. */
int shards_size(const shards *self);
server *shards_server(const shards *self, int index);

/* What the servers say of themselves. Whoever is dead or frozen is not asked. */
int shards_owner(const shards *self, unsigned slot); /* -1: nobody; of two the later one */
bool shards_is_primary(const shards *self, int index);

/* A slot moves from its owner to another primary: it is on its way; its keys go, all that are there
 * now; it has arrived, and every primary knows. */
void shards_begin_move(shards *self, unsigned slot, int to);
void shards_move_keys(shards *self, unsigned slot);
void shards_end_move(shards *self, unsigned slot);
void shards_move(shards *self, unsigned slot, int to); /* all of it */

/* A replica takes its primary's place, which lives and hands it over; until all who are awake know,
 * and whom it replaced is its replica. That is a matter of milliseconds; but the same replica
 * stands again no earlier than after four node timeouts, and 4 s. */
void shards_fail_over(shards *self, int replica);

#endif
