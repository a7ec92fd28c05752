/* SPDX-License-Identifier: MIT
 * How long a lock is nobody's when it goes from one process to another that waits for it.
 *
 *     A   holds .... release|.............. acquire (waits) ...............|holds
 *     B   acquire (waits) ......|holds .... pause .... release|............ acquire (waits)
 *                           <-->                              <-->
 *
 * The floor is a PUBLISH to a process that blocks in a raw subscription, to and fro in the same
 * way. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "crew.h"
#include "shared.h"
#include "statistics.h"
#include "stopwatch.h"

enum { ROUNDS_PER_SLICE = 100, SLICES_MAX = 200, SAMPLES_MAX = SLICES_MAX * ROUNDS_PER_SLICE * 2 };
enum { OF_FLOOR, OF_OURS, KINDS };

/* The pause lets the other one queue. A handover counts only if it had half of the pause for it. */
#define PAUSE_NS (500 * NS_PER_US)
#define QUEUED_NS (250 * NS_PER_US)

/* In shared memory. */
typedef struct baton {
    const route *by;
    _Atomic int64_t given_ns;
    int64_t sample_ns[2][ROUNDS_PER_SLICE]; /* of one slice, by receiver */
    size_t samples[2];
} baton;

typedef struct runner {
    baton *baton;
    redisContext *sender, *inbox;
    redlock_client *client;
} runner;

static const char *const channels[2] = {"floor:to:0", "floor:to:1"};
static const char payload[] = "grant 0123456789abcdef.1 1700000000000000 2000 1700000000000000";

static void *runner_open(void *arg, int index)
{
    runner *self = calloc(1, sizeof *self);
    if (self == NULL) return NULL;
    self->baton = arg;
    self->sender = floor_connect(self->baton->by);
    self->inbox = floor_connect(self->baton->by);
    if (self->sender == NULL || self->inbox == NULL) return NULL;
    if (!floor_subscribe(self->inbox, channels[index])) return NULL;
    if (!is_ok(redlock_open(self->baton->by->uri, NULL, &self->client), "open")) return NULL;
    return self;
}

static void runner_close(void *kept)
{
    runner *self = kept;
    redisFree(self->sender);
    redisFree(self->inbox);
    (void)is_ok(redlock_close(self->client), "close");
    free(self);
}

static void note(baton *shared, int receiver, int64_t got_ns)
{
    const int64_t given_ns = atomic_load(&shared->given_ns);
    shared->sample_ns[receiver][shared->samples[receiver]++] = got_ns - given_ns;
}

static bool send_floor(runner *self, int to)
{
    sleep_ns(PAUSE_NS);
    atomic_store(&self->baton->given_ns, now_ns());
    return floor_publish(self->sender, channels[to], payload);
}

static bool receive_floor(runner *self, int receiver)
{
    if (!floor_await_message(self->inbox)) return false;
    note(self->baton, receiver, now_ns());
    return true;
}

/* The first runner sends first, the second one receives first. */
static bool run_floor(runner *self, int index)
{
    for (int i = 0; i < ROUNDS_PER_SLICE; i++) {
        if (index == 0 && !send_floor(self, 1)) return false;
        if (!receive_floor(self, index)) return false;
        if (index == 1 && !send_floor(self, 0)) return false;
    }
    return true;
}

static bool run_ours(runner *self, int index)
{
    baton *shared = self->baton;
    for (int i = 0; i < ROUNDS_PER_SLICE; i++) {
        redlock_lock *lock;
        const int64_t asked_ns = now_ns();
        const redlock_status acquired = redlock_acquire(
            self->client, "handover", REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER), &lock);
        const int64_t got_ns = now_ns();
        if (!is_ok(acquired, "acquire with a wait")) return false;
        if (atomic_load(&shared->given_ns) - asked_ns > QUEUED_NS) note(shared, index, got_ns);
        sleep_ns(PAUSE_NS);
        atomic_store(&shared->given_ns, now_ns());
        if (!is_ok(redlock_release(lock), "release to a waiter")) return false;
    }
    return true;
}

static bool runner_slice(void *kept, member *self)
{
    return crew_choice(self) == OF_FLOOR ? run_floor(kept, self->index)
                                         : run_ours(kept, self->index);
}

/* Of all slices, by kind. */
typedef struct handover_race {
    crew *crew;
    baton *baton;
    int64_t sample_ns[KINDS][SAMPLES_MAX];
    size_t samples[KINDS];
    double ratios[SLICES_MAX];
    size_t slices;
} handover_race;

/* The slice's median; negative after a failure. */
static double slice_once(handover_race *self, int kind)
{
    baton *shared = self->baton;
    int64_t *begin = self->sample_ns[kind] + self->samples[kind];
    size_t count = 0;
    shared->samples[0] = shared->samples[1] = 0;
    crew_begin(self->crew, kind);
    if (!crew_await(self->crew)) return -1;
    for (int i = 0; i < 2; i++) {
        memcpy(begin + count, shared->sample_ns[i], shared->samples[i] * sizeof *begin);
        count += shared->samples[i];
    }
    self->samples[kind] += count;
    if (count >= ROUNDS_PER_SLICE) return percentile(begin, count, 0.5);
    fprintf(stderr, "bench: the lock was not handed over but found free\n");
    return -1;
}

static bool race_once(handover_race *self)
{
    const double floor = slice_once(self, OF_FLOOR);
    const double ours = floor < 0 ? -1 : slice_once(self, OF_OURS);
    if (ours < 0) return false;
    self->ratios[self->slices++] = ours / floor;
    return true;
}

static bool race(handover_race *self, int64_t duration_ns)
{
    if (!race_once(self)) return false;
    self->slices = self->samples[OF_FLOOR] = self->samples[OF_OURS] = 0; /* that was the warm-up */
    const int64_t until = now_ns() + duration_ns;
    while (now_ns() < until && self->slices < SLICES_MAX) {
        if (!race_once(self)) return false;
    }
    return true;
}

static double over_all(handover_race *self, int kind, double share)
{
    return percentile(self->sample_ns[kind], self->samples[kind], share) / NS_PER_US;
}

static void tell(handover_race *self, report *to)
{
    const double p50 = median(self->ratios, self->slices);
    const double p99 = over_all(self, OF_OURS, 0.99) / over_all(self, OF_FLOOR, 0.99);
    report_row(to, "handover p50", "us", over_all(self, OF_FLOOR, 0.5),
               over_all(self, OF_OURS, 0.5), p50, "%zu handovers", self->samples[OF_OURS]);
    report_row(to, "handover p99", "us", over_all(self, OF_FLOOR, 0.99),
               over_all(self, OF_OURS, 0.99), p99, "%s", "");
    report_figure(to, FIGURE_handover_p50_ratio, p50);
    report_figure(to, FIGURE_handover_p99_ratio, p99);
}

bool measure_handover(const benchmark *bench, int unused)
{
    (void)unused;
    static const crew_task task = {runner_open, runner_slice, runner_close};
    handover_race *self = calloc(1, sizeof *self);
    if (self == NULL || (self->baton = shared_new(sizeof *self->baton)) == NULL) return false;
    self->baton->by = &bench->local;
    self->crew = crew_new(CREW_PROCESSES, 2, &task, self->baton);
    if (self->crew == NULL) return false;
    if (!race(self, (bench->is_quick ? 3 : 15) * NS_PER_S)) return false;
    tell(self, bench->report);
    crew_close(self->crew);
    free(self);
    return true;
}
