/* SPDX-License-Identifier: MIT
 * The simulator's command line:
 *
 *     sim --schedules N [--seed S] [--workers W] [--trace] [--shrink]
 *
 * Runs the schedules of the seeds S, S + 1, ... in W processes. A broken promise is printed with
 * its seed, and `--seed <it> --schedules 1 --trace` tells its story; with --shrink that of a
 * shorter schedule that breaks a promise too. The last line is `schedules= violations=
 * per_second=`; the exit status is 1 when a promise was broken. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/limits.h"
#include "sim/machine/machine.h"
#include "sim/schedules/schedule.h"
#include "sim/schedules/shrink.h"
#include "sim/server/interpreter.h"
#include "sim/trace.h"

/* A schedule takes a millisecond: one that takes so long of a processor never ends, and its worker
 * is killed. */
enum { SCHEDULE_MOST_S = 20 };

enum { WORKERS_MOST = 64, TOLD_MOST = 40 };

typedef struct settings {
    uint64_t seed;
    long schedules;
    int workers;
    bool shrinks;
} settings;

/* What a worker leaves behind, whatever becomes of it. */
typedef struct worked {
    uint64_t seed; /* under way */
    long done, violations;
    tally sum;
} worked;

bool is_traced;
const script_limits limits = {SIM_PORTION_MOST, SIM_QUEUE_MOST};

void trace_line(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%10lld  ", (long long)now_us());
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

static int usage(void)
{
    fprintf(stderr, "usage: sim --schedules N [--seed S] [--workers W] [--trace] [--shrink]\n");
    return 2;
}

static bool read_settings(settings *out, int argc, char **argv)
{
    *out = (settings){.seed = 1, .schedules = 1000, .workers = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--trace") == 0) is_traced = true;
        else if (strcmp(argv[i], "--shrink") == 0) out->shrinks = true;
        else if (has_value && strcmp(argv[i], "--seed") == 0)
            out->seed = strtoull(argv[++i], NULL, 10);
        else if (has_value && strcmp(argv[i], "--schedules") == 0) out->schedules = atol(argv[++i]);
        else if (has_value && strcmp(argv[i], "--workers") == 0) out->workers = atoi(argv[++i]);
        else return false;
    }
    return out->schedules > 0 && out->workers > 0 && out->workers <= WORKERS_MOST;
}

/* ---- A worker -------------------------------------------------------------------------------- */

/* 0: for as long as it likes. */
static void limit(int seconds_most)
{
    struct itimerval from_now = {.it_value.tv_sec = seconds_most};
    (void)setitimer(ITIMER_PROF, &from_now, NULL);
}

static void add(tally *sum, tally more)
{
    sum->steps += more.steps;
    sum->acquired += more.acquired;
    sum->faults += more.faults;
}

static void tell_violation(const settings *how, plan *failing, const char *broken)
{
    printf("violation seed=%llu: %s\n", (unsigned long long)failing->seed, broken);
    fflush(stdout);
    limit(0);
    if (!how->shrinks) return;
    bool was_traced = is_traced;
    is_traced = false;
    shrink(failing);
    is_traced = true;
    plan_print(failing);
    (void)schedule_run(failing);
    is_traced = was_traced;
}

static void work(const settings *how, int worker, worked *mine)
{
    static plan of;
    interpreter_open();
    for (long i = worker; i < how->schedules; i += how->workers) {
        mine->seed = how->seed + (uint64_t)i;
        plan_make(&of, mine->seed);
        limit(SCHEDULE_MOST_S);
        if (is_traced) plan_print(&of);
        const char *broken = schedule_run(&of);
        mine->done++;
        add(&mine->sum, schedule_tally());
        if (broken != NULL && mine->violations++ < TOLD_MOST) tell_violation(how, &of, broken);
    }
    interpreter_close();
    fflush(stdout);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void start_worker(const settings *how, int worker, worked *mine)
{
    pid_t child = fork();
    if (child < 0) exit(2);
    if (child > 0) return;
    work(how, worker, mine);
    exit(0);
}

/* A worker that died took its schedule with it: that is a broken promise too. */
static long await_workers(const settings *how, const worked *all)
{
    long crashes = 0;
    int status;
    for (int i = 0; i < how->workers; i++) {
        if (wait(&status) < 0) break;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
        crashes++;
        printf("a worker died with signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    for (int i = 0; crashes > 0 && i < how->workers; i++)
        printf("worker %d was last at seed=%llu\n", i, (unsigned long long)all[i].seed);
    return crashes;
}

int main(int argc, char **argv)
{
    settings how;
    if (!read_settings(&how, argc, argv)) return usage();
    worked *all = mmap(NULL, sizeof *all * WORKERS_MOST, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return 2;
    if (is_traced) setvbuf(stdout, NULL, _IOLBF, 0); /* it may end in a crash */
    if (how.schedules < how.workers) how.workers = (int)how.schedules;
    double began = seconds();
    for (int i = 0; i < how.workers; i++) start_worker(&how, i, &all[i]);
    long violations = await_workers(&how, all), done = 0;
    tally sum = {0};
    for (int i = 0; i < how.workers; i++) {
        done += all[i].done;
        violations += all[i].violations;
        add(&sum, all[i].sum);
    }
    double took = seconds() - began;
    printf("schedules=%ld violations=%ld per_second=%.0f acquired=%ld faults=%ld steps=%ld "
           "seconds=%.1f seed=%llu\n",
           done, violations, (double)done / took, sum.acquired, sum.faults, sum.steps, took,
           (unsigned long long)how.seed);
    return violations == 0 ? 0 : 1;
}
