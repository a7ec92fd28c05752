/* SPDX-License-Identifier: MIT
 * Shared locks: acquire + release beside no other holder, against the exclusive lock; and beside
 * few and many other holders. The others are entered by the library's own script, over a raw
 * connection, with leases that outlast the measurement: the server sees no difference to as many
 * clients. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "statistics.h"
#include "stopwatch.h"
#include "wire/answer.h"
#include "wire/identity.h"
#include "wire/key.h"
#include "wire/question.h"

enum { PAIRS_PER_SLICE = 100, SLICES_MAX = 1000, FEW = 10, MANY = 10000, HOLDER_TTL_MS = 600000 };

/* Each slice is one way of taking a lock; they take turns. */
enum { EXCLUSIVE, SHARED, BESIDE_FEW, BESIDE_MANY, WAYS };

static const struct {
    const char *name;
    redlock_mode mode;
    int others;
    const char *label;
} ways[WAYS] = {{"readers:exclusive", REDLOCK_EXCLUSIVE, 0, "exclusive"},
                {"readers:shared", REDLOCK_SHARED, 0, "shared, alone"},
                {"readers:few", REDLOCK_SHARED, FEW, "shared, beside 10"},
                {"readers:many", REDLOCK_SHARED, MANY, "shared, beside 10000"}};

typedef struct readers_race {
    redlock_client *client;
    redisContext *link;
    int64_t took_ns[WAYS][SLICES_MAX * PAIRS_PER_SLICE];
    double p50_ns[WAYS][SLICES_MAX];
    floor_scripts server[WAYS]; /* what the server spent on them */
    size_t slices;
} readers_race;

/* ---- The other holders ---- */

static size_t key_of(char key[64], const char *name)
{
    return key_write(key, 64, "redlock:", name, strlen(name));
}

static bool append_holder(redisContext *link, const identity *who, const char *name, int number)
{
    char key[64], hold_id[HOLD_ID_SIZE], holder[HOLDER_SIZE];
    identity_hold_id(hold_id, who, (uint64_t)number);
    const question asked = {.script = SCRIPT_ACQUIRE,
                            .key = key,
                            .key_length = key_of(key, name),
                            .holder = holder,
                            .holder_length = holder_write(holder, "-", hold_id, who->who),
                            .first_ms = HOLDER_TTL_MS,
                            .grace_ms = 5000,
                            .mode = "s",
                            .mode_length = 1};
    command cmd;
    question_command(&cmd, &asked, false);
    return redisAppendCommandArgv(link, cmd.argc, (const char **)cmd.argv, cmd.length) == REDIS_OK;
}

static bool was_granted(redisContext *link)
{
    void *got = NULL;
    const bool has_come = redisGetReply(link, &got) == REDIS_OK && got != NULL;
    const redisReply *told = got;
    const bool is_granted = has_come && told->type == REDIS_REPLY_ARRAY && told->elements == 6 &&
                            told->element[0]->integer == ACQUIRE_GRANTED &&
                            told->element[5]->integer == HOLDER_TTL_MS;
    if (!is_granted) fprintf(stderr, "bench: no other holder could be entered\n");
    if (has_come) freeReplyObject(got);
    return is_granted;
}

static bool enter_others(redisContext *link, const char *name, int count)
{
    static const uint8_t random[IDENTITY_RANDOM_BYTES] = "other reader";
    identity who;
    identity_make(&who, random, "bench", 1, "reader");
    for (int i = 0; i < count; i++) {
        if (!append_holder(link, &who, name, i)) return false;
    }
    for (int i = 0; i < count; i++) {
        if (!was_granted(link)) return false;
    }
    return true;
}

static bool are_still_there(redlock_client *client, const char *name, int count)
{
    redlock_inspection *now;
    if (!is_ok(redlock_inspect(client, name, strlen(name), &now, NULL), "inspect")) return false;
    const size_t holders = now->holders;
    redlock_inspection_free(now);
    if (holders == (size_t)count) return true;
    fprintf(stderr, "bench: %zu holders are there instead of %d\n", holders, count);
    return false;
}

static bool crowds_enter(readers_race *self)
{
    for (int way = 0; way < WAYS; way++) {
        if (!enter_others(self->link, ways[way].name, ways[way].others)) return false;
    }
    return true;
}

