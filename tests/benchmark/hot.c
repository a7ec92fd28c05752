/* SPDX-License-Identifier: MIT
 * One lock that everybody wants all the time: threads of one client, or processes with a client
 * each. The critical section is empty but for the check that nobody else is in it. The floor is one
 * connection that takes and gives back a lock of its own while the crew sleeps.
 *
 *     crew       sleeps | all join ........|.......... counted ..........|.. drains ..| sleeps
 *     conductor  floor  | waits for the    |INFO, counts             INFO, counts      | floor
 *                       | slowest one */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "crew.h"
#include "shared.h"
#include "statistics.h"
#include "stopwatch.h"

enum { ROUNDS_MAX = 8 };

/* A participant's waits that began while the sections were counted. */
typedef struct waits {
    _Alignas(64) int64_t waited_ns;
    int64_t count;
    int64_t longest_ns; /* the wait that was under way at the end included: else who starves is not
                           seen */
} waits;

/* In shared memory. */
typedef struct arena {
    const route *by;
    redlock_client *shared_client; /* of the threads; NULL for processes */
    _Alignas(64) atomic_int inside;
    _Alignas(64) _Atomic int64_t counted_from_ns; /* INT64_MAX: not now */
    waits waits[CREW_MAX];
} arena;

typedef struct contender {
    arena *arena;
    redlock_client *client;
} contender;

static void *contender_open(void *arg, int index)
{
    (void)index;
    contender *self = calloc(1, sizeof *self);
    if (self == NULL) return NULL;
    self->arena = arg;
    self->client = self->arena->shared_client;
    if (self->client != NULL) return self;
    const redlock_status opened = redlock_open(
        self->arena->by->uri, REDLOCK_CLIENT_OPTIONS(.connect_now = true), &self->client);
    return is_ok(opened, "open") ? self : NULL;
}

static void contender_close(void *kept)
{
    contender *self = kept;
    if (self->arena->shared_client == NULL) (void)is_ok(redlock_close(self->client), "close");
    free(self);
}

static void note_wait(arena *within, const member *who, int64_t began_ns, int64_t ended_ns)
{
    waits *own = &within->waits[who->index];
    if (began_ns < atomic_load_explicit(&within->counted_from_ns, memory_order_relaxed)) return;
    const int64_t waited_ns = ended_ns - began_ns;
    if (waited_ns > own->longest_ns) own->longest_ns = waited_ns;
    /* While the others leave, the waits grow shorter than they would be. */
    if (crew_is_stopping(who)) return;
    own->waited_ns += waited_ns;
    own->count++;
}

static bool pass_through(arena *within)
{
    const bool is_alone = atomic_fetch_add(&within->inside, 1) == 0;
    atomic_fetch_sub(&within->inside, 1);
    if (!is_alone) fprintf(stderr, "bench: two participants held one lock\n");
    return is_alone;
}

static bool contender_slice(void *kept, member *who)
{
    contender *self = kept;
    while (!crew_is_stopping(who)) {
        redlock_lock *lock;
        const int64_t began_ns = now_ns();
        const redlock_status acquired = redlock_acquire(
            self->client, "hot", REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER), &lock);
        if (!is_ok(acquired, "acquire of the hot lock")) return false;
        note_wait(self->arena, who, began_ns, now_ns());
        if (!pass_through(self->arena)) return false;
        if (!is_ok(redlock_release(lock), "release of the hot lock")) return false;
        atomic_fetch_add_explicit(&who->sections, 1, memory_order_relaxed);
    }
    return true;
}

/* The conductor's side: what the crew had done at one moment. */
typedef struct snapshot {
    int64_t at_ns;
    int64_t commands;
    uint64_t sections;
    uint64_t each[CREW_MAX];
} snapshot;

typedef struct hot_race {
    arena *arena;
    crew *crew;
    int size;
    naive_lock floor;
    uint64_t each[CREW_MAX]; /* sections by participant, over all rounds */
    double floor_rates[ROUNDS_MAX], rates[ROUNDS_MAX], ratios[ROUNDS_MAX];
    int rounds;
    int64_t commands;
    uint64_t sections;
} hot_race;

static bool take_snapshot(const hot_race *self, snapshot *out)
{
    out->commands = floor_commands_sent(self->floor.link);
    out->at_ns = now_ns();
    out->sections = crew_sections(self->crew, out->each);
    return out->commands >= 0;
}

static bool all_have_joined(const hot_race *self, const uint64_t before[CREW_MAX])
{
    uint64_t now[CREW_MAX];
    crew_sections(self->crew, now);
    for (int i = 0; i < self->size; i++) {
        if (now[i] == before[i]) return false;
    }
    return true;
}

/* Until each participant has had the lock. False when one does not get it. */
static bool await_joined(const hot_race *self, const uint64_t before[CREW_MAX])
{
    const int64_t limit = now_ns() + 10 * NS_PER_S;
    while (!all_have_joined(self, before)) {
        if (crew_has_failed(self->crew)) return false;
        if (now_ns() > limit) {
            fprintf(stderr, "bench: a participant never got the hot lock\n");
            return false;
        }
        sleep_ns(NS_PER_MS);
    }
    return true;
}

