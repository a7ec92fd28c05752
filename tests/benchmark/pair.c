/* SPDX-License-Identifier: MIT
 * Latency of an uncontended acquire + release on one key, over each route. */
#include <stdlib.h>

#include "bench.h"
#include "statistics.h"
#include "stopwatch.h"

enum { PAIRS_PER_SLICE = 200, SLICES_MAX = 1000 };

/* The durations of all slices so far, one slice after the other. */
typedef struct pair_race {
    naive_lock floor;
    redlock_client *client;
    int64_t floor_ns[SLICES_MAX * PAIRS_PER_SLICE];
    int64_t ours_ns[SLICES_MAX * PAIRS_PER_SLICE];
    double ratios[SLICES_MAX];
    size_t slices;
} pair_race;

static bool slice_of_floor(pair_race *self, int64_t *took_ns)
{
    for (int i = 0; i < PAIRS_PER_SLICE; i++) {
        const int64_t began = now_ns();
        if (!naive_acquire(&self->floor) || !naive_release(&self->floor)) return false;
        took_ns[i] = now_ns() - began;
    }
    return true;
}

static bool slice_of_ours(pair_race *self, int64_t *took_ns)
{
    for (int i = 0; i < PAIRS_PER_SLICE; i++) {
        redlock_lock *lock;
        const int64_t began = now_ns();
        const redlock_status acquired =
            redlock_acquire(self->client, "pair", REDLOCK_OPTIONS(.ttl_ms = 10000), &lock);
        if (!is_ok(acquired, "acquire of a free lock")) return false;
        if (!is_ok(redlock_release(lock), "release")) return false;
        took_ns[i] = now_ns() - began;
    }
    return true;
}

/* Either goes first in every second round: what the first one leaves behind in caches is then
 * nobody's advantage. */
static bool race_once(pair_race *self)
{
    int64_t *floor_ns = self->floor_ns + self->slices * PAIRS_PER_SLICE;
    int64_t *ours_ns = self->ours_ns + self->slices * PAIRS_PER_SLICE;
    const bool floor_first = self->slices % 2 == 0;
    if (floor_first && !slice_of_floor(self, floor_ns)) return false;
    if (!slice_of_ours(self, ours_ns)) return false;
    if (!floor_first && !slice_of_floor(self, floor_ns)) return false;
    self->ratios[self->slices++] = percentile(ours_ns, PAIRS_PER_SLICE, 0.5) /
                                   percentile(floor_ns, PAIRS_PER_SLICE, 0.5);
    return true;
}

static bool race(pair_race *self, int64_t duration_ns)
{
    /* The first slices load the scripts and warm up; they do not count. */
    if (!race_once(self)) return false;
    self->slices = 0;
    const int64_t until = now_ns() + duration_ns;
    while (now_ns() < until && self->slices < SLICES_MAX) {
        if (!race_once(self)) return false;
    }
    return true;
}

static void tell(pair_race *self, const benchmark *bench, const route *by, enum figure p50_figure,
                 enum figure p99_figure)
{
    const size_t count = self->slices * PAIRS_PER_SLICE;
    const double p50 = median(self->ratios, self->slices);
    const double floor_p99 = percentile(self->floor_ns, count, 0.99) / NS_PER_US;
    const double ours_p99 = percentile(self->ours_ns, count, 0.99) / NS_PER_US;
    char what[32];
    snprintf(what, sizeof what, "pair %s p50", by->name);
    report_row(bench->report, what, "us", percentile(self->floor_ns, count, 0.5) / NS_PER_US,
               percentile(self->ours_ns, count, 0.5) / NS_PER_US, p50, "%zu pairs each", count);
    snprintf(what, sizeof what, "pair %s p99", by->name);
    report_row(bench->report, what, "us", floor_p99, ours_p99, ours_p99 / floor_p99, "%s", "");
    report_figure(bench->report, p50_figure, p50);
    report_figure(bench->report, p99_figure, ours_p99 / floor_p99);
}

static bool measure(const benchmark *bench, const route *by, enum figure p50_figure,
                    enum figure p99_figure)
{
    pair_race *self = calloc(1, sizeof *self);
    if (self == NULL || !naive_open(&self->floor, by, "floor:pair")) return false;
    if (!is_ok(redlock_open(by->uri, NULL, &self->client), "open")) return false;
    if (!race(self, (bench->is_quick ? 5 : 20) * NS_PER_S / 2)) return false;
    tell(self, bench, by, p50_figure, p99_figure);
    naive_close(&self->floor);
    const bool is_closed = is_ok(redlock_close(self->client), "close");
    free(self);
    return is_closed;
}

bool measure_pair_tcp(const benchmark *self, int unused)
{
    (void)unused;
    return measure(self, &self->tcp, FIGURE_pair_p50_ratio_tcp, FIGURE_pair_p99_ratio_tcp);
}

bool measure_pair_unix(const benchmark *self, int unused)
{
    (void)unused;
    return measure(self, &self->local, FIGURE_pair_p50_ratio_unix, FIGURE_pair_p99_ratio_unix);
}
