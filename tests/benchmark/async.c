/* SPDX-License-Identifier: MIT
 * Ten thousand operations in flight from one thread without another (REDLOCK_HOST_MANUAL), against
 * a blocking floor of one connection, and against what the server can do at all: the same EVALSHAs,
 * formatted beforehand, pipelined by a raw client at the same depth. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "statistics.h"
#include "stopwatch.h"
#include "wire/identity.h"
#include "wire/key.h"
#include "wire/question.h"

enum { ROUNDS_MAX = 15, TURNS = 2, READ_SIZE = 64 * 1024, TTL_MS = 30000 };

/* ---- Ours -------------------------------------------------------------------------------------*/

typedef struct flight flight;

/* One lock that is acquired and released, again and again. */
typedef struct slot {
    flight *of;
    int turns_left;
    char name[24];
} slot;

struct flight {
    redlock_client *client;
    slot *slots;
    int size, busy;
    bool has_failed;
};

static void begin_turn(slot *self);

static void slot_released(void *arg, redlock_status status)
{
    slot *self = arg;
    if (!is_ok(status, "asynchronous release")) self->of->has_failed = true;
    self->turns_left--;
    begin_turn(self);
}

static void slot_acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    slot *self = arg;
    const bool goes_on =
        is_ok(status, "asynchronous acquire of a free lock") &&
        is_ok(redlock_release_async(lock, slot_released, self), "submission of a release");
    if (goes_on) return;
    self->of->has_failed = true;
    self->of->busy--;
}

static void begin_turn(slot *self)
{
    flight *of = self->of;
    const bool goes_on =
        self->turns_left > 0 && !of->has_failed &&
        is_ok(redlock_acquire_async(of->client, self->name, strlen(self->name),
                                    REDLOCK_OPTIONS(.ttl_ms = TTL_MS), slot_acquired, self, NULL),
              "submission of an acquire");
    if (!goes_on) of->busy--;
}

/* Pairs per second; 0 after a failure. */
static double fly(flight *self)
{
    const int64_t began = now_ns();
    self->busy = self->size;
    for (int i = 0; i < self->size; i++) {
        self->slots[i].turns_left = TURNS;
        begin_turn(&self->slots[i]);
    }
    struct pollfd look = {.fd = redlock_fd(self->client), .events = POLLIN};
    while (self->busy > 0) {
        if (poll(&look, 1, 10000) != 1) return 0;
        if (!is_ok(redlock_process(self->client), "process")) return 0;
    }
    const double seconds = (double)(now_ns() - began) / 1e9;
    return self->has_failed ? 0 : (double)self->size * TURNS / seconds;
}

static bool flight_open(flight *self, const route *by, int size)
{
    *self = (flight){.size = size, .slots = calloc((size_t)size, sizeof(slot))};
    if (self->slots == NULL) return false;
    for (int i = 0; i < size; i++) {
        self->slots[i].of = self;
        snprintf(self->slots[i].name, sizeof self->slots[i].name, "async:%d", i);
    }
    return is_ok(
        redlock_open(by->uri, REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL), &self->client),
        "open");
}

static bool flight_close(flight *self)
{
    free(self->slots);
    return is_ok(redlock_close(self->client), "close");
}

/* ---- The server's limit -----------------------------------------------------------------------*/

/* The bytes of all acquires, and of all releases, one slot after the other. */
typedef struct script_text {
    char *bytes;
    size_t *end; /* of each slot's command */
} script_text;

typedef struct pipeline {
    redisContext *link;
    int size;
    script_text texts[2];
    char *out;
    size_t out_length;
} pipeline;

static bool text_add(script_text *self, int index, const question *asked)
{
    command cmd;
    char *bytes = NULL;
    question_command(&cmd, asked, false);
    const long long length =
        redisFormatCommandArgv(&bytes, cmd.argc, (const char **)cmd.argv, cmd.length);
    const size_t start = index > 0 ? self->end[index - 1] : 0;
    char *grown = length > 0 ? realloc(self->bytes, start + (size_t)length) : NULL;
    if (grown != NULL) {
        memcpy(grown + start, bytes, (size_t)length);
        self->bytes = grown;
        self->end[index] = start + (size_t)length;
    }
    if (bytes != NULL) redisFreeCommand(bytes);
    return grown != NULL;
}

/* What the library would send for this slot. */
static bool write_commands(pipeline *self, int index, const identity *who)
{
    char name[24], key[64], owner[OWNER_FIELD_SIZE], hold_id[HOLD_ID_SIZE], holder[HOLDER_SIZE];
    snprintf(name, sizeof name, "async:%d", index);
    const size_t key_length = key_write(key, sizeof key, "redlock:", name, strlen(name));
    owner_write(owner, NULL, 0);
    identity_hold_id(hold_id, who, (uint64_t)index + 1);
    const size_t holder_length = holder_write(holder, owner, hold_id, who->who);
    question asked = {.script = SCRIPT_ACQUIRE,
                      .key = key,
                      .key_length = key_length,
                      .holder = holder,
                      .holder_length = holder_length,
                      .first_ms = TTL_MS,
                      .grace_ms = 5000,
                      .nonce = index + 1,
                      .mode = "x",
                      .mode_length = 1};
    if (!text_add(&self->texts[0], index, &asked)) return false;
    asked.script = SCRIPT_RELEASE;
    asked.first_ms = 5000;
    return text_add(&self->texts[1], index, &asked);
}

