/* SPDX-License-Identifier: MIT
 * A schedule, before it is run: who does what, and what goes wrong when. It comes from one seed,
 * and can be shrunk: a client, a job or a fault is left out by its mark.
 *
 * Rule: the plan is all that the run reads, besides the streams of chance of its seed. */
#ifndef REDLOCK_TESTS_SIM_SCHEDULES_PLAN_H
#define REDLOCK_TESTS_SIM_SCHEDULES_PLAN_H

#include <redlock/redlock.h>

#include "sim/dice.h"
#include "sim/machine/machine.h"
#include "sim/server/node.h"
#include "sim/world/network.h"
#include "wire/script.h"

enum {
    NAMES_MOST = 2,
    JOBS_MOST = 8,
    FAULTS_MOST = 8,
    OWNERS_MOST = 3,
    USERS_MOST = MACHINES_MOST * JOBS_MOST
};

/* What is done in the middle of a hold. */
enum midway { MIDWAY_NOTHING, MIDWAY_EXTEND, MIDWAY_ENTER, MIDWAY_DOWNGRADE, MIDWAY_UPGRADE };

/* By what a callback gives its lock back. RELEASE and CLEAR block, and are refused inside. */
enum door { DOOR_NONE, DOOR_ASYNC, DOOR_RELEASE, DOOR_CLEAR, DOOR_AUTO, DOOR_SCOPE, DOORS };

/* Of a set of both names, each lock has a user of its own: the second has the slot behind the
 * first, and no worker. */
enum part { PART_NONE, PART_FIRST, PART_SECOND };

typedef struct job {
    bool is_left_out;
    enum part part;
    int name;
    int64_t think_us; /* before it */
    redlock_mode mode;
    int64_t ttl_ms, wait_ms, claim_ms, max_hold_ms;
    bool auto_renew, is_async, is_reentrant, is_told; /* of the loss: on_lost */
    int64_t hold_us;
    enum midway midway;
    int conversions;       /* of DOWNGRADE and UPGRADE: so many in a row, to and fro */
    bool is_in_company;    /* another thread converts the same hold at the same time, the other way
                              about */
    int owner;             /* from 1 on: of several processes; 0: the thread */
    enum door inside;      /* through which the completion itself gives the lock back ... */
    enum door inside_loss; /* ... and on_lost */
} job;

typedef struct client_plan {
    bool is_left_out;
    int64_t offset_us, rate_ppm;
    int stall_permille;
    int64_t stall_most_us;
    int64_t timeout_ms, connect_timeout_ms, linger_ms;
    int max_connections;
    redlock_host host;
    bool asks_for_timeout; /* MANUAL: redlock_timeout_ms, besides the descriptor */
    int late_permille;     /* how often the thread of the loop is busy elsewhere before it turns
                              the client, or goes round again, ... */
    int64_t late_most_us;  /* ... and for how long */
    bool closes_inside;    /* where the fault CLOSE strikes, the next callback closes the client */
    bool is_parallel;      /* all jobs at once, each by a thread of its own; otherwise one after the
                              other */
    int job_count;
    job jobs[JOBS_MOST];
} client_plan;

#define FAULTS(X)                                                                                  \
    X(CUT, "cut")                                                                                  \
    X(MUTE, "lost answer of ")                                                                     \
    X(STOP, "stop")                                                                                \
    X(CRASH, "crash")                                                                              \
    X(CLOSE, "close")                                                                              \
    X(CANCEL, "cancel")                                                                            \
    X(KILL, "kill connections")                                                                    \
    X(RESTART, "restart")                                                                          \
    X(RESTART_EMPTY, "restart empty")                                                              \
    X(FAILOVER, "failover")                                                                        \
    X(FLUSH, "script flush")                                                                       \
    X(FULL, "out of memory")                                                                       \
    X(READ_ONLY, "read only")                                                                      \
    X(CROWDED, "too many clients")                                                                 \
    X(LOADING, "loading")                                                                          \
    X(FREEZE, "freeze")                                                                            \
    X(BUSY, "busy")                                                                                \
    X(STEP, "clock step")                                                                          \
    X(LATE, "late bytes")                                                                          \
    X(DEFER, "put off ")                                                                           \
    X(SPLIT, "split address")                                                                      \
    X(MATCH, "pattern subscriber")                                                                 \
    X(GHOSTS, "dead waiters")                                                                      \
    X(FORCE, "force release")

enum fault_kind {
#define FAULT_ENUM(kind, text) FAULT_##kind,
    FAULTS(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_KINDS
};

/* What a plan is rich in, since chance alone seldom brings it together. */
enum theme { THEME_NONE, THEME_CONVERSIONS, THEME_OWNERS, THEME_CROWD, THEME_LATE, THEMES };

typedef struct fault {
    bool is_left_out;
    enum fault_kind kind;
    int client; /* of CUT, MUTE, STOP, CRASH, CLOSE, CANCEL, LATE, DEFER, FORCE */
    int name;   /* of GHOSTS, FORCE */
    int count;  /* of GHOSTS */
    int64_t at_us, span_us;
    int64_t step_us; /* of STEP; of a FAILOVER, by how much the new clock is ahead; of a SPLIT, the
                        other's */
    enum script_id script; /* of MUTE and DEFER: from at_us on, the next one of the client is
                              carried out and not answered, or carried out span_us later */
    bool is_armed;
    uint64_t chance; /* seed of its details */
} fault;

typedef struct plan {
    uint64_t seed;
    bool is_calm; /* nothing goes wrong, and nothing is late */
    enum theme theme;
    network_terms network;
    enum load_manner load;
    redlock_policy policy[NAMES_MOST];
    uint32_t permits[NAMES_MOST];
    int client_count;
    client_plan clients[MACHINES_MOST];
    int fault_count;
    fault faults[FAULTS_MOST];
} plan;

void plan_make(plan *self, uint64_t seed);
const char *fault_name(enum fault_kind kind);

/* Whoever does a job is a user, and each has a number. */
static inline int user_of(int client, int number) { return client * JOBS_MOST + number; }
static inline int client_of_user(int user) { return user / JOBS_MOST; }
static inline int number_of_user(int user) { return user % JOBS_MOST; }

bool plan_has(const plan *self, enum fault_kind kind);
/* Does nothing go wrong but what keeps nobody from giving back what it has? */
bool plan_is_gentle(const plan *self);
/* When the last fault is over; but for what is put off, which nobody waits for. */
int64_t plan_healed_us(const plan *self);
void plan_print(const plan *self);

#endif
