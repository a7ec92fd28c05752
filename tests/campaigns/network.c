/* SPDX-License-Identifier: MIT
 * The client's half of the network campaign: acquires on a network that goes silent, are given up,
 * and must not be granted by what the kernel sends again once it speaks. Everything is looked at
 * over the server's Unix socket, which the silence does not reach. */
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <redlock/redlock.h>

enum { TIMEOUT_MS = 2000, TTL_MS = 60000, LOOK_MS = 10, LINGER_MS = 1500 };

/* One way to acquire, and how it went in this window. */
typedef struct trial {
    const char *way;
    int64_t wait_ms;
    int64_t cancel_ms; /* after so long; 0: not */
    bool is_async;
    char name[64];
    redlock_client *client;
    redlock_canceller *canceller;
    pthread_t thread;
    redlock_status status;
    _Atomic bool is_complete;
    int seen; /* looks in a row that found a holder after the end */
    bool was_seen;
} trial;

static const trial ways[] = {
    {.way = "try"},
    {.way = "wait", .wait_ms = 1000},
    {.way = "cancelled", .wait_ms = 60000, .cancel_ms = 700},
    {.way = "outlasting", .wait_ms = 30000},
    {.way = "try, async", .is_async = true},
    {.way = "wait, async", .wait_ms = 1000, .is_async = true},
};

enum { WAYS = sizeof ways / sizeof *ways };

static const char *uri, *socket_path, *mute, *restore;
static redisContext *observer;
static int given_up, granted, granted_later, held_by_nobody, undone;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_until(int64_t at_ms)
{
    int64_t left_ms = at_ms - now_ms();
    if (left_ms > 0) nanosleep(&(struct timespec){left_ms / 1000, left_ms % 1000 * 1000000}, NULL);
}

static void give_up_campaign(const char *what)
{
    printf("the campaign cannot run: %s\n", what);
    exit(2);
}

static void run_command(const char *command)
{
    if (system(command) != 0) give_up_campaign(command);
}

static long long number(const char *command, const char *name)
{
    redisReply *answer = redisCommand(observer, command, name);
    if (answer == NULL || answer->type != REDIS_REPLY_INTEGER)
        give_up_campaign("the server is gone");
    long long value = answer->integer;
    freeReplyObject(answer);
    return value;
}

static long long holders(const trial *of)
{
    return number("ZCOUNT redlock:{%s} 1 99999999999999", of->name);
}
static long long parties(const trial *of) { return number("ZCOUNT redlock:{%s} 1 +inf", of->name); }

static void settle(trial *self, redlock_status status, redlock_lock *lock)
{
    self->status = status;
    if (lock != NULL && redlock_release(lock) != REDLOCK_OK) self->status = REDLOCK_LOST;
}

static void *acquire(void *arg)
{
    trial *self = arg;
    redlock_lock *lock;
    const redlock_options *options =
        REDLOCK_OPTIONS(.ttl_ms = TTL_MS, .wait_ms = self->wait_ms, .canceller = self->canceller);
    redlock_status status = redlock_acquire(self->client, self->name, options, &lock);
    settle(self, status, lock);
    return NULL;
}

static void acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    trial *self = arg;
    self->status = status;
    if (lock != NULL) (void)redlock_release_async(lock, NULL, NULL);
    self->is_complete = true;
}

static void *acquire_async(void *arg)
{
    trial *self = arg;
    const redlock_options *options = REDLOCK_OPTIONS(.ttl_ms = TTL_MS, .wait_ms = self->wait_ms);
    if (redlock_acquire_async(self->client, self->name, strlen(self->name), options, acquired, self,
                              NULL) != REDLOCK_OK)
        give_up_campaign("nothing is submitted");
    while (!self->is_complete) sleep_until(now_ms() + LOOK_MS);
    return NULL;
}

