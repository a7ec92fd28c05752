/* SPDX-License-Identifier: MIT
 * Every state is kept as a fingerprint of 64 bits, its parent and the move that led to it; whole
 * worlds only while they wait. With n states two of them are taken for one with a probability of
 * about n * n / 2^65: 10^-5 for 20 millions. */
#include "explore/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct node {
    uint64_t print;
    uint32_t parent;
    uint16_t move;
} node;

typedef struct walk {
    node *nodes;
    uint32_t *table; /* open addressing; 0: empty, else the number of a node and 1 */
    world *waiting;  /* a ring */
    size_t room, table_size, ring_size, first, last;
    findings found;
    uint32_t at;   /* whose moves are looked at */
    uint16_t move; /* of them */
    uint32_t root;
    bool is_over;
} walk;

const char *fault;

void found(const char *what)
{
    if (fault == NULL) fault = what;
}

static uint64_t print_of(const world *w)
{
    const unsigned char *at = (const unsigned char *)w;
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i + 8 <= sizeof *w; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    return h;
}

static bool is_new(walk *self, uint64_t print)
{
    size_t i = print % self->table_size;
    while (self->table[i] != 0) {
        if (self->nodes[self->table[i] - 1].print == print) return false;
        i = (i + 1) % self->table_size;
    }
    self->table[i] = (uint32_t)self->found.states + 1;
    return true;
}

static void queue(walk *self, const world *w)
{
    self->waiting[self->last] = *w;
    self->last = (self->last + 1) % self->ring_size;
}

/* ---- The way to a fault: its moves are made again, from the beginning ---- */

enum { WAY_MOST = 256 };

typedef struct retrace {
    uint16_t wanted, move;
    world reached;
    char how[80];
} retrace;

static void note_reached(void *arg, const world *next, const char *how)
{
    retrace *self = arg;
    if (self->move++ != self->wanted) return;
    self->reached = *next;
    snprintf(self->how, sizeof self->how, "%s", how);
}

static void tell_way(walk *self, const world *begin, const char *last)
{
    uint16_t moves[WAY_MOST];
    int count = 0;
    for (uint32_t at = self->at; at != self->root && count < WAY_MOST; at = self->nodes[at].parent)
        moves[count++] = self->nodes[at].move;
    const char *kept = fault;
    size_t used = 0;
    retrace again = {.reached = *begin};
    while (count-- > 0 && used < sizeof self->found.way) {
        world from = again.reached;
        again.wanted = moves[count];
        again.move = 0;
        moves_each(&from, note_reached, &again);
        used += (size_t)snprintf(self->found.way + used, sizeof self->found.way - used, "    %s\n",
                                 again.how);
    }
    if (used < sizeof self->found.way)
        snprintf(self->found.way + used, sizeof self->found.way - used, "    %s\n  %s\n", last,
                 kept);
    fault = kept;
}

/* ---- The walk ---- */

static world beginning;

static void visit(void *arg, const world *next, const char *how)
{
    walk *self = arg;
    uint16_t move = self->move++;
    if (self->is_over) return;
    self->found.transitions++;
    if (fault != NULL) {
        self->found.faults++;
        self->found.what = fault;
        self->is_over = true;
        tell_way(self, &beginning, how);
        return;
    }
    if (self->found.states == self->room) {
        self->found.is_complete = false;
        self->is_over = true;
        return;
    }
    uint64_t print = print_of(next);
    if (!is_new(self, print)) return;
    self->nodes[self->found.states++] = (node){print, self->at, move};
    queue(self, next);
}

static world begin(const bounds *within, uint8_t kind)
{
    world w;
    memset(&w, 0, sizeof w);
    w.calls = within->calls;
    w.others = within->others;
    w.lapses = within->lapses;
    w.closes = within->closes;
    w.forces = within->forces;
    w.losses = within->losses;
    w.minted = w.server.fence = 1;
    w.askers[FIRST] = (asker){.phase = SENT, .attempts = 1, .asks = {.act = ACQUIRE, .kind = kind}};
    if (keeps(RULE_A_CALL_PINS)) w.hold.pins = 1;
    return w;
}

static void look_at(walk *self)
{
    world from = self->waiting[self->first];
    self->first = (self->first + 1) % self->ring_size;
    self->move = 0;
    moves_each(&from, visit, self);
    if (self->is_over || comes_to_rest(&from)) return;
    found("it never comes to rest");
    visit(self, &from, "(everything arrives, and the user lets go)");
}

static void walk_from(walk *self, const world *root)
{
    beginning = *root;
    self->at = self->root = (uint32_t)self->found.states;
    self->nodes[self->found.states++] = (node){print_of(root), self->root, 0};
    queue(self, root);
    for (; self->at < self->found.states && !self->is_over; self->at++) look_at(self);
}

findings search(const bounds *within, size_t room)
{
    walk self = {.room = room, .ring_size = room, .table_size = 2 * room + 1};
    self.nodes = calloc(self.room, sizeof *self.nodes);
    self.table = calloc(self.table_size, sizeof *self.table);
    self.waiting = calloc(self.ring_size, sizeof *self.waiting);
    self.found.is_complete = self.nodes != NULL && self.table != NULL && self.waiting != NULL;
    self.is_over = !self.found.is_complete;
    fault = NULL;
    for (uint8_t kind = SHARED; kind <= EXCLUSIVE && !self.is_over; kind++) {
        const world root = begin(within, kind);
        walk_from(&self, &root);
    }
    free(self.nodes);
    free(self.table);
    free(self.waiting);
    return self.found;
}
