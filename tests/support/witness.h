/* SPDX-License-Identifier: MIT
 * What a live test sees of a lock without trusting its client: the server's clock, the server's
 * holders, and when on_lost was told. Time passes by waiting until a clock shows it. */
#ifndef REDLOCK_TESTS_WITNESS_H
#define REDLOCK_TESTS_WITNESS_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <redlock/redlock.h>

#include "support/server.h"
#include "support/stall.h"

static inline int64_t boot_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- The server's view ------------------------------------------------------------------------*/

static inline int64_t server_clock_ms(server *self)
{
    redisReply *told = server_command(self, "TIME");
    int64_t now_ms = strtoll(told->element[0]->str, NULL, 10) * 1000 +
                     strtoll(told->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(told);
    return now_ms;
}

/* With the default prefix; members of expired holders do not count. */
static inline long long server_holders(server *self, const char *name)
{
    return server_number(self, "ZCOUNT redlock:{%s} (%lld 99999999999999", name,
                         (long long)server_clock_ms(self));
}

static inline long long server_waiters(server *self, const char *name)
{
    return server_number(self, "ZCOUNT redlock:{%s} 100000000000000 +inf", name);
}

/* How often it answered with this error, such as "BUSY". */
static inline long server_errors(server *self, const char *prefix)
{
    char field[64];
    snprintf(field, sizeof field, "errorstat_%s:count=", prefix);
    long count = (long)server_info(self, "errorstats", field);
    return count < 0 ? 0 : count;
}

/* ---- The client's view ------------------------------------------------------------------------*/

static inline redlock_stats stats_of(const redlock_client *client)
{
    redlock_stats stats;
    redlock_stats_read(client, &stats, sizeof stats);
    return stats;
}

/* ---- on_lost ----------------------------------------------------------------------------------*/

typedef struct witness {
    redlock_lock *lock;
    redlock_client *client; /* tried inside the callback, unless NULL */
    stall held;             /* since then */
    int64_t valid_until_ms; /* the latest that the lock was ever seen to promise */
    _Atomic int64_t told_ms;
    _Atomic int told;
    bool saw_it_held, saw_a_signal_open;
    redlock_status blocking_call;
} witness;

/* Not those that a fault of the thread itself raises, and not those that nobody can block. */
static inline bool comes_from_outside(int signal)
{
    static const int others[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                                 SIGILL,  SIGTRAP, SIGSYS,  SIGABRT};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] == signal) return false;
    return signal < 32;
}

static inline bool has_open_signal(void)
{
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    for (int signal = 1; signal < SIGRTMIN; signal++) {
        if (comes_from_outside(signal) && !sigismember(&blocked, signal)) return true;
    }
    return false;
}

static inline void witness_told(void *arg, redlock_lock *lock)
{
    witness *self = arg;
    redlock_lock *other;
    self->saw_it_held = redlock_is_held(lock);
    self->saw_a_signal_open = has_open_signal();
    if (self->client != NULL)
        self->blocking_call = redlock_acquire(self->client, "other", NULL, &other);
    atomic_store(&self->told_ms, boot_ms());
    atomic_fetch_add(&self->told, 1);
}

/* Notes what the lock promises now, or that it promises nothing where it was looked at for the
 * first time; a caller polls it until the lock is lost. */
static inline bool witness_was_told(void *arg)
{
    witness *self = arg;
    int64_t left_ms = redlock_remaining_ms(self->lock), until_ms = boot_ms() + left_ms;
    bool is_later = left_ms > 0 && until_ms > self->valid_until_ms;
    if (is_later || self->valid_until_ms == 0) self->valid_until_ms = until_ms;
    return atomic_load(&self->told) > 0;
}

/* No later than the end of its validity. */
static inline void expect_told_in_time(const witness *self)
{
    TOOK(&self->held, (atomic_load(&self->told_ms) - self->valid_until_ms) * 1000, INT64_MIN, 0);
}

/* ---- Time -------------------------------------------------------------------------------------*/

typedef struct server_moment {
    server *server;
    int64_t at_ms;
} server_moment;

static inline bool server_clock_shows(void *arg)
{
    const server_moment *self = arg;
    return server_clock_ms(self->server) >= self->at_ms;
}

/* Until the server's clock has gone on by so much. */
static inline void let_pass(server *self, int64_t ms)
{
    server_moment end = {self, server_clock_ms(self) + ms};
    eventually(server_clock_shows, &end);
}

#endif
