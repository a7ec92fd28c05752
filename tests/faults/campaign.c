/* SPDX-License-Identifier: MIT
 * The fault campaign's command line:
 *
 *     faults [--seconds N] [--rounds R] [--seed S] [--pace MS]
 *
 * A round is a day of faults that keep the server's data, and a day of faults that lose it; each
 * day deals every kind once, shuffled, one every MS on average. After each fault everybody must
 * make progress. At night the workers rest, the server must have forgotten all locks, and the
 * checker reads what was written down. The last line is figures; the exit status is 1 when a
 * promise was broken, and the records that prove it stand above. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults/kinds.h"
#include "faults/report.h"
#include "faults/worker.h"

enum { KINDS_MOST = 64, PACE_MS = 4500, LATENESS_US = 100000, INSTRUMENTED_TIMES = 6 };
enum { PROGRESS_WITHIN_US = 10000000, PAUSE_MS = 5, LOOK_MOST_US = 10000 };

typedef struct settings {
    uint64_t seed;
    int64_t seconds, pace_ms;
    long rounds;
} settings;

typedef struct campaign {
    settings how;
    arena arena;
    report report;
    const char *kinds_seen[KINDS_MOST];
    uint64_t floors[NAMES];
    footprint first, last;
    bool has_first;
} campaign;

static int times(void) { return patience_is_instrumented() ? INSTRUMENTED_TIMES : 1; }

/* ---- Waiting ----------------------------------------------------------------------------------*/

/* A wait with a bound. Each look takes no more of it than LOOK_MOST_US, however long it really
 * took: a machine or a server that stands still is not held against the workers. */
typedef struct bounded_wait {
    int64_t from_us, looked_us, spent_us;
} bounded_wait;

static bounded_wait wait_begin(void)
{
    int64_t now_us = boot_us();
    return (bounded_wait){.from_us = now_us, .looked_us = now_us};
}

/* Between two looks; false when the bound has passed. */
static bool wait_goes_on(campaign *self, bounded_wait *wait)
{
    arena_pass(PAUSE_MS);
    freeReplyObject(server_command(self->arena.server, "PING"));
    int64_t now_us = boot_us(), took_us = now_us - wait->looked_us;
    wait->looked_us = now_us;
    wait->spent_us += took_us < LOOK_MOST_US ? took_us : LOOK_MOST_US;
    return wait->spent_us <= PROGRESS_WITHIN_US * times();
}

/* After a fault: all the seats make progress, or are stuck. */
static void await_progress(campaign *self)
{
    crew *all = &self->arena.crew;
    bounded_wait wait = wait_begin();
    progress then = crew_progress(all);
    while (crew_stuck_since(all, &then, false) > 0 && wait_goes_on(self, &wait))
        crew_look_after(all);
    self->report.stuck += crew_stuck_since(all, &then, true);
    int64_t recovery_ms = (boot_us() - wait.from_us) / 1000;
    if (recovery_ms > self->report.recovery_ms) self->report.recovery_ms = recovery_ms;
}

/* Those who do not come to rest are replaced, so that each day begins afresh. */
static void await_rest(campaign *self)
{
    crew *all = &self->arena.crew;
    bounded_wait wait = wait_begin();
    crew_order(all, ORDER_REST);
    while (crew_restless(all, false) > 0 && wait_goes_on(self, &wait)) crew_look_after(all);
    int restless = crew_restless(all, true);
    self->report.stuck += restless;
    if (restless > 0) crew_replace_all(all);
}

/* Keys where somebody holds or waits, or that never expire. What is buried stays for two minutes,
 * and bars nobody. */
static const char peopled_keys[] =
    "local found = {} "
    "for _, key in ipairs(redis.call('KEYS', '*')) do "
    "if redis.call('ZCOUNT', key, '(0', '+inf') > 0 or redis.call('PTTL', key) < 0 then "
    "found[#found + 1] = key end end return found";

