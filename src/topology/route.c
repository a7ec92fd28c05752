/* SPDX-License-Identifier: MIT
 * The route of a single server, and that of a cluster. */
#include "topology/route.h"

#include <stdio.h>
#include <string.h>

#include "wire/redirect.h"

/* So many redirects are followed in a row: nodes that contradict each other agree in time. */
enum { HOPS_MOST = 5 };

static const way by_map = {0, false, 0};

int route_slot(const route *self, const char *key, size_t key_length)
{
    return self->cluster == NULL ? NO_SLOT : key_slot(key, key_length);
}

node *route_next(const route *self, const way *by, int slot)
{
    bool is_by_map = self->cluster == NULL || by->to == 0;
    return is_by_map ? route_owner(self, slot) : cluster_numbered(self->cluster, by->to - 1u);
}

node *route_owner(const route *self, int slot)
{
    if (self->cluster == NULL) return self->home;
    node *owner = cluster_owner(self->cluster, (unsigned)slot);
    return owner != NULL ? owner : self->home;
}

node *route_numbered(const route *self, unsigned number)
{
    return self->cluster == NULL ? self->home : cluster_numbered(self->cluster, number);
}

void route_suspect(route *self, const node *silent)
{
    if (self->cluster != NULL) cluster_suspect(self->cluster, silent);
}

void route_failed(route *self, way *by, const node *asked)
{
    if (self->cluster == NULL) return;
    route_suspect(self, asked);
    *by = (way){.to = (uint16_t)(cluster_other(self->cluster, asked)->number + 1)};
}

/* ---- Redirects -------------------------------------------------------------------------------*/

/* Only a cluster redirects: whoever took it for a single server hears what to use. */
static void name_the_cluster(answer *from)
{
    char told[ANSWER_TEXT];
    memcpy(told, from->text, sizeof told);
    snprintf(from->text, sizeof from->text,
             "this server is part of a cluster: use redis+cluster:// (%.60s)", told);
}

static void follow(route *self, way *by, const node *asked, answer *from, const reply *raw)
{
    redirect told;
    node *target = NULL;
    cluster_doubt(self->cluster);
    if (by->hops < HOPS_MOST && redirect_read(&told, raw->text, raw->length))
        target = cluster_node_told(self->cluster, asked, told.host, told.port);
    if (target == NULL) {
        from->kind = ANSWER_TRANSIENT;
        *by = by_map;
        return;
    }
    from->kind = ANSWER_ELSEWHERE;
    by->hops++;
    by->is_asking = told.is_ask;
    by->to = told.is_ask ? (uint16_t)(target->number + 1) : 0;
    if (!told.is_ask) cluster_owns(self->cluster, target, told.slot);
}

/* ---- Answers ---------------------------------------------------------------------------------*/

/* Who answers elsewhere is the owner. But not whoever was asked by the map: that may have changed
 * since, and then it was the former one. */
static bool tells_owner(const route *self, const way *by, int slot)
{
    if (by->to != 0) return !by->is_asking;
    return cluster_owner(self->cluster, (unsigned)slot) == NULL;
}

static void learn_of_cluster(route *self, way *by, int slot, const node *asked, answer *from,
                             const reply *raw)
{
    switch (from->kind) {
    case ANSWER_REDIRECT: follow(self, by, asked, from, raw); return;
    case ANSWER_UNKNOWN_SCRIPT: return; /* the same once more */
    case ANSWER_CUT:
    case ANSWER_MISPLACED: route_failed(self, by, asked); return;
    case ANSWER_CODE:
        if (tells_owner(self, by, slot)) cluster_owns(self->cluster, asked, (unsigned)slot);
        break;
    default: cluster_doubt(self->cluster);
    }
    *by = by_map;
}

void route_learn(route *self, way *by, int slot, const node *asked, answer *from, const reply *raw)
{
    if (self->cluster != NULL) learn_of_cluster(self, by, slot, asked, from, raw);
    else if (from->kind == ANSWER_REDIRECT) name_the_cluster(from);
}
