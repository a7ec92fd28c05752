/* SPDX-License-Identifier: MIT
 * An actor of the tour: one process, one client, at most one lock. Public API only. */
#define _POSIX_C_SOURCE 200809L
#include "tour.h"

#include <semaphore.h>
#include <sys/socket.h>
#include <time.h>

static struct {
    redlock_client *client;
    redlock_lock *lock;
    sem_t lost;      /* posted by on_lost */
    int64_t lost_us; /* when that was */
} self;

int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Runs on the library's own thread, so it is brief. */
static void note_loss(void *arg, redlock_lock *lock)
{
    (void)arg, (void)lock;
    self.lost_us = now_us();
    sem_post(&self.lost);
}

static void acquire(struct order order, struct report *report)
{
    report->status =
        redlock_acquire(self.client, TOUR_LOCK,
                        REDLOCK_OPTIONS(.ttl_ms = order.ttl_ms, .wait_ms = order.wait_ms,
                                        .auto_renew = order.auto_renew, .on_lost = note_loss),
                        &self.lock);
}

static void release(struct report *report)
{
    report->status = redlock_release(self.lock);
    self.lock = NULL;
}

static void look(struct report *report)
{
    redlock_inspection *seen;
    report->status = redlock_inspect(self.client, TOUR_LOCK, sizeof TOUR_LOCK - 1, &seen, NULL);
    if (report->status != REDLOCK_OK) return;
    report->waiters = seen->waiters;
    redlock_inspection_free(seen);

    redlock_stats stats;
    redlock_stats_read(self.client, &stats, sizeof stats);
    report->renewals = stats.renewed;
}

static struct report obey(struct order order)
{
    struct report report = {.began_us = now_us()};
    if (order.verb == ACQUIRE) acquire(order, &report);
    if (order.verb == LOOK) look(&report);
    if (order.verb == AWAIT_LOSS)
        while (sem_wait(&self.lost) != 0) continue;
    report.ended_us = order.verb == AWAIT_LOSS ? self.lost_us : now_us();
    if (self.lock != NULL) report.fence = redlock_fence(self.lock);
    if (self.lock != NULL) report.is_held = redlock_is_held(self.lock);
    if (order.verb != RELEASE) return report;
    release(&report);
    report.ended_us = now_us();
    return report;
}

/* Opens the client, and takes and gives back a lock that nobody else wants: a rehearsal, so that no
 * later figure contains the connecting. */
static redlock_status enter(const char *name, const char *uri)
{
    if (sem_init(&self.lost, 0, 0) != 0) return REDLOCK_ERR_SYSTEM;
    redlock_status st = redlock_open(
        uri,
        REDLOCK_CLIENT_OPTIONS(.name = name, .connect_now = true, .log_level = REDLOCK_LOG_ERROR),
        &self.client);
    if (st != REDLOCK_OK) return st;

    redlock_lock *rehearsal;
    st = redlock_acquire(self.client, name, REDLOCK_OPTIONS(.ttl_ms = 5000), &rehearsal);
    return st == REDLOCK_OK ? redlock_release(rehearsal) : st;
}

void actor_live(const char *name, const char *uri, int fd)
{
    struct report report = {.began_us = now_us(), .status = enter(name, uri), .ended_us = now_us()};
    struct order order;
    while (send(fd, &report, sizeof report, MSG_NOSIGNAL) == (ssize_t)sizeof report &&
           recv(fd, &order, sizeof order, 0) == (ssize_t)sizeof order)
        report = obey(order);
    redlock_release(self.lock);
    redlock_close(self.client);
}