static void count_leaked(campaign *self)
{
    redisReply *keys = server_command(self->arena.server, "EVAL %s 0", peopled_keys);
    for (size_t i = 0; i < keys->elements; i++) printf("leaked: %s\n", keys->element[i]->str);
    self->report.leaked_keys += (long)keys->elements;
    freeReplyObject(keys);
    server_order(self->arena.server, "FLUSHALL");
}

/* Nobody holds or waits any more: what is left expires. */
static void await_no_key(campaign *self)
{
    bounded_wait wait = wait_begin();
    while (server_number(self->arena.server, "EVAL %s 0", peopled_keys) > 0 &&
           wait_goes_on(self, &wait))
        continue;
    if (server_number(self->arena.server, "EVAL %s 0", peopled_keys) > 0) count_leaked(self);
}

/* ---- Reading what was written down ----------------------------------------------------------- */

static size_t gather(campaign *self, section *out)
{
    size_t count = 0;
    for (int i = 0; i < SEATS; i++) {
        seat *from = &self->arena.crew.ledger->seats[i];
        size_t written = (size_t)atomic_load(&from->count);
        memcpy(out + count, from->sections, written * sizeof *out);
        count += written;
        self->report.stale += (long)atomic_exchange(&from->stale, 0);
        atomic_store(&from->count, 0);
    }
    return count;
}

static void count_section(campaign *self, const section *one)
{
    report *to = &self->report;
    to->sections++;
    to->shared += one->mode == REDLOCK_SHARED;
    to->killed += one->leave_us == 0;
    to->lost += one->lost_us != 0;
    to->refused += one->refused;
    if (one->fence > self->floors[one->name]) self->floors[one->name] = one->fence;
}

static void add(findings *sum, const findings *found)
{
    sum->overlaps += found->overlaps;
    sum->falling_fences += found->falling_fences;
    sum->overstays += found->overstays;
    sum->robberies += found->robberies;
    sum->stale_writes += found->stale_writes;
    sum->excused += found->excused;
}

static void judge(campaign *self, const char *what, int faults)
{
    section *all = calloc((size_t)SEATS * SECTIONS_MOST, sizeof *all);
    if (all == NULL) abort();
    evidence from = {.sections = all,
                     .count = gather(self, all),
                     .losses = self->arena.losses,
                     .loss_count = self->arena.loss_count,
                     .floors = self->floors,
                     .lateness_us = LATENESS_US * times()};
    findings found = check(&from, report_finding, &self->report);
    for (size_t i = 0; i < from.count; i++) count_section(self, &all[i]);
    report_day(&self->report, what, faults, (long)from.count, &found);
    add(&self->report.found, &found);
    free(all);
}

/* ---- Days and nights --------------------------------------------------------------------------*/

static bool is_over(const campaign *self)
{
    int64_t seconds = self->how.seconds;
    return seconds > 0 && boot_us() >= self->report.began_us + seconds * 1000000;
}

/* A ledger that is nearly full ends the day. */
static bool is_evening(const campaign *self)
{
    for (int i = 0; i < SEATS; i++)
        if (atomic_load(&self->arena.crew.ledger->seats[i].count) > SECTIONS_MOST * 3 / 4)
            return true;
    return is_over(self);
}

static void note_kind(campaign *self, const char *kind)
{
    report *to = &self->report;
    for (int i = 0; i < to->kind_count; i++)
        if (self->kinds_seen[i] == kind) return;
    self->kinds_seen[to->kind_count++] = kind;
}

static void inject(campaign *self, const fault_kind *kind)
{
    report *to = &self->report;
    fault *now = &to->faults[to->fault_count++];
    *now = (fault){.kind = kind->name, .from_us = boot_us()};
    kind->inject(&self->arena);
    now->to_us = boot_us();
    note_kind(self, kind->name);
    await_progress(self);
}

static int deal(const fault_kinds *piles, int pile_count, const fault_kind **deck, dice *luck)
{
    int count = 0;
    for (int i = 0; i < pile_count; i++)
        for (int j = 0; j < piles[i].count; j++) deck[count++] = &piles[i].first[j];
    for (int i = count - 1; i > 0; i--) {
        int other = (int)dice_below(luck, i + 1);
        const fault_kind *held = deck[i];
        deck[i] = deck[other];
        deck[other] = held;
    }
    return count;
}