/* All of them must still be there: only then were they beside each pair. */
static bool crowds_leave(readers_race *self)
{
    for (int way = 0; way < WAYS; way++) {
        const char *name = ways[way].name;
        size_t removed;
        if (!are_still_there(self->client, name, ways[way].others)) return false;
        if (!is_ok(redlock_force_release(self->client, name, strlen(name), &removed, NULL),
                   "force release"))
            return false;
        if (removed != (size_t)ways[way].others) return false;
    }
    return true;
}

/* ---- The race ---- */

static bool pair(redlock_client *client, int way)
{
    redlock_lock *lock;
    const redlock_status acquired = redlock_acquire(
        client, ways[way].name, REDLOCK_OPTIONS(.ttl_ms = 10000, .mode = ways[way].mode), &lock);
    return is_ok(acquired, "acquire beside readers") &&
           is_ok(redlock_release(lock), "release beside readers");
}

static bool slice(readers_race *self, int way)
{
    int64_t *took_ns = self->took_ns[way] + self->slices * PAIRS_PER_SLICE;
    for (int i = 0; i < PAIRS_PER_SLICE; i++) {
        const int64_t began = now_ns();
        if (!pair(self->client, way)) return false;
        took_ns[i] = now_ns() - began;
    }
    self->p50_ns[way][self->slices] = percentile(took_ns, PAIRS_PER_SLICE, 0.5);
    return true;
}

/* Another way goes first in each round. */
static bool race_once(readers_race *self)
{
    for (size_t i = 0; i < WAYS; i++) {
        const int way = (int)((i + self->slices) % WAYS);
        floor_scripts before, after;
        if (!floor_scripts_run(self->link, &before) || !slice(self, way)) return false;
        if (!floor_scripts_run(self->link, &after)) return false;
        self->server[way].calls += after.calls - before.calls;
        self->server[way].spent_us += after.spent_us - before.spent_us;
    }
    self->slices++;
    return true;
}

static bool race(readers_race *self, int64_t duration_ns)
{
    if (!race_once(self)) return false;
    self->slices = 0; /* that was the warm-up */
    memset(self->server, 0, sizeof self->server);
    const int64_t until = now_ns() + duration_ns;
    while (now_ns() < until && self->slices < SLICES_MAX) {
        if (!race_once(self)) return false;
    }
    return true;
}

/* ---- What it came to ---- */

static double server_us(const readers_race *self, int way)
{
    return 2 * (double)self->server[way].spent_us / (double)self->server[way].calls;
}

/* Of one way over another, slice by slice. */
static double tell_ratio(readers_race *self, report *to, const char *what, int floor, int ours)
{
    double ratios[SLICES_MAX];
    for (size_t i = 0; i < self->slices; i++)
        ratios[i] = self->p50_ns[ours][i] / self->p50_ns[floor][i];
    const double ratio = median(ratios, self->slices);
    const size_t count = self->slices * PAIRS_PER_SLICE;
    report_row(to, what, "us", percentile(self->took_ns[floor], count, 0.5) / NS_PER_US,
               percentile(self->took_ns[ours], count, 0.5) / NS_PER_US, ratio,
               "floor: %s; the server alone %.1f us to %.1f us, %.3f x", ways[floor].label,
               server_us(self, floor), server_us(self, ours),
               server_us(self, ours) / server_us(self, floor));
    return ratio;
}

static void tell(readers_race *self, report *to)
{
    report_figure(to, FIGURE_shared_pair_ratio,
                  tell_ratio(self, to, "shared pair p50", EXCLUSIVE, SHARED));
    (void)tell_ratio(self, to, "shared pair beside 10", EXCLUSIVE, BESIDE_FEW);
    report_figure(to, FIGURE_shared10k_cost_ratio,
                  tell_ratio(self, to, "shared beside 10000", BESIDE_FEW, BESIDE_MANY));
}

bool measure_readers(const benchmark *bench, int unused)
{
    (void)unused;
    readers_race *self = calloc(1, sizeof *self);
    if (self == NULL || (self->link = floor_connect(&bench->local)) == NULL) return false;
    if (!is_ok(redlock_open(bench->local.uri, NULL, &self->client), "open")) return false;
    if (!pair(self->client, SHARED)) return false; /* loads the scripts */
    if (!crowds_enter(self) || !race(self, (bench->is_quick ? 3 : 15) * NS_PER_S)) return false;
    if (!crowds_leave(self)) return false;
    tell(self, bench->report);
    redisFree(self->link);
    const bool is_closed = is_ok(redlock_close(self->client), "close");
    free(self);
    return is_closed;
}
