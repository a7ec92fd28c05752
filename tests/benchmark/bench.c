/* SPDX-License-Identifier: MIT
 * The benchmark: a private server, one process per measurement, a table, and one line of JSON.
 *
 *     bench [--quick] [--apart] [part ...]      default: all of them
 *
 * pair, nested, readers, handover, hot, distinct, async, renew, closing
 *
 * A measurement that fails or hangs costs its own rows and figures, never the others'. */
#include "bench.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stopwatch.h"
#include "support/server.h"

/* A quick run ends by this time, whatever hangs. */
enum { QUICK_LIMIT_S = 47, LIMIT_S = 600 };

typedef struct part {
    const char *name;
    bool (*measure)(const benchmark *self, int size);
    int size;
    bool is_quick; /* belongs to a quick run */
} part;

static const part parts[] = {
    {"pair", measure_pair_tcp, 1, true},         {"pair", measure_pair_unix, 1, true},
    {"nested", measure_nested, 1, true},         {"readers", measure_readers, 1, true},
    {"handover", measure_handover, 2, true},     {"hot", measure_hot_processes, 2, true},
    {"hot", measure_hot_processes, 8, true},     {"hot", measure_hot_processes, 64, true},
    {"hot", measure_hot_processes, 256, true},   {"hot", measure_hot_threads, 2, true},
    {"hot", measure_hot_threads, 8, true},       {"hot", measure_hot_threads, 64, true},
    {"hot", measure_hot_threads, 256, true},     {"distinct", measure_distinct, 1, true},
    {"distinct", measure_distinct, 2, true},     {"distinct", measure_distinct, 8, true},
    {"async", measure_async_tcp, 10000, true},   {"async", measure_async_unix, 10000, false},
    {"renew", measure_renew, 1000, true},        {"renew", measure_renew, 10000, true},
    {"renew", measure_renew, 100000, false},     {"closing", measure_closing, 20000, true},
    {"closing", measure_closing, 200000, false},
};
enum { PARTS = sizeof parts / sizeof *parts };

/* How long a part may take: several times what it needs. */
static int64_t part_limit_ns(const benchmark *bench)
{
    return (bench->is_quick ? 15 : 120) * NS_PER_S;
}

/* True when the child ended by itself and well; kills it at the limit. */
static bool await_child(pid_t child, int64_t limit_ns)
{
    int outcome;
    while (waitpid(child, &outcome, WNOHANG) == 0) {
        if (now_ns() < limit_ns) {
            sleep_ns(10 * NS_PER_MS);
            continue;
        }
        kill(child, SIGKILL);
        waitpid(child, &outcome, 0);
        fprintf(stderr, "bench: out of time\n");
        return false;
    }
    return WIFEXITED(outcome) && WEXITSTATUS(outcome) == 0;
}

static bool run_part(const benchmark *bench, const part *what, int64_t end_ns)
{
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child < 0) return false;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(getppid() == parent && what->measure(bench, what->size) ? 0 : 1);
    }
    const int64_t limit_ns = now_ns() + part_limit_ns(bench);
    const bool is_done = await_child(child, limit_ns < end_ns ? limit_ns : end_ns);
    if (!is_done) fprintf(stderr, "bench: %s (%d) failed\n", what->name, what->size);
    report_print_rows(bench->report);
    return is_done;
}

/* Without names, everything is wanted. */
static bool is_wanted(const part *what, const benchmark *bench, char **names)
{
    if (bench->is_quick && !what->is_quick) return false;
    if (*names == NULL) return true;
    for (; *names != NULL; names++) {
        if (strcmp(*names, what->name) == 0) return true;
    }
    return false;
}

static bool run_parts(const benchmark *bench, char **names, int64_t end_ns)
{
    bool are_all_done = true;
    for (int i = 0; i < PARTS; i++) {
        if (!is_wanted(&parts[i], bench, names)) continue;
        if (!run_part(bench, &parts[i], end_ns)) are_all_done = false;
    }
    return are_all_done;
}

static bool is_name_of_part(const char *name)
{
    for (int i = 0; i < PARTS; i++) {
        if (strcmp(parts[i].name, name) == 0) return true;
    }
    return false;
}

/* True, and *argv moves on, when the next argument is this option. */
static bool take_option(char ***argv, const char *option)
{
    if (**argv == NULL || strcmp(**argv, option) != 0) return false;
    (*argv)++;
    return true;
}

/* The first name of a part, after the options; NULL when the arguments are wrong. */
static char **names_from(char **argv, bool *is_quick, bool *is_apart)
{
    argv++;
    *is_quick = take_option(&argv, "--quick");
    *is_apart = take_option(&argv, "--apart");
    for (char **each = argv; *each != NULL; each++) {
        if (is_name_of_part(*each)) continue;
        fprintf(stderr,
                "usage: bench [--quick] [--apart] [pair] [nested] [readers] [handover] [hot] "
                "[distinct] [async] [renew] [closing]\n");
        return NULL;
    }
    return argv;
}

/* Starts the server on the first core that we may use, and leaves the others to everybody else.
 * Left alone, the scheduler puts a client and its server on one core or on two, depending on what
 * else runs: the floor differs by a factor of three. */
static server *start_apart(bool *is_apart)
{
    cpu_set_t all, first;
    CPU_ZERO(&first);
    *is_apart = sched_getaffinity(0, sizeof all, &all) == 0 && CPU_COUNT(&all) > 1;
    if (!*is_apart) return server_start_tcp(NULL);
    size_t core = 0;
    while (!CPU_ISSET(core, &all)) core++;
    CPU_SET(core, &first);
    CPU_CLR(core, &all);
    *is_apart = sched_setaffinity(0, sizeof first, &first) == 0;
    server *started = server_start_tcp(NULL);
    if (*is_apart) *is_apart = sched_setaffinity(0, sizeof all, &all) == 0;
    return started;
}

int main(int argc, char **argv)
{
    (void)argc;
    const int64_t began_ns = now_ns();
    benchmark self = {.report = report_new()};
    bool is_apart;
    char **names = names_from(argv, &self.is_quick, &is_apart);
    if (names == NULL || self.report == NULL) return 2;
    server *of_ours = is_apart ? start_apart(&is_apart) : server_start_tcp(NULL);
    report_figure(self.report, FIGURE_server_has_its_own_core, is_apart);
    self.tcp = (route){"tcp", server_tcp_uri(of_ours), NULL, server_tcp_port(of_ours)};
    self.local = (route){"unix", server_uri(of_ours), server_socket(of_ours), 0};
    report_print_head();
    fflush(stdout); /* nothing may be left for a child to print again */
    const int64_t limit_s = self.is_quick ? QUICK_LIMIT_S : LIMIT_S;
    const bool are_all_done = run_parts(&self, names, began_ns + limit_s * NS_PER_S);
    server_stop(of_ours);
    report_print_json(self.report);
    return are_all_done ? 0 : 1;
}
