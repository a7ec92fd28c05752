/* SPDX-License-Identifier: MIT
 * One server, as all connections of a client know it: where it is, and what they learned of it.
 *
 * It is added when it is first heard of and lives as long as its client, so that a pointer to it
 * needs no lock. Any thread: what is learned is kept in atomics. */
#ifndef REDLOCK_TOPOLOGY_NODE_H
#define REDLOCK_TOPOLOGY_NODE_H

#include <stdatomic.h>
#include <stdint.h>

#include "topology/outage.h"
#include "topology/endpoint.h"

typedef struct node {
    const endpoint *server;   /* outlives it */
    uint16_t number;          /* in its cluster, if there is one */
    _Atomic uint64_t served;  /* connections on which a call was answered, and not with an error */
    _Atomic uint64_t address; /* a mark of the one that the name led to last; 0: none */
    _Atomic int loading;      /* what is known of SCRIPT LOAD there: see lane/loading.c */
    outage outage;
} node;

#endif
