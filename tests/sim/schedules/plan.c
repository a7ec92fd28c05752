/* SPDX-License-Identifier: MIT
 * Schedules from seeds. Rule: short ones, since a violation that needs many events is rare, and a
 * second of computing buys more short schedules. */
#include "sim/schedules/plan.h"

#include <stdio.h>

static const char *const fault_names[] = {
#define FAULT_NAME(kind, text) [FAULT_##kind] = (text),
    FAULTS(FAULT_NAME)
#undef FAULT_NAME
};

const char *fault_name(enum fault_kind kind) { return fault_names[kind]; }

/* ---- Clients --------------------------------------------------------------------------------- */

static int64_t ttl(dice *chance)
{
    switch (dice_below(chance, 8)) {
    case 0: return dice_between(chance, 3, 40);
    case 1:
    case 2:
    case 3: return dice_between(chance, 40, 300);
    case 7: return dice_between(chance, 3000, 20000);
    default: return dice_between(chance, 300, 3000);
    }
}

static int64_t wait(dice *chance)
{
    switch (dice_below(chance, 8)) {
    case 0:
    case 1: return 0;
    case 2:
    case 3:
    case 4: return dice_spread(chance, 1, 3000);
    default: return REDLOCK_WAIT_FOREVER;
    }
}

static enum midway midway(dice *chance, const plan *whole, const job *self)
{
    bool may_convert = whole->permits[self->name] == 0;
    bool is_rich = whole->theme == THEME_CONVERSIONS && may_convert && dice_below(chance, 2) == 0;
    if (!is_rich && dice_below(chance, 5) != 0) return MIDWAY_NOTHING;
    if (!is_rich && self->is_reentrant && dice_below(chance, 2) == 0) return MIDWAY_ENTER;
    if (!is_rich && (dice_below(chance, 2) == 0 || !may_convert)) return MIDWAY_EXTEND;
    return self->mode == REDLOCK_SHARED ? MIDWAY_UPGRADE : MIDWAY_DOWNGRADE;
}

static void make_job(job *self, const plan *whole, dice *chance)
{
    /* A lease that ends before its grant is heard of is never held, whatever one asks. */
    int64_t ttl_ms = ttl(chance),
            least_ms = 8 * (whole->network.base_us + whole->network.jitter_us) / 1000 + 6;
    if (ttl_ms < least_ms) ttl_ms = least_ms;
    int64_t hold_most_us = ttl_ms < 3000 ? ttl_ms * 1500 : 3000000;
    *self = (job){.name = dice_below(chance, 5) == 0 ? 1 : 0,
                  .think_us = dice_spread(chance, 0, 400000),
                  .ttl_ms = ttl_ms,
                  .wait_ms = wait(chance),
                  .auto_renew = dice_below(chance, 2) == 0,
                  .is_async = dice_below(chance, 3) == 0,
                  .is_reentrant = dice_below(chance, 4) == 0,
                  .is_told = dice_below(chance, 2) == 0,
                  .hold_us = dice_spread(chance, 0, hold_most_us)};
    /* Around the end of the lease is where a wrong belief shows. */
    if (ttl_ms < 3000 && dice_below(chance, 3) == 0)
        self->hold_us = ttl_ms * dice_between(chance, 700, 1300);
    /* And only whoever holds for longer than the lease needs renewals. */
    if (self->auto_renew && dice_below(chance, ttl_ms < 3000 ? 2 : 4) == 0)
        self->hold_us = ttl_ms * dice_between(chance, 1000, ttl_ms < 3000 ? 2500 : 1500);
    bool is_shared_name = whole->policy[self->name] != REDLOCK_PREFER_READERS ||
                          whole->permits[self->name] > 0;
    if (dice_chance(chance, is_shared_name ? 650 : 250)) self->mode = REDLOCK_SHARED;
    /* Nor is a claim: two waiters that hear of theirs too late hand the lock to each other for
     * ever. */
    if (dice_below(chance, 3) == 0)
        self->claim_ms = dice_below(chance, 4) == 0 ? dice_spread(chance, least_ms, ttl_ms)
                                                    : dice_between(chance, least_ms, ttl_ms);
    if (dice_below(chance, 10) == 0)
        self->max_hold_ms = dice_between(chance, least_ms, 2 * ttl_ms + least_ms);
    self->midway = midway(chance, whole, self);
    self->conversions = (int)dice_between(chance, 1, 3);
}