static bool count_sections(hot_race *self, int64_t slice_ns, snapshot *first, snapshot *last)
{
    uint64_t before[CREW_MAX];
    crew_sections(self->crew, before);
    crew_begin(self->crew, 0);
    if (!await_joined(self, before)) return false;
    if (!take_snapshot(self, first)) return false;
    atomic_store(&self->arena->counted_from_ns, first->at_ns);
    sleep_ns(slice_ns);
    if (!take_snapshot(self, last)) return false;
    crew_stop(self->crew);
    const bool are_back = crew_await(self->crew);
    atomic_store(&self->arena->counted_from_ns, INT64_MAX);
    return are_back;
}

static bool race_once(hot_race *self, int64_t floor_ns, int64_t slice_ns)
{
    snapshot first, last;
    const double before = naive_pairs_per_second(&self->floor, floor_ns);
    if (before <= 0 || !count_sections(self, slice_ns, &first, &last)) return false;
    const double after = naive_pairs_per_second(&self->floor, floor_ns);
    if (after <= 0) return false;
    const double floor = (before + after) / 2;
    const uint64_t sections = last.sections - first.sections;
    const double rate = (double)sections * 1e9 / (double)(last.at_ns - first.at_ns);
    self->floor_rates[self->rounds] = floor;
    self->rates[self->rounds] = rate;
    self->ratios[self->rounds++] = rate / floor;
    self->commands += last.commands - first.commands;
    self->sections += sections;
    for (int i = 0; i < self->size; i++) self->each[i] += last.each[i] - first.each[i];
    return sections > 0;
}

static double longest_over_mean_wait(const hot_race *self)
{
    waits all = {0};
    for (int i = 0; i < self->size; i++) {
        const waits *own = &self->arena->waits[i];
        all.waited_ns += own->waited_ns;
        all.count += own->count;
        if (own->longest_ns > all.longest_ns) all.longest_ns = own->longest_ns;
    }
    return (double)all.longest_ns * (double)all.count / (double)all.waited_ns;
}

static void tell(hot_race *self, report *to, enum crew_kind kind)
{
    const size_t rounds = (size_t)self->rounds;
    const double ratio = median(self->ratios, rounds);
    const double floor = median(self->floor_rates, rounds); /* and sorts them */
    const double rate = median(self->rates, rounds);
    const double jain = jain_index(self->each, (size_t)self->size);
    const double commands = (double)self->commands / (double)self->sections;
    const double longest = longest_over_mean_wait(self);
    char what[32];
    snprintf(what, sizeof what, "hot %d %s", self->size,
             kind == CREW_THREADS ? "threads" : "processes");
    report_row(to, what, "pairs/s", floor, rate, ratio,
               "Jain %.4f, %.2f commands a section, longest wait %.1f x mean, floor %.0f to %.0f",
               jain, commands, longest, self->floor_rates[0], self->floor_rates[rounds - 1]);
    if (self->size != 64) return;
    if (kind == CREW_THREADS) {
        report_figure(to, FIGURE_hot64_threads_ratio, ratio);
        report_figure(to, FIGURE_hot64_threads_jain, jain);
        report_figure(to, FIGURE_hot64_threads_commands_per_section, commands);
        return;
    }
    report_figure(to, FIGURE_hot64_throughput_ratio, ratio);
    report_figure(to, FIGURE_hot64_floor_per_second, floor);
    report_figure(to, FIGURE_hot64_sections_per_second, rate);
    report_figure(to, FIGURE_hot64_jain, jain);
    report_figure(to, FIGURE_hot64_commands_per_section, commands);
    report_figure(to, FIGURE_hot64_longest_over_mean_wait, longest);
}

/* The sizes that the figures are about get more slices. */
static bool race(hot_race *self, const benchmark *bench)
{
    const int rounds = self->size == 64  ? (bench->is_quick ? 3 : ROUNDS_MAX)
                       : bench->is_quick ? 1
                                         : 4;
    const int64_t floor_ns = (bench->is_quick ? 100 : 250) * NS_PER_MS;
    const int64_t slice_ns = (bench->is_quick ? 800 : 2000) * NS_PER_MS;
    for (int i = 0; i < rounds; i++) {
        if (!race_once(self, floor_ns, slice_ns)) return false;
    }
    return true;
}

static arena *arena_new(const route *by)
{
    arena *self = shared_new(sizeof *self);
    if (self == NULL) return NULL;
    self->by = by;
    atomic_init(&self->counted_from_ns, INT64_MAX);
    return self;
}

static bool measure(const benchmark *bench, enum crew_kind kind, int size)
{
    static const crew_task task = {contender_open, contender_slice, contender_close};
    hot_race self = {.size = size, .arena = arena_new(&bench->local)};
    if (self.arena == NULL) return false;
    if (kind == CREW_THREADS &&
        !is_ok(redlock_open(bench->local.uri, NULL, &self.arena->shared_client), "open")) {
        return false;
    }
    self.crew = crew_new(kind, size, &task, self.arena);
    if (self.crew == NULL || !naive_open(&self.floor, &bench->local, "floor:hot")) return false;
    if (!race(&self, bench)) return false;
    tell(&self, bench->report, kind);
    crew_close(self.crew);
    naive_close(&self.floor);
    return is_ok(redlock_close(self.arena->shared_client), "close");
}

bool measure_hot_processes(const benchmark *self, int size)
{
    return measure(self, CREW_PROCESSES, size);
}

bool measure_hot_threads(const benchmark *self, int size)
{
    return measure(self, CREW_THREADS, size);
}
