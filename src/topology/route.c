/* SPDX-License-Identifier: MIT
 * The route of a single server. */
#include "topology/route.h"

#include <stdio.h>
#include <string.h>

struct node *route_node(const route *self, const char *key, size_t key_length)
{
    (void)key, (void)key_length;
    return self->home;
}

void route_learn(route *self, answer *from)
{
    (void)self;
    if (from->kind != ANSWER_REDIRECT) return;
    char redirect[ANSWER_TEXT];
    memcpy(redirect, from->text, sizeof redirect);
    snprintf(from->text, sizeof from->text,
             "this server is part of a cluster: use redis+cluster:// (%.60s)", redirect);
}
