/* SPDX-License-Identifier: MIT
 * The berths of one lane, and its pump: writes, waits, reads, and the deadlines of the
 * connections. */
#include "lane/lane.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "engine/lease.h"
#include "engine/request.h"
#include "host/clock.h"

/* ---- Berths ---- */

static void add_berth(lane *self, berth *added, node *to)
{
    berth_init(added, self->terms->config, to, self->terms->route, self->channel);
    conn *const conns[] = {&added->command, &added->inbox.conn};
    for (int i = 0; i < BERTH_CONNS && self->watch != NULL; i++) {
        conns[i]->on_closing = self->watch->closing;
        conns[i]->closing_arg = self->watch->arg;
    }
    added->inbox.listener = self->listener;
    added->inbox.listener_arg = self->listener_arg;
    self->berths++;
}

void lane_init(lane *self, const lane_terms *terms, unsigned number, const lane_watch *watch)
{
    *self = (lane){.terms = terms, .number = number, .watch = watch};
    identity_channel(self->channel, terms->key_prefix, terms->who, number);
    self->polled = self->few;
    self->at = &self->home;
    add_berth(self, &self->home, route_home(terms->route));
}

static void free_polled(lane *self)
{
    if (self->polled != self->few) memory_free(self->terms->config->memory, self->polled);
}

void lane_destroy(lane *self)
{
    berth_destroy(&self->home);
    for (berth *each = self->home.next, *next; each != NULL; each = next) {
        next = each->next;
        berth_destroy(each);
        memory_free(self->terms->config->memory, each);
    }
    free_polled(self);
}

static bool make_room(lane *self, size_t berths)
{
    size_t fds = LANE_STOPS + BERTH_CONNS * berths;
    struct pollfd *room = memory_new(self->terms->config->memory, fds * sizeof *room);
    if (room == NULL) return false;
    memcpy(room, self->polled, (LANE_STOPS + BERTH_CONNS * self->berths) * sizeof *room);
    free_polled(self);
    self->polled = room;
    return true;
}

static berth *append_berth(lane *self, berth *last, node *to)
{
    const memory *from = self->terms->config->memory;
    berth *made = memory_new(from, sizeof *made);
    if (made == NULL) return NULL;
    if (!make_room(self, self->berths + 1)) {
        memory_free(from, made);
        return NULL;
    }
    add_berth(self, made, to);
    last->next = made;
    return made;
}

berth *lane_berth(lane *self, node *to)
{
    berth *last = &self->home;
    while (last->command.to != to && last->next != NULL) last = last->next;
    return last->command.to == to ? last : append_berth(self, last, to);
}

/* ---- The table of a cluster ---- */

enum { LOOK_EVERY_US = 50000 };

/* The next one that may know more. */
static node *next_to_scout(lane *self, const cluster *of)
{
    unsigned count = atomic_load(&of->count);
    node *which = cluster_numbered(of, self->scouted % count);
    if (cluster_is_suspect(of, which)) which = cluster_numbered(of, ++self->scouted % count);
    return which;
}

int64_t lane_scout(lane *self, int64_t now_us)
{
    const route *by = self->terms->route;
    if (by->cluster == NULL || !cluster_is_doubted(by->cluster)) return NEVER;
    berth *at = lane_berth(self, next_to_scout(self, by->cluster));
    if (at == NULL) return NEVER;
    conn *on = &at->command;
    if (on->state == CONN_CLOSED && now_us >= conn_retry_us(on)) conn_open(on, now_us);
    scout_ask(&at->scout, on, by, now_us);
    if (on->state == CONN_OPEN || on->state == CONN_CLOSED) self->scouted++;
    return now_us + LOOK_EVERY_US;
}

/* ---- All of them ---- */

void lane_listen(lane *self, const inbox_listener *listener, void *arg)
{
    self->listener = listener;
    self->listener_arg = arg;
    for (berth *each = &self->home; each != NULL; each = each->next) {
        each->inbox.listener = listener;
        each->inbox.listener_arg = arg;
    }
}

bool lane_is_idle(const lane *self)
{
    for (const berth *each = &self->home; each != NULL; each = each->next)
        if (each->command.first != NULL) return false;
    return self->listener == NULL;
}

void lane_refresh(lane *self, int64_t now_us)
{
    for (berth *each = &self->home; each != NULL; each = each->next) berth_refresh(each, now_us);
}

void lane_abandon(lane *self)
{
    for (berth *each = &self->home; each != NULL; each = each->next) berth_abandon(each);
}

