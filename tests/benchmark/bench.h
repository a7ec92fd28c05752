/* SPDX-License-Identifier: MIT
 * The measurements. Each runs in a process of its own, reports only what it measured, and answers
 * false (after a complaint on stderr) when something failed. A slice of the floor stands next to
 * every slice of ours, so that a noisy machine hits both; ratios are medians over the pairs of
 * slices. */
#ifndef REDLOCK_BENCHMARK_BENCH_H
#define REDLOCK_BENCHMARK_BENCH_H

#include <stdbool.h>
#include <stdio.h>

#include <redlock/redlock.h>

#include "floors.h"
#include "report.h"

typedef struct benchmark {
    bool is_quick;
    route tcp;
    route local; /* the Unix socket */
    report *report;
} benchmark;

/* Latency of acquire + release, uncontended, on one key. */
bool measure_pair_tcp(const benchmark *self, int unused);
bool measure_pair_unix(const benchmark *self, int unused);

/* What entering a reentrant hold again costs, in the client alone. */
bool measure_nested(const benchmark *self, int unused);

/* Shared locks beside no, ten, and ten thousand other holders. */
bool measure_readers(const benchmark *self, int unused);

/* From the call of release in one process to the return of acquire in the other. */
bool measure_handover(const benchmark *self, int unused);

/* One lock that `size` participants want all the time. */
bool measure_hot_processes(const benchmark *self, int size);
bool measure_hot_threads(const benchmark *self, int size);

/* A lock of its own for each of `size` threads. */
bool measure_distinct(const benchmark *self, int size);

/* What it costs to keep `size` locks renewed. */
bool measure_renew(const benchmark *self, int size);

/* Closing a client that holds `size` locks. */
bool measure_closing(const benchmark *self, int size);

/* `size` operations in flight from one thread. */
bool measure_async_tcp(const benchmark *self, int size);
bool measure_async_unix(const benchmark *self, int size);

/* Complains about a status that is not REDLOCK_OK, and answers whether it was. */
static inline bool is_ok(redlock_status status, const char *what)
{
    if (status == REDLOCK_OK) return true;
    fprintf(stderr, "bench: %s: %s\n", what, redlock_strerror(status));
    return false;
}

#endif