/* Two holds of one owner in one process may be one handle: they are kept apart. */
static void make_owner(job *self, const plan *whole, const client_plan *of, int number,
                       dice *chance)
{
    bool is_apart = !of->is_parallel || number < OWNERS_MOST;
    if (whole->theme != THEME_OWNERS || !is_apart || dice_below(chance, 3) == 0) return;
    self->is_reentrant = true;
    self->owner = of->is_parallel ? 1 + number : (int)dice_between(chance, 1, 2);
}

/* Many at once that want one lock, on one connection. */
static void make_crowd(client_plan *self, const plan *whole, dice *chance)
{
    self->is_parallel = true;
    self->job_count = (int)dice_between(chance, 4, JOBS_MOST);
    for (int i = 0; i < self->job_count; i++) {
        job *one = &self->jobs[i];
        make_job(one, whole, chance);
        one->name = 0;
        one->is_async = true;
        one->think_us = dice_spread(chance, 0, 20000);
        one->hold_us = dice_spread(chance, 0, 100000);
    }
}

static void make_client(client_plan *self, const plan *whole, dice *chance)
{
    /* A server that never answers in time is none. */
    int64_t round_trips_ms = 12 * (whole->network.base_us + whole->network.jitter_us) / 1000;
    *self =
        (client_plan){.offset_us = dice_between(chance, 1000000, INT64_C(1000000000000)),
                      .rate_ppm = dice_between(chance, -9000, 9000),
                      .timeout_ms = round_trips_ms + dice_spread(chance, 20, 2000),
                      .connect_timeout_ms = round_trips_ms + dice_spread(chance, 50, 2000),
                      .linger_ms = dice_below(chance, 4) == 0 ? -1 : dice_spread(chance, 1, 5000)};
    if (!whole->is_calm && dice_below(chance, 6) == 0) {
        self->stall_permille = (int)dice_between(chance, 1, 60);
        self->stall_most_us = dice_spread(chance, 100, 200000);
    }
    bool is_crowd = dice_below(chance, whole->theme == THEME_CROWD ? 2 : 12) == 0;
    if (whole->client_count <= 4 && is_crowd) {
        make_crowd(self, whole, chance);
        return;
    }
    self->is_parallel = dice_below(chance, 4) == 0;
    self->job_count = (int)dice_between(chance, 1, whole->client_count > 4 ? 2 : 4);
    for (int i = 0; i < self->job_count; i++) {
        make_job(&self->jobs[i], whole, chance);
        make_owner(&self->jobs[i], whole, self, i, chance);
    }
}

/* With so few most of what runs at once is carried by the keeper. */
static void make_connections(client_plan *self, dice *chance)
{
    static const int most[] = {0, 0, 4, 4, 6};
    self->max_connections = most[dice_below(chance, (int64_t)(sizeof most / sizeof *most))];
}

/* Who turns what happens in the background? Drawn last, so that everything else is as it would be
 * without it. */
static void make_host(client_plan *self, dice *chance)
{
    int64_t drawn = dice_below(chance, 5);
    if (drawn > 1) return;
    self->host = drawn == 0 ? REDLOCK_HOST_DELIVER : REDLOCK_HOST_MANUAL;
    self->asks_for_timeout = self->host == REDLOCK_HOST_MANUAL && dice_below(chance, 2) == 0;
    self->closes_inside = dice_below(chance, 2) == 0;
    for (int i = 0; i < self->job_count; i++)
        if (dice_below(chance, 6) == 0 && self->jobs[i].is_async) self->jobs[i].inside = DOOR_ASYNC;
}

/* A thread that is preempted just before it falls asleep shows only where that is frequent. */
static void stall_more(client_plan *self, dice *chance)
{
    if (self->stall_permille == 0 || dice_below(chance, 2) == 0) return;
    self->stall_permille = (int)dice_between(chance, 200, 600);
    self->stall_most_us = dice_spread(chance, 5000, 50000);
}

