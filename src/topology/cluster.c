/* SPDX-License-Identifier: MIT
 * The map of a cluster. */
#include "topology/cluster.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "wire/answer.h"
#include "wire/slots.h"

/* A table is asked for this often at the most. */
enum { TABLE_EVERY_US = 100000 };

/* Where it is refused, and no patience helps. */
enum { REFUSED_TABLE_EVERY_US = 60 * 1000000 };

/* And this often at the least, while somebody depends on it. */
enum { WATCHED_EVERY_US = 1000000 };

/* A node with its address. */
typedef struct placed_node {
    node is; /* first */
    endpoint server;
} placed_node;

void cluster_init(cluster *self, const memory *from, const outage *begins)
{
    self->memory = from;
    self->outage = begins;
    mutex_init(&self->mutex);
    atomic_store(&self->is_outdated, true);
}

void cluster_destroy(cluster *self)
{
    unsigned count = atomic_load(&self->count);
    for (unsigned i = 0; i < count; i++) memory_free(self->memory, atomic_load(&self->nodes[i]));
    mutex_destroy(&self->mutex);
}

/* ---- Nodes -----------------------------------------------------------------------------------*/

node *cluster_numbered(const cluster *self, unsigned number)
{
    assert(number < atomic_load(&self->count));
    return atomic_load_explicit(&self->nodes[number], memory_order_acquire);
}

static node *find_node(const cluster *self, const endpoint *server)
{
    unsigned count = atomic_load(&self->count);
    for (unsigned i = 0; i < count; i++) {
        node *each = cluster_numbered(self, i);
        if (each->server->port == server->port && strcmp(each->server->host, server->host) == 0)
            return each;
    }
    return NULL;
}

static node *add_node(cluster *self, const endpoint *server)
{
    assert(mutex_is_mine(&self->mutex));
    unsigned count = atomic_load(&self->count);
    placed_node *made = count < CLUSTER_NODES_MOST ? memory_new(self->memory, sizeof *made) : NULL;
    if (made == NULL) return NULL;
    made->server = *server;
    made->is.server = &made->server;
    made->is.number = (uint16_t)count;
    made->is.outage.stakes = self->outage->stakes;
    made->is.outage.stakes_arg = self->outage->stakes_arg;
    atomic_store_explicit(&self->nodes[count], &made->is, memory_order_release);
    atomic_store(&self->count, count + 1);
    return &made->is;
}

node *cluster_node(cluster *self, const endpoint *server)
{
    node *found = find_node(self, server);
    if (found != NULL) return found;
    mutex_lock(&self->mutex);
    found = find_node(self, server);
    if (found == NULL) found = add_node(self, server);
    mutex_unlock(&self->mutex);
    return found;
}

node *cluster_node_told(cluster *self, const node *by, const char *host, uint16_t port)
{
    endpoint server = *by->server;
    if (host[0] != '\0') snprintf(server.host, sizeof server.host, "%s", host);
    server.port = port;
    return cluster_node(self, &server);
}

node *cluster_other(const cluster *self, const node *than)
{
    return cluster_numbered(self, (than->number + 1u) % atomic_load(&self->count));
}

/* ---- Slots -----------------------------------------------------------------------------------*/

node *cluster_owner(const cluster *self, unsigned slot)
{
    assert(slot < KEY_SLOTS);
    unsigned known = atomic_load_explicit(&self->owners[slot], memory_order_relaxed);
    return known == 0 ? NULL : cluster_numbered(self, known - 1);
}

/* True: another one owned it before. */
static bool set_owner(cluster *self, const node *owner, unsigned slot)
{
    uint16_t number = (uint16_t)(owner->number + 1);
    if (atomic_load_explicit(&self->owners[slot], memory_order_relaxed) == number) return false;
    return atomic_exchange_explicit(&self->owners[slot], number, memory_order_relaxed) != 0;
}

static void tell_move(cluster *self)
{
    atomic_fetch_add(&self->moves, 1);
    if (self->wake != NULL) wake_raise(self->wake);
}

void cluster_owns(cluster *self, const node *owner, unsigned slot)
{
    assert(slot < KEY_SLOTS);
    if (set_owner(self, owner, slot)) tell_move(self);
}

/* ---- The table -------------------------------------------------------------------------------*/

void cluster_doubt(cluster *self) { atomic_store(&self->is_outdated, true); }

bool cluster_is_doubted(const cluster *self)
{
    return atomic_load_explicit(&self->is_outdated, memory_order_relaxed);
}

void cluster_suspect(cluster *self, const node *silent)
{
    atomic_store(&self->suspect, (uint16_t)(silent->number + 1));
    cluster_doubt(self);
}

bool cluster_is_suspect(const cluster *self, const node *which)
{
    return atomic_load(&self->suspect) == which->number + 1;
}

int64_t cluster_watch(cluster *self, int64_t now_us)
{
    int64_t due_us = atomic_load(&self->asked_us) + WATCHED_EVERY_US;
    if (now_us < due_us) return due_us;
    cluster_doubt(self);
    return now_us + WATCHED_EVERY_US;
}

bool cluster_is_to_be_asked(cluster *self, int64_t now_us)
{
    if (!cluster_is_doubted(self)) return false;
    int64_t asked_us = atomic_load(&self->asked_us);
    int64_t every_us = atomic_load(&self->is_refused) ? REFUSED_TABLE_EVERY_US : TABLE_EVERY_US;
    if (asked_us != 0 && now_us < asked_us + every_us) return false;
    if (atomic_exchange(&self->is_asked, true)) return false;
    atomic_store(&self->asked_us, now_us);
    /* What is said from here on is perhaps not in it. */
    atomic_store(&self->is_outdated, false);
    return true;
}

/* True: a slot of it has moved. */
static bool take_range(cluster *self, const node *asked, const slot_range *told)
{
    bool has_moved = false;
    const node *owner = cluster_node_told(self, asked, told->host, told->port);
    for (unsigned slot = told->first; owner != NULL && slot <= told->last; slot++)
        has_moved |= set_owner(self, owner, slot);
    return has_moved;
}

static bool is_for_good(const reply *refusal)
{
    return refusal != NULL && refusal->kind == REPLY_ERROR &&
           !answer_may_pass(answer_error_kind(refusal->text, refusal->length));
}

void cluster_told(cluster *self, const node *asked, const reply *table)
{
    bool is_table = table != NULL && slots_is_table(table);
    bool has_moved = false;
    for (size_t i = 0; is_table && i < table->count; i++) {
        slot_range told;
        if (slots_read(&told, table, i)) has_moved |= take_range(self, asked, &told);
    }
    if (has_moved) tell_move(self);
    if (!is_table) cluster_doubt(self);
    atomic_store(&self->is_refused, is_for_good(table));
    atomic_store(&self->is_asked, false);
}
