/* SPDX-License-Identifier: MIT
 * Connections between the machines and the node (the simulated server). Bytes of one connection
 * keep their order; between connections anything may overtake anything.
 *
 *   machine                      node
 *      send ----- delay -------> node_receive     when it is cut: lost, or still executed
 *   receive <---- delay -------- cable_answer     when it is cut: lost
 *
 * What is put off arrives minutes after its connection was given up, as from a kernel that sends
 * again, or a proxy: in order, but everything else has overtaken it. A node that was busy serves
 * the connections in an order of its own.
 *
 * Each end learns by itself that the connection is gone: at once, late, or never. */
#ifndef REDLOCK_TESTS_SIM_WORLD_NETWORK_H
#define REDLOCK_TESTS_SIM_WORLD_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/dice.h"
#include "sim/server/keyspace.h"

enum { CABLES_MOST = 1024, CABLES_MANY = 64, CHANNEL_MOST = 120, CALL_MOST = 16 };

enum cable_state { CABLE_CONNECTING, CABLE_OPEN, CABLE_REFUSED };

typedef struct cable {
    int machine;
    enum cable_state state;  /* as the machine sees it */
    bool is_closed;          /* by the machine */
    bool is_reset, is_ended; /* the machine has learned: broken, or closed by the node */
    bool is_served;          /* the node has it */
    bool is_cut;             /* nothing that was sent comes back any more ... */
    bool loses_requests;     /* ... nor arrives */
    bool is_subscribed;      /* as the node has it */
    bool is_far;             /* it leads to the replica of a split address */
    bool is_unwelcome;       /* the node has too many: it says so, and ends it */
    bool is_kept_by_kernel; /* what was put off: an abortive close drops it, and it would not drop a
                               proxy's */
    int64_t up_us, down_us; /* when the latest bytes arrive */
    int64_t subscribed_us;
    int64_t late_until_us; /* until then nothing that is sent arrives */
    struct parcel *held_up,
        *held_up_last; /* what is put off, or a frozen node has not read, in order ... */
    int64_t
        turn_us; /* ... and how long after the node could they are read: its order, not theirs */
    size_t channel_length;
    char channel[CHANNEL_MOST];
    char *received; /* bytes that wait for the machine */
    size_t received_begin, received_end, received_size;
    char *request; /* bytes that the node has, of a command that is not whole */
    size_t request_length, request_size;
} cable;

typedef struct network_terms {
    int64_t base_us, jitter_us;
    int pieces_permille; /* how often a send or a receive takes a part of the bytes only */
    int spike_permille;
    int64_t spike_most_us;
    int repeat_permille; /* how often a request arrives a second time, as behind a proxy that tries
                            again */
    int64_t troubled_until_us; /* the end of spikes and repetitions */
} network_terms;

void network_begin(const network_terms *terms);
/* Every delay but a spike is shorter. */
int64_t network_delay_most_us(void);
/* After how long what just arrived on the cable arrives again; SIM_NEVER for not at all. */
int64_t network_repeats_after_us(const cable *on);
/* How many cables there have been, and one of them. */
int network_count(void);
cable *network_cable(int number);

/* ---- The machine's end ---- */
cable *cable_open(int machine);
size_t cable_send(cable *self, const char *bytes, size_t length);
size_t cable_receive(cable *self, char *bytes, size_t size);
static inline size_t cable_readable(const cable *self)
{
    return self->received_end - self->received_begin;
}
/* `is_abortive`: with SO_LINGER 0. */
void cable_close(cable *self, bool is_abortive);

/* ---- The node's end ---- */
void cable_answer(cable *self, const char *bytes, size_t length);
/* The node closes it: what it has answered still arrives. */
void cable_kill(cable *self);
/* The node is gone, with its end of the connection. */
void cable_drop(cable *self, int64_t machine_learns_us);

/* ---- Faults ---- */
typedef struct cut {
    bool loses_requests;
    int64_t machine_learns_us, node_learns_us; /* after so long, or SIM_NEVER */
} cut;
void cable_cut(cable *self, const cut *how);
/* As one that is cut; but what was sent and has not arrived does so at `until_us`, whatever became
 * of the connection. */
void cable_put_off(cable *self, int64_t until_us, bool is_kept_by_kernel);
/* The node has these bytes, and may not read them before that. */
void cable_hold_up(cable *self, const char *bytes, size_t length);

/* When something happened last that moves a machine's waits: a connection was made or broken; and
 * when one was broken, or its bytes were late. */
void network_moved(int machine);
int64_t network_moved_us(int machine);
void network_broke(int machine);
int64_t network_broke_us(int machine);
/* Until when bytes were late. */
int64_t network_late_us(int machine);
/* Does it have a subscription that works; does it believe in a connection that does not, or leads
 * elsewhere? */
bool network_is_subscribed(int machine);
bool network_is_deceived(int machine);

#endif
