/* SPDX-License-Identifier: MIT
 * Who works, and how: a worker is a process, and has one seat or, if it is asynchronous,
 * several. */
#ifndef REDLOCK_TESTS_FAULTS_ROSTER_H
#define REDLOCK_TESTS_FAULTS_ROSTER_H

#include "faults/ledger.h"

enum { WORKERS = 11 };

enum route { ROUTE_DIRECT, ROUTE_PROXY, ROUTE_PROXY_TCP };

/* What is asked for at a seat. */
typedef struct demand {
    unsigned names; /* any of these, as bits */
    redlock_mode mode;
    uint32_t permits;
    int64_t ttl_ms, wait_ms;
    bool auto_renew, is_reentrant;
} demand;

typedef struct worker_role {
    const char *title;
    enum route route;
    bool is_async;
    redlock_host host;
    bool is_mortal; /* is killed now and then; the others live as long as the campaign */
    int first_seat, seats;
} worker_role;

extern const worker_role roster[WORKERS];
extern const demand demands[SEATS];

/* Whose seat is number so and so? */
const worker_role *role_of(int number);

#endif
