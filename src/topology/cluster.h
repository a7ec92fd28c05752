/* SPDX-License-Identifier: MIT
 * The map of a Redis Cluster: its nodes, and which of them owns each slot.
 *
 *     MOVED                  says it of one slot, and that the table is out of date
 *     CLUSTER SLOTS          says it of all slots that it names; what it does not name stays
 *     a node's own answer    says that it owns the slot that it was asked about
 *
 * Every entry stands alone, and the servers correct what is wrong: so an old table, or half of one,
 * does no harm but a redirect. Nodes are added when they are first heard of, and stay.
 *
 * Any thread. To look something up takes atomics alone; a mutex is for whoever adds a node. */
#ifndef REDLOCK_TOPOLOGY_CLUSTER_H
#define REDLOCK_TOPOLOGY_CLUSTER_H

#include "host/memory.h"
#include "host/mutex.h"
#include "host/wake.h"
#include "topology/node.h"
#include "wire/key.h"
#include "wire/reply.h"

enum { CLUSTER_NODES_MOST = 1000 };

/* The elements of the largest table that servers make: each slot a range of its own. */
enum { CLUSTER_TABLE_MOST = 8 * KEY_SLOTS + 1 };

typedef struct cluster {
    const memory *memory;
    const outage *outage; /* how that of a new node begins */
    mutex mutex;
    node *_Atomic nodes[CLUSTER_NODES_MOST];
    _Atomic unsigned count;
    _Atomic uint16_t owners[KEY_SLOTS]; /* the number of a node, and 1; 0: it is not known */
    _Atomic unsigned moves;             /* how often a slot went from one owner to another */
    const wake *wake;                   /* raised then; NULL: nobody has to know */
    _Atomic uint16_t suspect;           /* the number of the node that failed last, and 1 */
    _Atomic bool is_outdated;           /* something was said that the table does not know */
    _Atomic bool is_refused;            /* the latest one was, for good */
    _Atomic bool is_asked;              /* a table is on its way */
    _Atomic int64_t asked_us;           /* when the latest was asked for; 0: never */
} cluster;

void cluster_init(cluster *self, const memory *from, const outage *begins);
void cluster_destroy(cluster *self);

/* The node at that address; it is added if there is none. NULL: no memory, or there are too many.
 */
node *cluster_node(cluster *self, const endpoint *server);

/* The same for an address as the node `by` tells it: without a host it means itself, and in all
 * else the other is reached as it is. */
node *cluster_node_told(cluster *self, const node *by, const char *host, uint16_t port);

/* The node of that number. */
node *cluster_numbered(const cluster *self, unsigned number);

/* Who owns the slot, as far as is known; NULL: it is not. */
node *cluster_owner(const cluster *self, unsigned slot);
void cluster_owns(cluster *self, const node *owner, unsigned slot);

/* Another one, as good as any, and each in its turn. The same, where there is no other. */
node *cluster_other(const cluster *self, const node *than);

/* It does not answer: whoever looks for the table asks another one, and soon. */
void cluster_suspect(cluster *self, const node *silent);
bool cluster_is_suspect(const cluster *self, const node *which);

/* ---- The table ---- */

/* Something does not agree with it: it is asked for anew, though not more often than servers that
 * are in trouble can bear; and where the user may not ask for it, once in a minute. */
void cluster_doubt(cluster *self);
bool cluster_is_doubted(const cluster *self);

/* For whoever depends on it and hears nothing: a table that is older than a second is in doubt.
 * When that is next is returned. */
int64_t cluster_watch(cluster *self, int64_t now_us);

/* Is it to be asked for now? Then whoever asked this asks, and tells what came of it: one table is
 * on its way at a time. */
bool cluster_is_to_be_asked(cluster *self, int64_t now_us);

/* The answer to CLUSTER SLOTS of the node `asked`; NULL: there is none. What cannot be read is left
 * out. */
void cluster_told(cluster *self, const node *asked, const reply *table);

#endif
