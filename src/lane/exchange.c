/* SPDX-License-Identifier: MIT
 * The engine's requests on lanes. */
#include "lane/exchange.h"

#include <assert.h>
#include <stddef.h>

#include "engine/lease.h"
#include "host/histogram.h"

enum { RESTED_US = 10 * 1000000 };

void exchange_begin(exchange *self, request *asks, const question *about)
{
    self->request = asks;
    self->question = *about;
}

static berth *find_berth(const exchange *self)
{
    return lane_berth(self->in, route_next(self->in->terms->route, &self->by, self->slot));
}

berth *exchange_enter(exchange *self, lane *in)
{
    self->in = in;
    self->slot = route_slot(in->terms->route, self->question.key, self->question.key_length);
    self->by = (way){0};
    self->look_us = NEVER;
    self->at = find_berth(self);
    if (self->at != NULL) in->at = self->at;
    self->awaits_connection = false;
    self->loading = (loading){0};
    return self->at;
}

berth *exchange_berth(exchange *self)
{
    if (exchange_is_in_flight(self)) return self->at;
    berth *at = find_berth(self);
    if (at == self->at) return at;
    self->awaits_connection = false;
    self->loading = (loading){0};
    self->at = at;
    return at;
}

static void cut(exchange *self, int64_t now_us)
{
    const conn *on = &self->at->command;
    route_failed(self->in->terms->route, &self->by, on->to);
    request_cut(self->request, conn_why_cut(on), on->failure_detail.text, now_us);
    if (self->on_moved != NULL) self->on_moved(self);
}

static void answered(call *back, const reply *from, int64_t now_us)
{
    exchange *self = (exchange *)back;
    if (self->request->state != REQUEST_SENT) return;
    if (from == NULL) {
        cut(self, now_us);
        return;
    }
    answer read;
    answer_to(&read, from, self->question.nonce);
    route_learn(self->in->terms->route, &self->by, self->slot, self->at->command.to, &read, from);
    if (read.kind == ANSWER_CODE && self->on_reply != NULL) self->on_reply(self, from);
    if (self->round_trip != NULL) histogram_add(self->round_trip, now_us - self->request->sent_us);
    bool asks_again = read.kind == ANSWER_CODE && self->asks_again != NULL &&
                      self->asks_again(self, &read);
    if (asks_again) request_again(self->request);
    else request_answered(self->request, &read, now_us);
    if (self->on_moved != NULL) self->on_moved(self);
}

/* A connection that rested may be forgotten on the way (NAT): then its first question has half of
 * the time, and the other half is for a new connection. */
static bool has_rested(const conn *on, int64_t now_us)
{
    return on->has_received && now_us - on->received_us > RESTED_US;
}

static int64_t patient_until_us(const exchange *self, int64_t now_us)
{
    int64_t until_us = self->shares_connection ? now_us + self->request->timeout_us
                                               : request_attempt_deadline_us(self->request);
    bool is_doubtful = self->request->failures == 0 && has_rested(&self->at->command, now_us);
    return is_doubtful ? now_us + (until_us - now_us) / 2 : until_us;
}

static void submit(exchange *self, int64_t now_us)
{
    assert(self->request->state == REQUEST_READY);
    conn *on = &self->at->command;
    assert(on->state == CONN_OPEN);
    self->in->at = self->at;
    if (self->before_sending != NULL) self->before_sending(self);
    request_sent(self->request, now_us);
    self->call.answered = answered;
    self->call.deadline_us = patient_until_us(self, now_us);
    scout_ask(&self->at->scout, on, self->in->terms->route, now_us);
    self->loading.is_asking = self->was_asking = self->by.is_asking;
    bool *by_source = &self->request->by_source;
    if (!loading_submit(&self->loading, on, &self->call, &self->question, by_source, now_us))
        request_refused(self->request, REDLOCK_ERR_MEMORY, "out of memory", now_us);
}

/* A closed connection is opened when its backoff allows, and at once for the first attempt of a
 * request, which has a backoff of its own; if it fails on the way, so does the attempt. */
static void open_connection(exchange *self, int64_t now_us)
{
    conn *on = &self->at->command;
    bool is_closed = on->state == CONN_CLOSED && !self->awaits_connection;
    if (is_closed && (self->request->failures == 0 || now_us >= conn_retry_us(on))) {
        self->awaits_connection = true;
        conn_open(on, now_us);
    }
    if (on->state == CONN_CLOSED && self->awaits_connection) {
        self->awaits_connection = false;
        route_failed(self->in->terms->route, &self->by, on->to);
        request_refused(self->request, on->failure, on->failure_detail.text, now_us);
        return;
    }
    self->awaits_connection = on->state != CONN_CLOSED && on->state != CONN_OPEN;
}

void exchange_advance(exchange *self, int64_t now_us)
{
    assert(self->in != NULL);
    request_tick(self->request, now_us);
    if (self->request->state != REQUEST_READY) return;
    if (exchange_berth(self) == NULL) {
        request_refused(self->request, REDLOCK_ERR_MEMORY, "out of memory", now_us);
        return;
    }
    open_connection(self, now_us);
    bool is_ready = self->request->state == REQUEST_READY;
    if (is_ready && self->at->command.state == CONN_OPEN) submit(self, now_us);
}

int64_t exchange_wake_us(const exchange *self)
{
    int64_t wake_us = self->request->wake_us;
    if (self->request->state != REQUEST_READY || self->at == NULL) return wake_us;
    const conn *on = &self->at->command;
    return on->state == CONN_CLOSED ? earliest(wake_us, conn_retry_us(on)) : wake_us;
}

bool exchange_is_turned_away(const exchange *self)
{
    if (!lane_may_be_relieved(self->in) || self->at == NULL) return false;
    return conn_found_no_room(&self->at->command) && !request_is_unanswered(self->request);
}

bool exchange_is_in_flight(const exchange *self) { return self->request->state == REQUEST_SENT; }
