/* SPDX-License-Identifier: MIT
 * The laws for each mode, policy and transport, by the drivers of a plan. Most of their time
 * is waiting for leases to end, so several combinations run at a time, each in a process of its
 * own. */
#ifndef REDLOCK_TESTS_LAWS_COMBINATIONS_H
#define REDLOCK_TESTS_LAWS_COMBINATIONS_H

#include <sys/wait.h>
#include <unistd.h>

#include "laws/drivers.h"
#include "support/patience.h"

enum { AT_A_TIME = 8, OUTPUT_MOST = 1 << 16 };

typedef struct law_mode {
    const char *title;
    redlock_options options;
    bool has_owners;
} law_mode;

typedef struct process {
    pid_t pid;
    FILE *output;
} process;

/* clang-format off */
static const law_mode modes[] = {
    {"exclusive", {.mode = REDLOCK_EXCLUSIVE}, false},
    {"shared against exclusive", {.mode = REDLOCK_SHARED}, false},
    {"one permit", {.mode = REDLOCK_SHARED, .permits = 1}, false},
    {"reentrant, owned by a thread", {.reentrant = true}, false},
    {"reentrant, owned by name", {.reentrant = true}, true},
};
/* clang-format on */

static const char *const policies[] = {[REDLOCK_PREFER_READERS] = "reader preference",
                                       [REDLOCK_FAIR] = "fair",
                                       [REDLOCK_PREFER_WRITERS] = "writer preference"};

static const char *const transports[] = {
    [LAW_UNIX] = "unix socket", [LAW_TCP] = "tcp", [LAW_CLUSTER] = "cluster"};

enum {
    MODES = sizeof modes / sizeof *modes,
    POLICIES = sizeof policies / sizeof *policies,
    TRANSPORTS = sizeof transports / sizeof *transports,
    ALL = MODES * POLICIES * TRANSPORTS * LAW_DRIVERS
};

/* What a test runs: some of the drivers, over one server or over a cluster. */
typedef struct law_plan {
    int first_driver, end_driver;
    bool is_of_cluster;
} law_plan;

typedef struct combination {
    int mode, policy, driver;
    law_transport transport;
} combination;

static combination combination_of(int number)
{
    return (combination){.mode = number % MODES,
                         .transport = (law_transport)(number / MODES % TRANSPORTS),
                         .policy = number / MODES / TRANSPORTS % POLICIES,
                         .driver = number / MODES / TRANSPORTS / POLICIES};
}

static int run(int number)
{
    static char title[128];
    combination is = combination_of(number);
    const law_mode *in = &modes[is.mode];
    law_terms terms = {.title = title,
                       .transport = is.transport,
                       .has_owners = in->has_owners,
                       .options = in->options,
                       .by = &law_drivers[is.driver]};
    terms.options.policy = (redlock_policy)is.policy;
    terms.rival = terms.options;
    if (terms.options.mode == REDLOCK_SHARED && terms.options.permits != 1)
        terms.rival.mode = REDLOCK_EXCLUSIVE;
    snprintf(title, sizeof title, "%s, %s, %s, %s (%d)", in->title, policies[is.policy],
             transports[is.transport], terms.by->title, number);
    return laws_run(&terms);
}

static process begin(int number)
{
    process made = {.output = tmpfile()};
    if (made.output == NULL) return made;
    fflush(NULL);
    made.pid = fork();
    if (made.pid != 0) return made;
    dup2(fileno(made.output), STDOUT_FILENO);
    dup2(fileno(made.output), STDERR_FILENO);
    int failed = run(number);
    fflush(NULL);
    _exit(failed == 0 ? 0 : 1);
}

/* True if it failed. Shows what it printed: all of it then, or its title. */
static bool end(process *self)
{
    static char text[OUTPUT_MOST];
    int status = 1;
    if (self->pid > 0) waitpid(self->pid, &status, 0);
    if (self->output == NULL) return true;
    rewind(self->output);
    text[fread(text, 1, sizeof text - 1, self->output)] = '\0';
    fclose(self->output);
    fputs(text, stdout);
    return status != 0;
}

/* Over a cluster the policies take turns, so that each mode meets all of them. An instrument looks
 * for what no mode, policy or transport changes: with one, each pair of mode and policy goes by one
 * of the transports. */
static bool is_left_out(const law_plan *plan, int number)
{
    combination is = combination_of(number);
    if (is.driver < plan->first_driver || is.driver >= plan->end_driver) return true;
    if ((is.transport == LAW_CLUSTER) != plan->is_of_cluster) return true;
    if (plan->is_of_cluster) return is.policy != (is.mode + is.driver) % POLICIES;
    int sum = is.mode + is.policy + (int)is.transport;
    return patience_is_instrumented() && sum % 2 == 1;
}

/* How many combinations failed. An argument is the number of one of them, for a debugger. */
static inline int laws_run_all(law_plan plan, const char *only)
{
    process running[AT_A_TIME] = {{0}};
    int failed = 0, begun = 0;
    if (only != NULL) return run(atoi(only) % ALL);
    for (int number = 0; number < ALL; number++) {
        if (is_left_out(&plan, number)) continue;
        process *place = &running[begun % AT_A_TIME];
        if (begun++ >= AT_A_TIME) failed += end(place);
        *place = begin(number);
    }
    for (int ended = begun > AT_A_TIME ? begun - AT_A_TIME : 0; ended < begun; ended++)
        failed += end(&running[ended % AT_A_TIME]);
    return failed;
}

#endif
