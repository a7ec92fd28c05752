/* SPDX-License-Identifier: MIT
 * A worker process: this program once more, by exec, so that nothing of the campaign's threads is
 * in it.
 *
 *     <program> worker <number in the roster> <descriptor of the ledger> <uri> <seed> */
#ifndef REDLOCK_TESTS_FAULTS_WORKER_H
#define REDLOCK_TESTS_FAULTS_WORKER_H

#include "faults/visit.h"

/* The ACL user that workers are. */
#define WORKER_USER "worker"
#define WORKER_PASSWORD "secret"

enum { WORKER_LINGER_MS = 1000, WORKER_TIMEOUT_MS = 300 };

typedef struct worker {
    ledger *ledger;
    const worker_role *role;
    redlock_client *client;
    visit visits[SEATS]; /* as many as it has seats */
} worker;

int worker_main(char **argv);

/* Until told to go home. */
void worker_block(worker *self);
void worker_turn(worker *self);

void worker_pass(int64_t span_us);

#endif