/* ---- Faults ---------------------------------------------------------------------------------- */

/* Nobody has to expect bytes that are older than two minutes. */
enum { PUT_OFF_MOST_US = 110000000, GHOSTS_MOST = 16 };

/* What strikes where the plan is rich. */
static enum fault_kind themed(const plan *whole, dice *chance)
{
    static const enum fault_kind kinds[THEMES][3] = {
        [THEME_CONVERSIONS] = {FAULT_MUTE, FAULT_DEFER, FAULT_DEFER},
        [THEME_OWNERS] = {FAULT_STOP, FAULT_GHOSTS, FAULT_FORCE},
        [THEME_CROWD] = {FAULT_STOP, FAULT_STOP, FAULT_GHOSTS},
        [THEME_LATE] = {FAULT_LATE, FAULT_DEFER, FAULT_BUSY}};
    return kinds[whole->theme][dice_below(chance, 3)];
}

static enum script_id script_asked(const plan *whole, dice *chance)
{
    static const enum script_id asked[] = {SCRIPT_ACQUIRE,  SCRIPT_ACQUIRE, SCRIPT_RELEASE,
                                           SCRIPT_RENEW,    SCRIPT_CANCEL,  SCRIPT_UPGRADE,
                                           SCRIPT_DOWNGRADE};
    bool converts = whole->theme == THEME_CONVERSIONS && dice_below(chance, 3) != 0;
    if (converts) return dice_below(chance, 2) == 0 ? SCRIPT_UPGRADE : SCRIPT_DOWNGRADE;
    return asked[dice_below(chance, (int64_t)(sizeof asked / sizeof *asked))];
}

/* The times of those that need one of their own. */
static void make_span(fault *self, dice *chance)
{
    switch (self->kind) {
    /* Long enough for leases that are not renewed to end. */
    case FAULT_FULL: self->span_us = dice_between(chance, 100000, 3000000); return;
    case FAULT_BUSY: self->span_us = dice_spread(chance, 1000, 500000); return;
    case FAULT_SPLIT: self->span_us = dice_between(chance, 100000, 3000000); return;
    case FAULT_LATE:
    case FAULT_DEFER: self->span_us = dice_spread(chance, 1000, PUT_OFF_MOST_US); return;
    case FAULT_FAILOVER:
        self->step_us = (dice_below(chance, 2) == 0 ? 1 : -1) * dice_spread(chance, 0, 2000000);
        return;
    default: return;
    }
}

static void make_fault(fault *self, const plan *whole, dice *chance)
{
    static const enum fault_kind kinds[] = {
        FAULT_MUTE,    FAULT_MUTE,      FAULT_CUT,   FAULT_CUT,           FAULT_CUT,
        FAULT_CUT,     FAULT_STOP,      FAULT_STOP,  FAULT_CRASH,         FAULT_CLOSE,
        FAULT_CANCEL,  FAULT_KILL,      FAULT_KILL,  FAULT_FULL,          FAULT_FULL,
        FAULT_RESTART, FAULT_FLUSH,     FAULT_STEP,  FAULT_RESTART_EMPTY, FAULT_FAILOVER,
        FAULT_FREEZE,  FAULT_STEP,      FAULT_FORCE, FAULT_LOADING,       FAULT_BUSY,
        FAULT_BUSY,    FAULT_READ_ONLY, FAULT_LATE,  FAULT_DEFER,         FAULT_SPLIT,
        FAULT_MATCH,   FAULT_GHOSTS,    FAULT_CLOSE, FAULT_CLOSE,         FAULT_CROWDED};
    bool is_themed = whole->theme != THEME_NONE && dice_below(chance, 2) == 0;
    *self = (fault){
        .kind = is_themed ? themed(whole, chance)
                          : kinds[dice_below(chance, (int64_t)(sizeof kinds / sizeof *kinds))],
        .client = (int)dice_below(chance, whole->client_count),
        .name = dice_below(chance, 5) == 0 ? 1 : 0,
        .count = (int)dice_spread(chance, 1, GHOSTS_MOST),
        .at_us = dice_spread(chance, 500, 2500000),
        .span_us = dice_spread(chance, 100, 2000000),
        .step_us = dice_below(chance, 3) == 0 ? dice_spread(chance, 1, 10000000)
                                              : -dice_between(chance, 1, 150000),
        .script = script_asked(whole, chance),
        .chance = dice_roll(chance)};
    make_span(self, chance);
}