static void begin(trial *self, const trial *as, int window)
{
    redlock_lock *warm = NULL;
    *self = *as;
    snprintf(self->name, sizeof self->name, "%s-%d", as->way, window);
    bool is_open = redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.timeout_ms = TIMEOUT_MS),
                                &self->client) == REDLOCK_OK;
    if (!is_open || redlock_acquire(self->client, self->name, NULL, &warm) != REDLOCK_OK)
        give_up_campaign("the server cannot be reached");
    (void)redlock_release(warm);
    if (self->is_async) acquire_async(self);
    while (parties(self) > 0) sleep_until(now_ms() + LOOK_MS);
    self->is_complete = false;
    if (redlock_canceller_open(&self->canceller) != REDLOCK_OK) give_up_campaign("no canceller");
}

/* After the answer nobody holds it, if only for as long as the script of the undo takes. */
static void look(trial *self)
{
    self->seen = holders(self) > 0 ? self->seen + 1 : 0;
    if (self->seen > 1) self->was_seen = true;
}

static void end(trial *self)
{
    bool has_failed = self->status != REDLOCK_OK;
    redlock_stats stats;
    redlock_stats_read(self->client, &stats, sizeof stats);
    given_up += has_failed;
    granted += !has_failed;
    granted_later += self->was_seen;
    held_by_nobody += parties(self) > 0;
    undone += (int)stats.undone;
    printf("  %-12s %-20s undone %d%s%s\n", self->way, redlock_status_name(self->status),
           (int)stats.undone, self->was_seen ? ", GRANTED LATER" : "",
           parties(self) > 0 ? ", HELD BY NOBODY" : "");
    redlock_canceller_close(self->canceller);
    if (redlock_close(self->client) != REDLOCK_OK) give_up_campaign("the client does not close");
}

/* A kernel sends again after twice the time that it waited before. */
static void run_window(int window, int64_t silence_ms)
{
    trial trials[WAYS];
    for (int i = 0; i < WAYS; i++) begin(&trials[i], &ways[i], window);
    printf("silent for %lld ms\n", (long long)silence_ms);
    run_command(mute);
    int64_t from_ms = now_ms();
    for (int i = 0; i < WAYS; i++)
        pthread_create(&trials[i].thread, NULL, trials[i].is_async ? acquire_async : acquire,
                       &trials[i]);
    for (int i = 0; i < WAYS; i++) {
        if (trials[i].cancel_ms == 0) continue;
        sleep_until(from_ms + trials[i].cancel_ms);
        redlock_cancel(trials[i].canceller);
    }
    sleep_until(from_ms + silence_ms);
    run_command(restore);
    for (int i = 0; i < WAYS; i++) pthread_join(trials[i].thread, NULL);
    while (now_ms() < from_ms + 2 * silence_ms + LINGER_MS) {
        for (int i = 0; i < WAYS; i++) look(&trials[i]);
        sleep_until(now_ms() + LOOK_MS);
    }
    for (int i = 0; i < WAYS; i++) end(&trials[i]);
}

int main(int argc, char **argv)
{
    static const int64_t silences_ms[] = {2200, 3400, 4500, 7000, 14000};
    if (argc != 6) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    uri = argv[1], socket_path = argv[2], mute = argv[3], restore = argv[4];
    observer = redisConnectUnix(socket_path);
    if (observer == NULL || observer->err != 0) give_up_campaign("the server does not listen");
    int64_t until_ms = now_ms() + atoll(argv[5]) * 1000;
    int window = 0;
    for (; window == 0 || now_ms() < until_ms; window++)
        run_window(window, silences_ms[window % (int)(sizeof silences_ms / sizeof *silences_ms)]);
    redisFree(observer);
    printf("windows=%d given_up=%d granted=%d undone=%d granted_later=%d held_by_nobody=%d\n",
           window, given_up, granted, undone, granted_later, held_by_nobody);
    return granted_later + held_by_nobody > 0 || given_up == 0;
}
