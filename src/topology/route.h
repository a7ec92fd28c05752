/* SPDX-License-Identifier: MIT
 * The route: which node is asked about a key, and what an answer teaches about that. Whoever asks
 * looks here before every attempt, and nowhere else, and tells every answer. Any thread.
 *
 * So far there is one node, which has every key. */
#ifndef REDLOCK_TOPOLOGY_ROUTE_H
#define REDLOCK_TOPOLOGY_ROUTE_H

#include "wire/answer.h"

struct node;

typedef struct route {
    struct node *home;
} route;

/* The node that is asked first, for want of anything better. */
static inline struct node *route_home(const route *self) { return self->home; }

/* The node that has the key. */
struct node *route_node(const route *self, const char *key, size_t key_length);

/* What came back when it was asked. Where a redirect leads nowhere, its text is made to say so. */
void route_learn(route *self, answer *from);

#endif
