/* SPDX-License-Identifier: MIT
 * What was measured: rows of a table for people, figures in one line of JSON for programs. It lives
 * in memory that the process of each measurement shares with its parent; a figure that nobody set
 * is null. */
#ifndef REDLOCK_BENCHMARK_REPORT_H
#define REDLOCK_BENCHMARK_REPORT_H

/* Every figure of the JSON line, in its order. A new figure is one line here and one
 * report_figure. */
#define FIGURES(X)                                                                                 \
    X(pair_p50_ratio_tcp)                                                                          \
    X(pair_p99_ratio_tcp)                                                                          \
    X(pair_p50_ratio_unix)                                                                         \
    X(pair_p99_ratio_unix)                                                                         \
    X(nested_pair_ns)                                                                              \
    X(shared_pair_ratio)                                                                           \
    X(shared10k_cost_ratio)                                                                        \
    X(handover_p50_ratio)                                                                          \
    X(handover_p99_ratio)                                                                          \
    X(hot64_throughput_ratio)                                                                      \
    X(hot64_jain)                                                                                  \
    X(hot64_commands_per_section)                                                                  \
    X(hot64_longest_over_mean_wait)                                                                \
    X(hot64_floor_per_second)                                                                      \
    X(hot64_sections_per_second)                                                                   \
    X(hot64_threads_ratio)                                                                         \
    X(hot64_threads_jain)                                                                          \
    X(hot64_threads_commands_per_section)                                                          \
    X(distinct8_throughput_ratio)                                                                  \
    X(async10k_vs_blocking)                                                                        \
    X(async10k_vs_server_limit)                                                                    \
    X(renew10k_cpu_percent)                                                                        \
    X(renew10k_bytes_per_lock)                                                                     \
    X(renew10k_writes_per_second)                                                                  \
    X(renew10k_ttl_ms)                                                                             \
    X(close_vs_release)                                                                            \
    X(close_left)                                                                                  \
    X(server_has_its_own_core)

enum figure {
#define FIGURE_ENUM(name) FIGURE_##name,
    FIGURES(FIGURE_ENUM)
#undef FIGURE_ENUM
        FIGURE_COUNT
};

typedef struct report report;

/* NULL when out of memory. It lives until the program ends. */
report *report_new(void);

void report_figure(report *self, enum figure which, double value);

/* One line of the table: NAN prints as a dash. The note is what does not fit a column. */
void report_row(report *self, const char *what, const char *unit, double floor, double ours,
                double ratio, const char *note_format, ...) __attribute__((format(printf, 7, 8)));

void report_print_head(void);
/* Prints the rows that were not printed yet. */
void report_print_rows(report *self);
void report_print_json(const report *self);

#endif