/* What is left of the time until the next fault. */
static void await_turn(campaign *self, int64_t since_us)
{
    int64_t pace_us = self->how.pace_ms * 1000;
    int64_t next_us = since_us + dice_between(&self->arena.dice, pace_us * 2 / 3, pace_us * 4 / 3);
    while (boot_us() < next_us && !is_over(self)) arena_pass(PAUSE_MS);
}

static void night(campaign *self, const char *what, int faults)
{
    await_rest(self);
    await_no_key(self);
    self->last = soak_measure(&self->arena.crew);
    if (!self->has_first) self->first = self->last;
    self->has_first = boot_us() >= self->report.began_us + self->how.seconds * 100000;
    judge(self, what, faults);
}

static void day(campaign *self, const char *what, const fault_kinds *piles, int pile_count)
{
    const fault_kind *deck[KINDS_MOST];
    int count = deal(piles, pile_count, deck, &self->arena.dice), injected = 0;
    self->arena.loss_count = 0;
    crew_order(&self->arena.crew, ORDER_WORK);
    await_progress(self);
    for (; injected < count && !is_evening(self) && self->report.fault_count < FAULTS_MOST;
         injected++) {
        int64_t since_us = boot_us();
        inject(self, deck[injected]);
        await_turn(self, since_us);
    }
    night(self, what, injected);
}

static void round_of_days(campaign *self)
{
    fault_kinds keeping[] = {kinds_of_workers(), kinds_of_server(), kinds_of_network()};
    fault_kinds losing[] = {kinds_of_loss(), kinds_of_loss()};
    day(self, "data kept", keeping, 3);
    if (!is_over(self)) day(self, "data lost", losing, 2);
}

static void go_home(campaign *self)
{
    crew *all = &self->arena.crew;
    bounded_wait wait = wait_begin();
    int remaining;
    crew_order(all, ORDER_GO_HOME);
    while ((remaining = crew_remaining(all)) > 0 && wait_goes_on(self, &wait)) continue;
    if (remaining > 0) printf("%d workers do not go home\n", remaining);
    self->report.stuck += remaining;
    await_no_key(self);
}

/* ---- All of it --------------------------------------------------------------------------------*/

static int run(campaign *self)
{
    self->report.began_us = boot_us();
    self->report.faults = calloc(FAULTS_MOST, sizeof *self->report.faults);
    if (self->report.faults == NULL) return 2;
    printf("seed %llu\n", (unsigned long long)self->how.seed);
    fflush(stdout);
    arena_open(&self->arena, self->how.seed, self->how.pace_ms);
    for (long i = 0; !is_over(self) && (self->how.rounds == 0 || i < self->how.rounds); i++)
        round_of_days(self);
    go_home(self);
    self->report.growth = soak_compare(&self->first, &self->last);
    self->report.crashes = self->arena.crew.crashes;
    report_statuses(&self->report, self->arena.crew.ledger);
    arena_close(&self->arena);
    return report_end(&self->report, self->how.seed) ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: faults [--seconds N] [--rounds R] [--seed S] [--pace MS]\n");
    return 2;
}

static bool read_settings(settings *out, int argc, char **argv)
{
    *out = (settings){.seed = (uint64_t)boot_us() % 1000000, .pace_ms = PACE_MS};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) return false;
        if (strcmp(argv[i], "--seed") == 0) out->seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0) out->seconds = atol(argv[i + 1]);
        else if (strcmp(argv[i], "--rounds") == 0) out->rounds = atol(argv[i + 1]);
        else if (strcmp(argv[i], "--pace") == 0) out->pace_ms = atol(argv[i + 1]);
        else return false;
    }
    return (out->seconds > 0 || out->rounds > 0) && out->pace_ms > 0;
}

int main(int argc, char **argv)
{
    static campaign self;
    if (argc == 6 && strcmp(argv[1], "worker") == 0) return worker_main(argv);
    if (!read_settings(&self.how, argc, argv)) return usage();
    return run(&self);
}
