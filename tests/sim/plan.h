/* SPDX-License-Identifier: MIT
 * A schedule, before it is run: who does what, and what goes wrong when. It comes from one seed, and can be
 * shrunk: a client, an job or a fault is left out by its mark.
 *
 * Rule: the plan is all that the run reads, besides the streams of chance of its seed. */
#ifndef REDLOCK_TESTS_SIM_PLAN_H
#define REDLOCK_TESTS_SIM_PLAN_H

#include <redlock/redlock.h>

#include "sim/dice.h"
#include "sim/machine.h"
#include "sim/network.h"

enum { NAMES_MOST = 2, JOBS_MOST = 4, FAULTS_MOST = 8 };

enum midway { MIDWAY_NOTHING, MIDWAY_EXTEND, MIDWAY_DOWNGRADE, MIDWAY_UPGRADE };

typedef struct job {
    bool is_left_out;
    int name;
    int64_t think_us; /* before it */
    redlock_mode mode;
    int64_t ttl_ms, wait_ms, claim_ms, max_hold_ms;
    bool auto_renew, is_async;
    int64_t hold_us;
    enum midway midway;
} job;

typedef struct client_plan {
    bool is_left_out;
    int64_t offset_us, rate_ppm;
    int stall_permille;
    int64_t stall_most_us;
    int64_t timeout_ms, connect_timeout_ms, linger_ms;
    int job_count;
    job jobs[JOBS_MOST];
} client_plan;

#define FAULTS(X)                                                                                  \
    X(CUT, "cut") X(STOP, "stop") X(CRASH, "crash") X(CLOSE, "close") X(CANCEL, "cancel")          \
    X(KILL, "kill connections") X(RESTART, "restart") X(RESTART_EMPTY, "restart empty")            \
    X(FAILOVER, "failover") X(FLUSH, "script flush") X(FULL, "out of memory")                      \
    X(READ_ONLY, "read only") X(LOADING, "loading") X(FREEZE, "freeze") X(STEP, "clock step")

enum fault_kind {
#define FAULT_ENUM(kind, text) FAULT_##kind,
    FAULTS(FAULT_ENUM)
#undef FAULT_ENUM
    FAULT_KINDS
};

typedef struct fault {
    bool is_left_out;
    enum fault_kind kind;
    int client;      /* of CUT, STOP, CRASH, CLOSE, CANCEL */
    int64_t at_us, span_us;
    int64_t step_us; /* of STEP */
    uint64_t chance; /* seed of its details */
} fault;

typedef struct plan {
    uint64_t seed;
    bool is_calm; /* nothing goes wrong, and nothing is late */
    network_terms network;
    redlock_policy policy[NAMES_MOST];
    uint32_t permits[NAMES_MOST];
    int client_count;
    client_plan clients[MACHINES_MOST];
    int fault_count;
    fault faults[FAULTS_MOST];
} plan;

void plan_make(plan *self, uint64_t seed);
const char *fault_name(enum fault_kind kind);

/* Whether acknowledged writes may be lost, or leases end early: then fences only are promised. */
bool plan_breaks_leases(const plan *self);
/* When the last fault is over. */
int64_t plan_healed_us(const plan *self);
void plan_print(const plan *self);

#endif
