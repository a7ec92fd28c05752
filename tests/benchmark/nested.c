/* SPDX-License-Identifier: MIT
 * What a nested acquire + release of a reentrant hold costs, and that it costs no command. The
 * floor is a mutex that is locked and unlocked. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>

#include "bench.h"
#include "statistics.h"
#include "stopwatch.h"

enum { PAIRS_PER_SLICE = 20000, SLICES = 41 };

static double slice_of_floor(pthread_mutex_t *mutex)
{
    const int64_t began = now_ns();
    for (int i = 0; i < PAIRS_PER_SLICE; i++) {
        pthread_mutex_lock(mutex);
        pthread_mutex_unlock(mutex);
    }
    return (double)(now_ns() - began) / PAIRS_PER_SLICE;
}

/* Negative after a failure. */
static double slice_of_ours(redlock_client *client, const redlock_lock *held)
{
    const redlock_options *options = REDLOCK_OPTIONS(.ttl_ms = 10000, .reentrant = true);
    const int64_t began = now_ns();
    for (int i = 0; i < PAIRS_PER_SLICE; i++) {
        redlock_lock *lock;
        if (!is_ok(redlock_acquire(client, "nested", options, &lock), "nested acquire")) return -1;
        if (!is_ok(redlock_release(lock), "nested release")) return -1;
        if (lock != held) return -1;
    }
    return (double)(now_ns() - began) / PAIRS_PER_SLICE;
}

static bool race(redlock_client *client, const redlock_lock *held, report *to)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    double floors[SLICES], ours[SLICES], ratios[SLICES];
    if (slice_of_ours(client, held) < 0) return false; /* warms up */
    for (int i = 0; i < SLICES; i++) {
        floors[i] = slice_of_floor(&mutex);
        ours[i] = slice_of_ours(client, held);
        if (ours[i] < 0) return false;
        ratios[i] = ours[i] / floors[i];
    }
    const double pair_ns = median(ours, SLICES);
    report_row(to, "nested pair", "ns", median(floors, SLICES), pair_ns, median(ratios, SLICES),
               "best %.0f; floor: a mutex", ours[0]);
    report_figure(to, FIGURE_nested_pair_ns, pair_ns);
    return true;
}

static bool was_silent(const redlock_stats *before, const redlock_stats *after)
{
    const uint64_t commands = after->commands - before->commands,
                   writes = after->writes - before->writes;
    if (commands == 0 && writes == 0) return true;
    fprintf(stderr, "bench: nested pairs sent %" PRIu64 " commands in %" PRIu64 " writes\n",
            commands, writes);
    return false;
}

/* The outer hold lasts longer than the measurement and is not renewed: whatever is sent meanwhile,
 * nested pairs sent. */
bool measure_nested(const benchmark *bench, int unused)
{
    (void)unused;
    redlock_client *client;
    redlock_lock *held;
    redlock_stats before, after;
    if (!is_ok(redlock_open(bench->local.uri, NULL, &client), "open")) return false;
    const redlock_options *options = REDLOCK_OPTIONS(.ttl_ms = 600000, .reentrant = true);
    if (!is_ok(redlock_acquire(client, "nested", options, &held), "acquire of the outer hold"))
        return false;
    redlock_stats_read(client, &before, sizeof before);
    if (!race(client, held, bench->report)) return false;
    redlock_stats_read(client, &after, sizeof after);
    if (!was_silent(&before, &after)) {
        report_figure(bench->report, FIGURE_nested_pair_ns, NAN);
        return false;
    }
    return is_ok(redlock_release(held), "release of the outer hold") &&
           is_ok(redlock_close(client), "close");
}