static bool pipeline_open(pipeline *self, const route *by, int size)
{
    identity who;
    identity_make(&who, (const uint8_t[IDENTITY_RANDOM_BYTES]){1}, "bench", (long)getpid(), NULL);
    *self = (pipeline){.link = floor_connect(by), .size = size};
    for (int i = 0; i < 2; i++) self->texts[i].end = calloc((size_t)size, sizeof(size_t));
    if (self->link == NULL || self->texts[0].end == NULL || self->texts[1].end == NULL)
        return false;
    for (int i = 0; i < size; i++)
        if (!write_commands(self, i, &who)) return false;
    const size_t last = (size_t)size - 1;
    const size_t most = self->texts[0].end[last] + self->texts[1].end[last];
    return (self->out = malloc(most)) != NULL;
}

static void pipeline_close(pipeline *self)
{
    for (int i = 0; i < 2; i++) {
        free(self->texts[i].bytes);
        free(self->texts[i].end);
    }
    free(self->out);
    redisFree(self->link);
}

static void append(pipeline *self, long step)
{
    const script_text *from = &self->texts[step / self->size % 2];
    const long index = step % self->size;
    const size_t start = index > 0 ? from->end[index - 1] : 0;
    const size_t length = from->end[index] - start;
    memcpy(self->out + self->out_length, from->bytes + start, length);
    self->out_length += length;
}

static bool flush(pipeline *self)
{
    size_t sent = 0;
    while (sent < self->out_length) {
        const ssize_t count = write(self->link->fd, self->out + sent, self->out_length - sent);
        if (count <= 0) return false;
        sent += (size_t)count;
    }
    self->out_length = 0;
    return true;
}

static bool receive(pipeline *self)
{
    char bytes[READ_SIZE];
    const ssize_t count = read(self->link->fd, bytes, sizeof bytes);
    return count > 0 && redisReaderFeed(self->link->reader, bytes, (size_t)count) == REDIS_OK;
}

/* {1, ...}: done. */
static bool is_done(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
           reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[0]->integer > 0;
}

/* How many replies were there; negative after a failure. Each makes room for one more command. */
static long answer_all(pipeline *self, long answered, long steps)
{
    void *reply = NULL;
    long count = 0;
    while (redisReaderGetReply(self->link->reader, &reply) == REDIS_OK && reply != NULL) {
        const bool is_good = is_done(reply);
        freeReplyObject(reply);
        reply = NULL;
        if (!is_good) return -1;
        count++;
        if (answered + count - 1 + self->size < steps)
            append(self, answered + count - 1 + self->size);
    }
    return self->link->reader->err != 0 ? -1 : count;
}

/* Pairs per second at this depth; 0 after a failure. */
static double pipeline_run(pipeline *self)
{
    const long steps = (long)self->size * 2 * TURNS;
    const int64_t began = now_ns();
    for (long step = 0; step < self->size; step++) append(self, step);
    for (long answered = 0; answered < steps;) {
        if (!flush(self) || !receive(self)) return 0;
        const long count = answer_all(self, answered, steps);
        if (count < 0) return 0;
        answered += count;
    }
    return (double)self->size * TURNS * 1e9 / (double)(now_ns() - began);
}

/* ---- The race ---------------------------------------------------------------------------------*/

typedef struct track {
    naive_lock floor;
    flight ours;
    pipeline raw;
    double floors[ROUNDS_MAX], rates[ROUNDS_MAX], limits[ROUNDS_MAX];
    double by_floor[ROUNDS_MAX], by_limit[ROUNDS_MAX];
} track;

static bool race(track *self, size_t rounds)
{
    if (fly(&self->ours) <= 0) return false; /* connects, and loads the scripts */
    for (size_t i = 0; i < rounds; i++) {
        self->floors[i] = naive_pairs_per_second(&self->floor, 150 * NS_PER_MS);
        self->rates[i] = self->floors[i] > 0 ? fly(&self->ours) : 0;
        self->limits[i] = self->rates[i] > 0 ? pipeline_run(&self->raw) : 0;
        if (self->limits[i] <= 0) return false;
        self->by_floor[i] = self->rates[i] / self->floors[i];
        self->by_limit[i] = self->rates[i] / self->limits[i];
    }
    return true;
}

static void tell(track *self, const benchmark *bench, const route *by, size_t rounds)
{
    const double by_floor = median(self->by_floor, rounds),
                 by_limit = median(self->by_limit, rounds);
    const double rate = median(self->rates, rounds);
    char what[32];
    snprintf(what, sizeof what, "async %d %s", self->ours.size, by->name);
    report_row(bench->report, what, "pairs/s", median(self->floors, rounds), rate, by_floor, "%s",
               "one blocking connection");
    report_row(bench->report, what, "pairs/s", median(self->limits, rounds), rate, by_limit, "%s",
               "the same EVALSHAs pipelined raw");
    if (by->socket != NULL || self->ours.size != 10000) return;
    report_figure(bench->report, FIGURE_async10k_vs_blocking, by_floor);
    report_figure(bench->report, FIGURE_async10k_vs_server_limit, by_limit);
}

static bool measure(const benchmark *bench, const route *by, int size)
{
    track *self = calloc(1, sizeof *self);
    const size_t rounds = bench->is_quick ? 3 : ROUNDS_MAX;
    if (self == NULL || !naive_open(&self->floor, by, "floor:async")) return false;
    if (!flight_open(&self->ours, by, size) || !pipeline_open(&self->raw, by, size)) return false;
    if (!race(self, rounds)) return false;
    tell(self, bench, by, rounds);
    naive_close(&self->floor);
    pipeline_close(&self->raw);
    const bool is_closed = flight_close(&self->ours);
    free(self);
    return is_closed;
}

bool measure_async_tcp(const benchmark *self, int size) { return measure(self, &self->tcp, size); }
bool measure_async_unix(const benchmark *self, int size)
{
    return measure(self, &self->local, size);
}
