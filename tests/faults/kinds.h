/* SPDX-License-Identifier: MIT
 * The kinds of faults. Each begins, lasts a while and is healed, in one function. */
#ifndef REDLOCK_TESTS_FAULTS_KINDS_H
#define REDLOCK_TESTS_FAULTS_KINDS_H

#include "faults/arena.h"

typedef struct fault_kind {
    const char *name;
    void (*inject)(arena *where);
} fault_kind;

typedef struct fault_kinds {
    const fault_kind *first;
    int count;
} fault_kinds;

/* Of processes, servers and networks: no data is lost. */
fault_kinds kinds_of_workers(void);
fault_kinds kinds_of_server(void);
fault_kinds kinds_of_network(void);
/* After which the server no longer knows what it granted. */
fault_kinds kinds_of_loss(void);

#endif
