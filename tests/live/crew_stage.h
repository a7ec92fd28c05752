/* SPDX-License-Identifier: MIT
 * Crews and crowds: processes of which several threads wait for one lock, to be killed or frozen
 * as one; waiters by the thousand that are dead; and instants of the server, which a busy machine
 * does not move.
 *
 *     <program> crew <uri> <threads> <s or x> <permits> <owner, or -> <claim ms>
 *
 * Each thread acquires CREW_NAME, and then CREW_DONE, shared: so the server shows how many know
 * that they hold it. */
#ifndef REDLOCK_TESTS_LIVE_CREW_STAGE_H
#define REDLOCK_TESTS_LIVE_CREW_STAGE_H

#include "live/stage.h"

#define CREW_NAME "r"
#define CREW_DONE "done"
enum { CREW_MOST = 16 };

/* ---- Crews ------------------------------------------------------------------------------------*/

typedef struct crew_member {
    redlock_client *client;
    redlock_options options;
} crew_member;

static inline void *crew_wait(void *arg)
{
    const crew_member *self = arg;
    redlock_lock *lock, *done;
    const redlock_options *shared = REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .ttl_ms = LONG_MS);
    if (redlock_acquire(self->client, CREW_NAME, &self->options, &lock) != REDLOCK_OK) _exit(3);
    if (redlock_acquire(self->client, CREW_DONE, shared, &done) != REDLOCK_OK) _exit(4);
    return NULL;
}

static inline int crew_run(char **argv)
{
    crew_member all = {.options = *FOR_EVER};
    pthread_t thread;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (redlock_open(argv[2], NULL, &all.client) != REDLOCK_OK) return 2;
    all.options.mode = argv[4][0] == 's' ? REDLOCK_SHARED : REDLOCK_EXCLUSIVE;
    all.options.permits = (uint32_t)atoi(argv[5]);
    all.options.reentrant = argv[6][0] != '-';
    all.options.owner = all.options.reentrant ? argv[6] : NULL;
    all.options.claim_ms = atoll(argv[7]);
    for (int i = atoi(argv[3]); i > 0; i--)
        if (pthread_create(&thread, NULL, crew_wait, &all) != 0) return 5;
    for (;;) pause();
}

/* The first line of every main: becomes the crew, or remembers how to start one. */
#define CREW_OR_TESTS(argc, argv)                                                                  \
    do {                                                                                           \
        if ((argc) > 1 && strcmp((argv)[1], "crew") == 0) return crew_run(argv);                   \
        if (realpath((argv)[0], actor_program) == NULL) return 2;                                  \
    } while (0)

typedef struct crew_terms {
    int threads;
    const char *mode; /* "s"; NULL: "x" */
    int permits;
    const char *owner; /* NULL: none */
    int claim_ms;      /* 0: LONG_MS */
} crew_terms;

/* It is one of the stage's actors. */
static inline pid_t crew_start(stage *self, const crew_terms *terms)
{
    char threads[16], permits[16], claim[16];
    int place = 0;
    while (self->actors[place] != 0) place++;
    assert_true(place < STAGE_ACTORS);
    snprintf(threads, sizeof threads, "%d", terms->threads);
    snprintf(permits, sizeof permits, "%d", terms->permits);
    snprintf(claim, sizeof claim, "%d", terms->claim_ms > 0 ? terms->claim_ms : LONG_MS);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(actor_program, actor_program, "crew", server_uri(self->server), threads,
              terms->mode != NULL ? terms->mode : "x", permits,
              terms->owner != NULL ? terms->owner : "-", claim, (char *)NULL);
        _exit(127);
    }
    self->actors[place] = pid;
    return pid;
}

#define CREW(...) (&(const crew_terms){__VA_ARGS__})

/* ---- The dead ---------------------------------------------------------------------------------*/

/* Waiters for "r" that came long ago, and that nobody hears. Each has an inbox and a client of its
 * own. */
static inline void add_dead(stage *self, int count, const char *mode)
{
    server_order(
        self->server, "EVAL %s 1 redlock:{r} %d %s",
        "local band = string.sub(ARGV[2], 1, 1) == 'x' and 4e15 or 0 for i = 1, ARGV[1] do "
        "redis.call('ZADD', KEYS[1], string.format('%.0f', 1e14 + i + band), string.format("
        "'2000 redlock:inbox:dead%d.0 ' .. ARGV[2] .. ' - dead%d.1 host:1:dead', i, i)) end",
        count, mode);
}

static inline int subscribers_now(server *from)
{
    int count = 0;
    redisReply *list = server_command(from, "CLIENT LIST TYPE pubsub");
    for (const char *at = list->len > 0 ? list->str : ""; (at = strchr(at, '\n')) != NULL; at++)
        count++;
    freeReplyObject(list);
    return count;
}

typedef struct subscribed {
    server *server;
    int count;
} subscribed;

static inline bool has_subscribers(void *arg)
{
    const subscribed *self = arg;
    return subscribers_now(self->server) == self->count;
}

/* ---- Instants of the server -------------------------------------------------------------------*/

static inline int64_t server_now_us(server *self)
{
    redisReply *answer = server_command(self, "TIME");
    int64_t now = strtoll(answer->element[0]->str, NULL, 10) * 1000000 +
                  strtoll(answer->element[1]->str, NULL, 10);
    freeReplyObject(answer);
    return now;
}

typedef struct server_moment {
    server *server;
    int64_t at_us;
} server_moment;

static inline bool server_clock_shows(void *arg)
{
    const server_moment *self = arg;
    return server_now_us(self->server) >= self->at_us;
}

/* When the server let it in: the fence of who enters a free lock is the clock of that moment. */
static inline int64_t let_in_us(const redlock_lock *lock) { return (int64_t)redlock_fence(lock); }

/* The lease of a shared holder of "r", as the server has it: the first to end, or the last. */
static inline int64_t reader_ends_ms(stage *self, bool last)
{
    redisReply *one =
        last
            ? server_command(
                  self->server,
                  "ZREVRANGEBYSCORE redlock:{r} 99999999999999 20000000000000 WITHSCORES LIMIT 0 1")
            : server_command(
                  self->server,
                  "ZRANGEBYSCORE redlock:{r} 20000000000000 99999999999999 WITHSCORES LIMIT 0 1");
    assert_int_equal(one->elements, 2);
    int64_t ends_ms = strtoll(one->element[1]->str, NULL, 10) - SHARED_BAND;
    freeReplyObject(one);
    return ends_ms;
}

#endif