void lane_close(lane *self, int64_t now_us)
{
    for (berth *each = &self->home; each != NULL; each = each->next) berth_close(each, now_us);
}

bool lane_flush(lane *self, int64_t now_us)
{
    bool is_whole = true;
    for (berth *each = &self->home; each != NULL; each = each->next)
        is_whole &= berth_flush(each, now_us);
    return is_whole;
}

bool lane_has_pending(const lane *self)
{
    bool has = false;
    for (const berth *each = &self->home; each != NULL; each = each->next)
        has |= berth_has_pending(each);
    return has;
}

int64_t lane_wake_us(const lane *self)
{
    int64_t wake_us = NEVER;
    for (const berth *each = &self->home; each != NULL; each = each->next)
        wake_us = earliest(wake_us, berth_wake_us(each));
    return wake_us;
}

bool lane_has_changed(lane *self)
{
    bool has = false;
    for (berth *each = &self->home; each != NULL; each = each->next) has |= berth_has_changed(each);
    return has;
}

/* ---- The pump ---- */

/* Does nothing that is to come there concern whoever waits elsewhere? */
static bool is_quiet(const berth *other)
{
    bool is_settled = other->command.state == CONN_CLOSED || other->command.state == CONN_OPEN;
    return is_settled && other->command.first == NULL && !inbox_is_coming(&other->inbox);
}

static bool is_alone(const lane *self, const berth *at)
{
    for (const berth *each = &self->home; each != NULL; each = each->next)
        if (each != at && !is_quiet(each)) return false;
    return true;
}

/* Only one connection matters, and something is to come soon: one blocking recv serves, unless the
 * deadline is nearer than that. */
static bool receive_soon(lane *self, int64_t until_us, int64_t now_us)
{
    if (until_us < now_us + (CONN_RECEIVE_SOON_MS + 4) * US_PER_MS) return false;
    berth *at = self->at;
    if (self->awaits_message) {
        bool may = self->may_sleep_on_inbox && !inbox_is_coming(&at->inbox);
        self->may_sleep_on_inbox = false;
        return may && conn_receive_soon(&at->inbox.conn, false);
    }
    if (at->command.first == NULL || inbox_is_coming(&at->inbox) || !is_alone(self, at))
        return false;
    return conn_receive_soon(&at->command, self->may_spin);
}

static void wait_for(struct pollfd *fds, nfds_t count, int64_t until_us, int64_t now_us)
{
    int64_t left_us = until_us > now_us ? until_us - now_us : 0;
    struct timespec span = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
    if (ppoll(fds, count, until_us == NEVER ? NULL : &span, NULL) >= 0) return;
    /* EINTR and the like: nothing is ready, and the caller looks at the clock. */
    for (nfds_t i = 0; i < count; i++) fds[i].revents = 0;
}

/* The stops come first. How many descriptors there are is returned. */
static nfds_t collect(lane *self, const lane_stops *stops)
{
    struct pollfd *out = self->polled;
    for (int i = 0; i < LANE_STOPS; i++)
        *out++ = (struct pollfd){.fd = stops->fd[i], .events = POLLIN};
    for (const berth *each = &self->home; each != NULL; each = each->next, out += BERTH_CONNS)
        berth_poll(each, out);
    return (nfds_t)(out - self->polled);
}

/* Whoever is told something may add a berth, and with it what was polled moves. */
static void deal_with(lane *self, int64_t now_us)
{
    size_t at = LANE_STOPS;
    for (berth *each = &self->home; each != NULL; each = each->next, at += BERTH_CONNS) {
        struct pollfd polled[BERTH_CONNS];
        memcpy(polled, self->polled + at, sizeof polled);
        berth_ready(each, polled, now_us);
    }
}

void lane_pump(lane *self, int64_t until_us, lane_stops *stops)
{
    int64_t now_us = clock_now_us();
    if (!lane_flush(self, now_us)) return;
    until_us = earliest(until_us, lane_wake_us(self));
    if (receive_soon(self, until_us, now_us)) {
        inbox_notice(&self->at->inbox);
        return;
    }
    now_us = clock_now_us(); /* that may have taken its few milliseconds */
    if (lane_has_pending(self)) until_us = now_us;
    wait_for(self->polled, collect(self, stops), until_us, now_us);
    deal_with(self, clock_now_us());
    for (int i = 0; i < LANE_STOPS; i++) stops->is_set[i] = self->polled[i].revents != 0;
}
