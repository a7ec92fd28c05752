/* SPDX-License-Identifier: MIT
 * Threads of one client that take a lock of its own each, against as many threads with a raw
 * connection each. */
#include <stdlib.h>

#include "bench.h"
#include "crew.h"
#include "statistics.h"
#include "stopwatch.h"

enum { ROUNDS_MAX = 20 };
enum { OF_FLOOR, OF_OURS };

typedef struct loner {
    naive_lock floor;
    redlock_client *client;
    char name[32];
} loner;

typedef struct ground {
    const route *by;
    redlock_client *client;
} ground;

static void *loner_open(void *arg, int index)
{
    const ground *on = arg;
    loner *self = calloc(1, sizeof *self);
    if (self == NULL) return NULL;
    self->client = on->client;
    snprintf(self->name, sizeof self->name, "distinct:%d", index);
    char key[32];
    snprintf(key, sizeof key, "floor:distinct:%d", index);
    return naive_open(&self->floor, on->by, key) ? self : NULL;
}

static void loner_close(void *kept)
{
    loner *self = kept;
    naive_close(&self->floor);
    free(self);
}

static bool pair_of_ours(loner *self)
{
    redlock_lock *lock;
    const redlock_status acquired =
        redlock_acquire(self->client, self->name, REDLOCK_OPTIONS(.ttl_ms = 10000), &lock);
    return is_ok(acquired, "acquire of a free lock") && is_ok(redlock_release(lock), "release");
}

static bool loner_slice(void *kept, member *who)
{
    loner *self = kept;
    const bool is_floor = crew_choice(who) == OF_FLOOR;
    while (!crew_is_stopping(who)) {
        const bool is_done = is_floor ? naive_acquire(&self->floor) && naive_release(&self->floor)
                                      : pair_of_ours(self);
        if (!is_done) return false;
        atomic_fetch_add_explicit(&who->sections, 1, memory_order_relaxed);
    }
    return true;
}

/* Pairs per second of all threads together; 0 after a failure, or when nothing was done. */
static double slice_rate(crew *threads, int choice, int64_t slice_ns)
{
    uint64_t each[CREW_MAX];
    crew_begin(threads, choice);
    sleep_ns(20 * NS_PER_MS); /* until all run */
    const int64_t began = now_ns();
    const uint64_t before = crew_sections(threads, each);
    sleep_ns(slice_ns);
    const uint64_t pairs = crew_sections(threads, each) - before;
    const int64_t elapsed = now_ns() - began;
    crew_stop(threads);
    return crew_await(threads) ? (double)pairs * 1e9 / (double)elapsed : 0;
}

static bool race(crew *threads, const benchmark *bench, int size)
{
    double floors[ROUNDS_MAX], ours[ROUNDS_MAX], ratios[ROUNDS_MAX];
    const size_t rounds = bench->is_quick ? 5 : ROUNDS_MAX;
    if (slice_rate(threads, OF_OURS, 50 * NS_PER_MS) <= 0) return false; /* connects */
    for (size_t i = 0; i < rounds; i++) {
        floors[i] = slice_rate(threads, OF_FLOOR, 120 * NS_PER_MS);
        ours[i] = floors[i] > 0 ? slice_rate(threads, OF_OURS, 120 * NS_PER_MS) : 0;
        if (ours[i] <= 0) return false;
        ratios[i] = ours[i] / floors[i];
    }
    const double ratio = median(ratios, rounds);
    char what[32];
    snprintf(what, sizeof what, "distinct %d thread%s", size, size == 1 ? "" : "s");
    report_row(bench->report, what, "pairs/s", median(floors, rounds), median(ours, rounds), ratio,
               "%s", "");
    if (size == 8) report_figure(bench->report, FIGURE_distinct8_throughput_ratio, ratio);
    return true;
}

bool measure_distinct(const benchmark *self, int size)
{
    static const crew_task task = {loner_open, loner_slice, loner_close};
    ground on = {.by = &self->local};
    if (!is_ok(redlock_open(on.by->uri, NULL, &on.client), "open")) return false;
    crew *threads = crew_new(CREW_THREADS, size, &task, &on);
    if (threads == NULL || !race(threads, self, size)) return false;
    crew_close(threads);
    return is_ok(redlock_close(on.client), "close");
}
