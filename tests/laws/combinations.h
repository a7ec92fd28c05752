/* SPDX-License-Identifier: MIT
 * The laws for each mode, policy and transport, by the drivers that are given. Most of their time
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

enum {
    MODES = sizeof modes / sizeof *modes,
    POLICIES = 3,
    TRANSPORTS = 2,
    EACH = MODES * POLICIES * TRANSPORTS
};

static int run(const law_driver *drivers, int number)
{
    static char title[128];
    const law_mode *in = &modes[number % MODES];
    law_terms terms = {.title = title,
                       .by_tcp = number / MODES % TRANSPORTS == 1,
                       .has_owners = in->has_owners,
                       .options = in->options,
                       .by = &drivers[number / EACH]};
    terms.options.policy = (redlock_policy)(number / MODES / TRANSPORTS % POLICIES);
    terms.rival = terms.options;
    if (terms.options.mode == REDLOCK_SHARED && terms.options.permits != 1)
        terms.rival.mode = REDLOCK_EXCLUSIVE;
    snprintf(title, sizeof title, "%s, %s, %s, %s", in->title, policies[terms.options.policy],
             terms.by_tcp ? "tcp" : "unix socket", terms.by->title);
    return laws_run(&terms);
}

static process begin(const law_driver *drivers, int number)
{
    process made = {.output = tmpfile()};
    if (made.output == NULL) return made;
    fflush(NULL);
    made.pid = fork();
    if (made.pid != 0) return made;
    dup2(fileno(made.output), STDOUT_FILENO);
    dup2(fileno(made.output), STDERR_FILENO);
    int failed = run(drivers, number);
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

/* An instrument looks for what no mode, policy or transport changes: with one, each pair of mode
 * and policy goes by one of the transports. */
static bool is_left_out(int number)
{
    int policy = number / MODES / TRANSPORTS % POLICIES;
    int sum = number % MODES + policy + number / MODES;
    return patience_is_instrumented() && sum % TRANSPORTS == 1;
}

/* How many combinations failed. An argument names one of them, for a debugger. */
static inline int laws_run_all(const law_driver *drivers, int count, const char *only)
{
    process running[AT_A_TIME] = {{0}};
    int failed = 0, begun = 0, all = EACH * count;
    if (only != NULL) return run(drivers, atoi(only) % all);
    for (int number = 0; number < all; number++) {
        if (is_left_out(number)) continue;
        process *place = &running[begun % AT_A_TIME];
        if (begun++ >= AT_A_TIME) failed += end(place);
        *place = begin(drivers, number);
    }
    for (int ended = begun > AT_A_TIME ? begun - AT_A_TIME : 0; ended < begun; ended++)
        failed += end(&running[ended % AT_A_TIME]);
    return failed;
}

#endif
