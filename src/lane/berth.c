/* SPDX-License-Identifier: MIT
 * What is done with both connections of a berth. */
#include "lane/berth.h"

#include "engine/lease.h"
#include "host/clock.h"

void berth_init(berth *self, const conn_config *config, node *to, route *by, const char *channel)
{
    *self = (berth){.next = NULL};
    conn_init(&self->command, config, to);
    inbox_init(&self->inbox, config, to, by, channel);
}

void berth_destroy(berth *self)
{
    conn_destroy(&self->command);
    inbox_destroy(&self->inbox);
}

/* A connection that rested is readable only if the server closed it. */
static void look_after_rest(conn *rested, int64_t now_us)
{
    struct pollfd look = {.fd = conn_poll_fd(rested), .events = POLLIN};
    if (look.fd >= 0 && poll(&look, 1, 0) > 0) conn_ready(rested, look.revents, now_us);
}

void berth_refresh(berth *self, int64_t now_us)
{
    look_after_rest(&self->command, now_us);
    look_after_rest(&self->inbox.conn, now_us);
    inbox_notice(&self->inbox);
}

bool berth_flush(berth *self, int64_t now_us)
{
    unsigned generations = self->command.generation + self->inbox.conn.generation;
    conn_flush(&self->command, now_us);
    conn_flush(&self->inbox.conn, now_us);
    if (generations == self->command.generation + self->inbox.conn.generation) return true;
    inbox_notice(&self->inbox);
    return false;
}

/* ---- Waiting ---- */

bool berth_has_pending(const berth *self)
{
    return conn_has_pending(&self->command) || conn_has_pending(&self->inbox.conn);
}

int64_t berth_wake_us(const berth *self)
{
    return earliest(conn_wake_us(&self->command), conn_wake_us(&self->inbox.conn));
}

static struct pollfd waits_for(const conn *which)
{
    return (struct pollfd){.fd = conn_poll_fd(which), .events = conn_poll_events(which)};
}

void berth_poll(const berth *self, struct pollfd out[BERTH_CONNS])
{
    out[0] = waits_for(&self->command);
    out[1] = waits_for(&self->inbox.conn);
}

static void settle(conn *self, short revents, int64_t now_us)
{
    if (revents != 0 || conn_has_pending(self)) conn_ready(self, revents, now_us);
}

/* A late command connection is closed one round later: whoever gives up at the same instant has
 * then said so on it, behind what it undoes. */
static void keep_deadlines(berth *self, int64_t now_us)
{
    if (now_us >= conn_wake_us(&self->inbox.conn)) conn_tick(&self->inbox.conn, now_us);
    bool was_late = self->is_late;
    self->is_late = now_us >= conn_wake_us(&self->command);
    if (was_late && self->is_late) conn_tick(&self->command, now_us);
}

/* In a cluster that is news, also where nothing was under way. */
static void notice_failure(berth *self, unsigned generation)
{
    const conn *on = &self->command;
    bool has_failed = on->generation != generation && on->failure != REDLOCK_OK;
    if (has_failed) route_suspect(self->inbox.route, on->to);
}

void berth_ready(berth *self, const struct pollfd polled[BERTH_CONNS], int64_t now_us)
{
    unsigned generation = self->command.generation;
    settle(&self->command, polled[0].revents, now_us);
    notice_failure(self, generation);
    settle(&self->inbox.conn, polled[1].revents, now_us);
    keep_deadlines(self, now_us);
    inbox_notice(&self->inbox);
}

/* ---- Its end ---- */

void berth_abandon(berth *self)
{
    conn *on = &self->command;
    if (on->first == NULL && on->state != CONN_CLOSED) return;
    int64_t now_us = clock_now_us();
    if (on->first != NULL)
        conn_close(on, REDLOCK_ERR_TIMEOUT, "a command was not answered in time", now_us);
    /* Also those who were cut before, and were not told yet. */
    if (on->state == CONN_CLOSED) conn_close(on, REDLOCK_OK, NULL, now_us);
}

void berth_close(berth *self, int64_t now_us)
{
    conn_close(&self->command, REDLOCK_OK, NULL, now_us);
    conn_close(&self->inbox.conn, REDLOCK_OK, NULL, now_us);
}

/* Gone, on its way, or open; and how often it went. */
static unsigned how_it_looks(const conn *at)
{
    unsigned stage = at->state == CONN_OPEN ? 2 : at->state == CONN_CLOSED ? 0 : 1;
    return at->generation * 3 + stage;
}

bool berth_has_changed(berth *self)
{
    unsigned seen[BERTH_CONNS] = {self->looks[0], self->looks[1]};
    self->looks[0] = how_it_looks(&self->command);
    self->looks[1] = how_it_looks(&self->inbox.conn);
    return seen[0] != self->looks[0] || seen[1] != self->looks[1];
}
