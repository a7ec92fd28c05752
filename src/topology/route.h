/* SPDX-License-Identifier: MIT
 * The route: which node is asked about a slot, and what an answer teaches about that. Whoever asks
 * looks here before every attempt, and nowhere else, and tells every answer. Any thread.
 *
 * A single server has every key, and keys have no slot. In a cluster the map says who is asked; but
 * the next attempt of one question may have another way:
 *
 *                  MOVED: the map was wrong, and is right now
 *                 +------+
 *                 |      v         ASK: there, for this attempt, with ASKING before it
 *     answered <-- BY MAP -----------------------------------------------> ASKING
 *                  |  ^ ^                                                   |
 *       no answer, |  | +---------------------------------------------------+
 *      READONLY    |  |   anything but that the script is unknown
 *                  v  | an answer, MOVED
 *                 ELSEWHERE: another node, which knows more */
#ifndef REDLOCK_TOPOLOGY_ROUTE_H
#define REDLOCK_TOPOLOGY_ROUTE_H

#include "topology/cluster.h"
#include "wire/answer.h"
#include "wire/identity.h"

typedef struct route {
    node *home;       /* asked for want of anything better */
    cluster *cluster; /* NULL: the home has every key */
} route;

/* Where the next attempt of a question goes. All zero: where the map says. */
typedef struct way {
    uint16_t to; /* the number of a node, and 1; 0: by the map */
    bool is_asking;
    uint8_t hops; /* redirects in a row */
} way;

/* The node that is asked first, for want of anything better. */
static inline node *route_home(const route *self) { return self->home; }

/* The slot of a key; NO_SLOT: there are none. */
int route_slot(const route *self, const char *key, size_t key_length);

/* The node that has the slot, as far as is known. */
node *route_owner(const route *self, int slot);

/* The node that is asked next. */
node *route_next(const route *self, const way *by, int slot);

/* The node of that number. */
node *route_numbered(const route *self, unsigned number);

/* What came back when `asked` was asked: `raw`, or NULL, and how it was read. A redirect that is
 * followed becomes ANSWER_ELSEWHERE; one that is not, or leads nowhere, is told as what it means
 * for whoever asked. */
void route_learn(route *self, way *by, int slot, const node *asked, answer *from, const reply *raw);

/* It could not be asked at all. */
void route_failed(route *self, way *by, const node *asked);

/* Nor be heard. */
void route_suspect(route *self, const node *silent);

#endif
