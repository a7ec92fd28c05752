/* SPDX-License-Identifier: MIT
 * The pump of one lane: writes, waits, reads, and the deadlines of its connections. */
#include "lane/lane.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "host/clock.h"
#include "engine/lease.h"
#include "engine/request.h"

void lane_init(lane *self, const conn_config *config, node *home, unsigned number,
               const char *key_prefix, const identity *who)
{
    *self = (lane){.number = number};
    conn_init(&self->command, config, home);
    inbox_init(&self->inbox, config, home, number, key_prefix, who);
}

void lane_destroy(lane *self)
{
    conn_destroy(&self->command);
    inbox_destroy(&self->inbox);
}

/* A connection that rested is readable only if the server closed it. */
static void refresh(conn *rested, int64_t now_us)
{
    struct pollfd look = {.fd = conn_poll_fd(rested), .events = POLLIN};
    if (look.fd >= 0 && poll(&look, 1, 0) > 0) conn_ready(rested, look.revents, now_us);
}

void lane_refresh(lane *self, int64_t now_us)
{
    refresh(&self->command, now_us);
    refresh(&self->inbox.conn, now_us);
    inbox_notice(&self->inbox, now_us);
}

/* Only one connection matters, and something is to come soon: one blocking recv serves, unless the
 * deadline is nearer than that. */
static bool receive_soon(lane *self, int64_t until_us, int64_t now_us)
{
    if (until_us < now_us + (CONN_RECEIVE_SOON_MS + 4) * US_PER_MS) return false;
    if (self->awaits_message) {
        bool may = self->may_sleep_on_inbox && self->inbox.state == INBOX_OPEN;
        self->may_sleep_on_inbox = false;
        return may && conn_receive_soon(&self->inbox.conn, false);
    }
    bool inbox_comes = self->inbox.state == INBOX_CONNECTING ||
                       self->inbox.state == INBOX_SUBSCRIBING;
    if (self->command.first == NULL || inbox_comes) return false;
    return conn_receive_soon(&self->command, self->may_spin);
}

static void wait_for(struct pollfd *fds, nfds_t count, int64_t until_us, int64_t now_us)
{
    int64_t left_us = until_us > now_us ? until_us - now_us : 0;
    struct timespec span = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
    if (ppoll(fds, count, until_us == NEVER ? NULL : &span, NULL) >= 0) return;
    /* EINTR and the like: nothing is ready, and the caller looks at the clock. */
    for (nfds_t i = 0; i < count; i++) fds[i].revents = 0;
}

static void settle(conn *self, short revents, int64_t now_us)
{
    if (revents != 0 || conn_has_pending(self)) conn_ready(self, revents, now_us);
}

/* A late command connection is closed one round later: whoever gives up at the same instant has
 * then said so on it, behind what it undoes. */
static void keep_deadlines(lane *self, int64_t now_us)
{
    if (now_us >= conn_wake_us(&self->inbox.conn)) conn_tick(&self->inbox.conn, now_us);
    bool was_late = self->is_late;
    self->is_late = now_us >= conn_wake_us(&self->command);
    if (was_late && self->is_late) conn_tick(&self->command, now_us);
}

/* False when a connection broke on the way: what is to be done next, and by when, is to be asked
 * again. */
static bool flush(lane *self, int64_t now_us)
{
    unsigned generations = self->command.generation + self->inbox.conn.generation;
    conn_flush(&self->command, now_us);
    conn_flush(&self->inbox.conn, now_us);
    if (generations == self->command.generation + self->inbox.conn.generation) return true;
    inbox_notice(&self->inbox, now_us);
    return false;
}

void lane_abandon(lane *self)
{
    conn *on = &self->command;
    if (on->first == NULL && on->state != CONN_CLOSED) return;
    int64_t now_us = clock_now_us();
    if (on->first != NULL)
        conn_close(on, REDLOCK_ERR_TIMEOUT, "a command was not answered in time", now_us);
    /* Also those who were cut before, and were not told yet. */
    if (on->state == CONN_CLOSED) conn_close(on, REDLOCK_OK, NULL, now_us);
}

void lane_pump(lane *self, int64_t until_us, lane_stops *stops)
{
    int64_t now_us = clock_now_us();
    if (!flush(self, now_us)) return;
    until_us =
        earliest(until_us, earliest(conn_wake_us(&self->command), conn_wake_us(&self->inbox.conn)));
    if (receive_soon(self, until_us, now_us)) {
        inbox_notice(&self->inbox, clock_now_us());
        return;
    }
    now_us = clock_now_us(); /* that may have taken its few milliseconds */
    if (conn_has_pending(&self->command) || conn_has_pending(&self->inbox.conn)) until_us = now_us;
    struct pollfd fds[2 + LANE_STOPS] = {
        {.fd = conn_poll_fd(&self->command), .events = conn_poll_events(&self->command)},
        {.fd = conn_poll_fd(&self->inbox.conn), .events = conn_poll_events(&self->inbox.conn)}};
    for (int i = 0; i < LANE_STOPS; i++)
        fds[2 + i] = (struct pollfd){.fd = stops->fd[i], .events = POLLIN};
    wait_for(fds, 2 + LANE_STOPS, until_us, now_us);
    now_us = clock_now_us();
    settle(&self->command, fds[0].revents, now_us);
    settle(&self->inbox.conn, fds[1].revents, now_us);
    keep_deadlines(self, now_us);
    inbox_notice(&self->inbox, now_us);
    for (int i = 0; i < LANE_STOPS; i++) stops->is_set[i] = fds[2 + i].revents != 0;
}