bool plan_has(const plan *self, enum fault_kind kind)
{
    for (int i = 0; i < self->fault_count; i++)
        if (!self->faults[i].is_left_out && self->faults[i].kind == kind) return true;
    return false;
}

static bool loses_data(const plan *self)
{
    return plan_has(self, FAULT_RESTART_EMPTY) || plan_has(self, FAULT_FAILOVER);
}

/* A clock that steps back after the data is lost may let fences fall: the one thing that is not
 * promised. */
static void make_faults(plan *self, dice *chance)
{
    int count = (int)dice_between(chance, 1, 5);
    for (int i = 0; i < count; i++) {
        fault *one = &self->faults[self->fault_count];
        make_fault(one, self, chance);
        self->fault_count++;
        if (plan_has(self, FAULT_STEP) && loses_data(self)) self->fault_count--;
    }
    /* Nor is it promised when the clock steps back further than the key lingers. */
    int64_t least_ms = plan_has(self, FAULT_FAILOVER) ? 3000
                       : plan_has(self, FAULT_STEP)   ? 1000
                                                      : -1;
    for (int i = 0; i < self->client_count; i++)
        if (self->clients[i].linger_ms < least_ms) self->clients[i].linger_ms = least_ms;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void make_network(plan *self, dice *chance)
{
    self->network = (network_terms){.base_us = dice_spread(chance, 10, 2000),
                                    .jitter_us = dice_spread(chance, 1, 3000)};
    if (dice_below(chance, 4) == 0) self->network.jitter_us = dice_spread(chance, 1, 30000);
    if (self->is_calm) return;
    if (dice_below(chance, 12) == 0) self->network.pieces_permille = 1000;
    if (dice_below(chance, 6) == 0)
        self->network.repeat_permille = (int)dice_between(chance, 10, 200);
    if (dice_below(chance, 3) == 0) {
        self->network.spike_permille = (int)dice_between(chance, 5, 200);
        self->network.spike_most_us = dice_spread(chance, 5000, 1000000);
    }
    bool is_troubled = self->network.repeat_permille > 0 || self->network.spike_permille > 0;
    if (is_troubled) self->network.troubled_until_us = 3000000;
}

/* From a stream of its own, so that everything else is as it would be without it. */
static enum load_manner load_manner(const plan *self)
{
    dice chance = dice_for(self->seed, 3);
    int64_t drawn = dice_below(&chance, 12);
    if (drawn == 0 && !self->is_calm) return LOAD_ENDS_THE_CONNECTION;
    return drawn <= 2 ? LOAD_IS_REFUSED : LOAD_IS_TAKEN;
}

/* From a stream of its own, likewise. */
static void make_company(plan *self)
{
    dice chance = dice_for(self->seed, 4);
    for (int i = 0; i < self->client_count; i++)
        for (int j = 0; j < self->clients[i].job_count; j++)
            self->clients[i].jobs[j].is_in_company = dice_below(&chance, 3) == 0;
}

/* Loops that have other things to do. From a stream of its own, likewise. */
static void make_late_loops(plan *self)
{
    dice chance = dice_for(self->seed, 5);
    for (int i = 0; i < self->client_count; i++) {
        client_plan *of = &self->clients[i];
        bool is_late = dice_below(&chance, 3) == 0;
        int permille = (int)dice_spread(&chance, 20, 500);
        int64_t most_us = dice_spread(&chance, 1000, 300000);
        if (!is_late || of->host == REDLOCK_HOST_KEEPER) continue;
        of->late_permille = permille;
        of->late_most_us = most_us;
    }
}

/* From a stream of its own, likewise. What is released inside on_lost is nobody's midway. */
static void make_doors(plan *self)
{
    dice chance = dice_for(self->seed, 6);
    for (int i = 0; i < self->client_count; i++) {
        for (int j = 0; j < self->clients[i].job_count; j++) {
            job *one = &self->clients[i].jobs[j];
            enum door inside = (enum door)dice_between(&chance, DOOR_ASYNC, DOORS - 1);
            enum door inside_loss = (enum door)dice_between(&chance, DOOR_ASYNC, DOORS - 1);
            bool is_inside = dice_below(&chance, 6) == 0 && one->is_async;
            bool is_lost_inside = dice_below(&chance, 3) == 0 && one->is_told;
            if (one->inside != DOOR_NONE || is_inside) one->inside = inside;
            if (is_lost_inside && one->midway == MIDWAY_NOTHING) one->inside_loss = inside_loss;
        }
    }
}

static void make_set(job *first, job *second)
{
    first->is_reentrant = false;
    first->owner = 0;
    first->midway = MIDWAY_NOTHING;
    first->inside = first->inside_loss = DOOR_NONE;
    *second = *first;
    first->part = PART_FIRST;
    second->part = PART_SECOND;
    second->name = 1 - first->name;
}

/* From a stream of its own, likewise. The last job of a client may take both names, where the same
 * options are right for both. */
static void make_sets(plan *self)
{
    dice chance = dice_for(self->seed, 7);
    bool are_alike = self->policy[0] == self->policy[1] && self->permits[0] == self->permits[1];
    for (int i = 0; i < self->client_count; i++) {
        client_plan *of = &self->clients[i];
        bool is_set = dice_below(&chance, 3) == 0;
        if (is_set && are_alike && of->job_count < JOBS_MOST)
            make_set(&of->jobs[of->job_count - 1], &of->jobs[of->job_count]);
    }
}

void plan_make(plan *self, uint64_t seed)
{
    dice chance = dice_for(seed, 1);
    *self = (plan){.seed = seed, .is_calm = dice_below(&chance, 8) == 0};
    for (int i = 0; i < NAMES_MOST; i++) {
        self->policy[i] = (redlock_policy)dice_below(&chance, 3);
        if (dice_below(&chance, 4) == 0) self->permits[i] = (uint32_t)dice_between(&chance, 1, 3);
    }
    self->client_count = 2 + (int)dice_below(&chance, dice_below(&chance, 4) == 0 ? 7 : 3);
    self->theme = dice_below(&chance, 2) == 0 ? (enum theme)dice_below(&chance, THEMES)
                                              : THEME_NONE;
    make_network(self, &chance);
    self->load = load_manner(self);
    for (int i = 0; i < self->client_count; i++) {
        dice own = dice_for(seed, 10 + (uint64_t)i);
        make_client(&self->clients[i], self, &own);
        make_host(&self->clients[i], &own);
        make_connections(&self->clients[i], &own);
        stall_more(&self->clients[i], &own);
    }
    make_company(self);
    make_late_loops(self);
    make_doors(self);
    make_sets(self);
    if (!self->is_calm) make_faults(self, &chance);
}

bool plan_is_gentle(const plan *self)
{
    for (int i = 0; i < self->client_count; i++)
        if (self->clients[i].stall_permille > 0) return false;
    for (int i = 0; i < self->fault_count; i++) {
        const fault *one = &self->faults[i];
        bool is_gentle = one->kind == FAULT_CLOSE || one->kind == FAULT_CANCEL ||
                         one->kind == FAULT_FLUSH || one->kind == FAULT_MATCH ||
                         one->kind == FAULT_GHOSTS || one->kind == FAULT_FORCE;
        if (!one->is_left_out && !is_gentle) return false;
    }
    /* Of a short timeout two connections that end, and the pauses before the next ones, may leave
     * nothing. */
    return self->network.spike_permille == 0 && self->load != LOAD_ENDS_THE_CONNECTION;
}

int64_t plan_healed_us(const plan *self)
{
    int64_t healed_us = self->network.troubled_until_us + self->network.spike_most_us;
    for (int i = 0; i < self->fault_count; i++) {
        const fault *one = &self->faults[i];
        bool is_put_off = one->kind == FAULT_LATE || one->kind == FAULT_DEFER;
        int64_t over_us = one->at_us + (is_put_off ? 0 : one->span_us);
        if (!one->is_left_out && healed_us < over_us) healed_us = over_us;
    }
    return healed_us;
}

/* ---- Telling --------------------------------------------------------------------------------- */

static void print_job(const plan *whole, const job *self, int number)
{
    static const char *const between[] = {"", ", extend", ", enter again", ", downgrade",
                                          ", upgrade"};
    static const char *const doors[DOORS] = {
        "", "release_async", "release", "release_and_clear", "auto_release", "scope_end"};
    printf("    %d after %lld us: %s %d (policy %d, permits %u), ttl %lld ms, wait %lld ms, claim "
           "%lld ms, "
           "max hold %lld ms%s%s%s%s, hold %lld us%s%s%s%s%s%s, owner %d\n",
           number, (long long)self->think_us, self->mode == REDLOCK_SHARED ? "shared" : "exclusive",
           self->name, (int)whole->policy[self->name], whole->permits[self->name],
           (long long)self->ttl_ms, (long long)self->wait_ms, (long long)self->claim_ms,
           (long long)self->max_hold_ms, self->auto_renew ? ", renewed" : "",
           self->part == PART_FIRST ? ", a set" : "", self->is_async ? ", async" : "",
           self->is_reentrant ? ", reentrant" : "", (long long)self->hold_us, between[self->midway],
           self->is_in_company ? " in company" : "",
           self->inside == DOOR_NONE ? "" : ", completed by ", doors[self->inside],
           self->inside_loss == DOOR_NONE ? "" : ", lost by ", doors[self->inside_loss],
           self->owner);
}

static void print_client(const plan *whole, int number)
{
    static const char *const hosts[] = {"KEEPER", "DELIVER", "MANUAL"};
    const client_plan *self = &whole->clients[number];
    printf("  client %d: host %s%s%s, jobs %s, clock %+lld ppm, timeout %lld ms, connect %lld ms, "
           "linger %lld ms, connections %d, "
           "stalls %d of 1000 "
           "up to %lld us, loop late %d of 1000 up to %lld us\n",
           number, hosts[self->host], self->asks_for_timeout ? " with its timeout" : "",
           self->closes_inside ? ", closed by a callback" : "",
           self->is_parallel ? "at once" : "in turn", (long long)self->rate_ppm,
           (long long)self->timeout_ms, (long long)self->connect_timeout_ms,
           (long long)self->linger_ms, self->max_connections, self->stall_permille,
           (long long)self->stall_most_us, self->late_permille, (long long)self->late_most_us);
    for (int i = 0; i < self->job_count; i++)
        if (!self->jobs[i].is_left_out) print_job(whole, &self->jobs[i], i);
}

void plan_print(const plan *self)
{
    static const char *const loads[] = {"", ", SCRIPT LOAD is refused",
                                        ", SCRIPT LOAD ends the connection"};
    const network_terms *net = &self->network;
    printf("schedule %llu: delay %lld + 0..%lld us, spikes %d of 1000 up to %lld us, in pieces %d, "
           "repeated %d of "
           "1000%s\n",
           (unsigned long long)self->seed, (long long)net->base_us, (long long)net->jitter_us,
           net->spike_permille, (long long)net->spike_most_us, net->pieces_permille,
           net->repeat_permille, loads[self->load]);
    for (int i = 0; i < self->client_count; i++)
        if (!self->clients[i].is_left_out) print_client(self, i);
    for (int i = 0; i < self->fault_count; i++) {
        const fault *one = &self->faults[i];
        if (one->is_left_out) continue;
        printf("  at %lld us for %lld us: %s%s (client %d, step %lld us)\n", (long long)one->at_us,
               (long long)one->span_us, fault_name(one->kind),
               one->kind == FAULT_MUTE || one->kind == FAULT_DEFER ? scripts[one->script].name : "",
               one->client, (long long)one->step_us);
    }
}
