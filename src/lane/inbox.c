/* SPDX-License-Identifier: MIT
 * The inbox: its connection, and its subscriptions. */
#include "lane/inbox.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "engine/request.h"

static void move(subscription *self, enum subscription_state to)
{
    static const bool allowed[4][4] = {
        [SUBSCRIPTION_CLOSED] = {[SUBSCRIPTION_CONNECTING] = true},
        [SUBSCRIPTION_CONNECTING] =
            {[SUBSCRIPTION_SUBSCRIBING] = true, [SUBSCRIPTION_CLOSED] = true},
        [SUBSCRIPTION_SUBSCRIBING] = {[SUBSCRIPTION_OPEN] = true, [SUBSCRIPTION_CLOSED] = true},
        [SUBSCRIPTION_OPEN] = {[SUBSCRIPTION_CLOSED] = true},
    };
    assert(allowed[self->state][to]);
    (void)allowed;
    self->state = to;
}

/* ---- The inbox -------------------------------------------------------------------------------*/

static void message_arrived(conn *from, const reply *channel, const reply *payload, int64_t now_us)
{
    inbox *self = from->owner;
    (void)channel;
    grant read;
    if (self->listener == NULL || payload->kind != REPLY_STRING) return;
    if (grant_read(&read, payload->text, payload->length))
        self->listener->granted(self->listener_arg, &read, now_us);
}

void inbox_init(inbox *self, const conn_config *config, node *to, const char *channel)
{
    *self = (inbox){.channel = channel};
    self->only.in = self;
    conn_init(&self->conn, config, to);
    self->conn.on_message = message_arrived;
    self->conn.owner = self;
}

void inbox_destroy(inbox *self) { conn_destroy(&self->conn); }

static bool is_coming(const subscription *self)
{
    return self->state == SUBSCRIPTION_CONNECTING || self->state == SUBSCRIPTION_SUBSCRIBING;
}

bool inbox_is_coming(const inbox *self) { return is_coming(&self->only); }

static void tell_change(subscription *self)
{
    self->changes++;
    const inbox_listener *listener = self->in->listener;
    if (listener != NULL && listener->changed != NULL) listener->changed(self->in->listener_arg);
}

static void lose(subscription *self)
{
    const conn *on = &self->in->conn;
    bool has_reason = on->failure != REDLOCK_OK;
    self->why = has_reason ? on->failure : REDLOCK_ERR_CONNECT;
    self->text = on->failure_detail;
    move(self, SUBSCRIPTION_CLOSED);
    tell_change(self);
}

/* In SUBSCRIBING the answer tells, or that there will be none. */
static void notice(subscription *self)
{
    bool was_there = self->state == SUBSCRIPTION_CONNECTING || self->state == SUBSCRIPTION_OPEN;
    if (self->in->conn.state == CONN_CLOSED && was_there) lose(self);
}

void inbox_notice(inbox *self, int64_t now_us)
{
    (void)now_us;
    notice(&self->only);
}

void inbox_give_way(inbox *self, int64_t now_us)
{
    if (self->conn.state == CONN_CLOSED) return;
    conn_close(&self->conn, REDLOCK_ERR_UNAVAILABLE, "there is no room for another connection",
               now_us);
    inbox_notice(self, now_us);
}

/* ---- A subscription --------------------------------------------------------------------------*/

static void refused(subscription *self, const reply *from, int64_t now_us)
{
    answer read;
    redlock_detail detail;
    answer_read(&read, from);
    snprintf(detail.text, sizeof detail.text, "the server refused SUBSCRIBE: %s", read.text);
    conn_close(&self->in->conn, request_failure(&read), detail.text, now_us);
    lose(self);
}

static void subscribed(call *back, const reply *from, int64_t now_us)
{
    assert(back->answered == subscribed);
    subscription *self = (subscription *)((char *)back - offsetof(subscription, asks));
    assert(self->state == SUBSCRIPTION_SUBSCRIBING);
    if (from == NULL) {
        lose(self);
    } else if (from->kind == REPLY_ERROR) {
        refused(self, from, now_us);
    } else {
        move(self, SUBSCRIPTION_OPEN);
        tell_change(self);
    }
}

static void subscribe(subscription *self, int64_t now_us)
{
    conn *on = &self->in->conn;
    assert(on->state == CONN_OPEN);
    command cmd;
    command_begin(&cmd, "SUBSCRIBE");
    command_add_text(&cmd, self->in->channel);
    self->asks.answered = subscribed;
    self->asks.deadline_us = now_us + on->config->connect_timeout_us;
    move(self, SUBSCRIPTION_SUBSCRIBING);
    if (conn_submit(on, &self->asks, &cmd, now_us)) return;
    conn_close(on, REDLOCK_ERR_MEMORY, "out of memory", now_us);
    lose(self);
}

void subscription_open(subscription *self, int64_t now_us)
{
    conn *on = &self->in->conn;
    if (self->state == SUBSCRIPTION_CLOSED && now_us >= conn_retry_us(on)) {
        assert(on->state == CONN_CLOSED);
        move(self, SUBSCRIPTION_CONNECTING);
        conn_open(on, now_us);
        inbox_notice(self->in, now_us);
    }
    if (self->state == SUBSCRIPTION_CONNECTING && on->state == CONN_OPEN) subscribe(self, now_us);
}

int64_t subscription_wake_us(const subscription *self)
{
    const conn *on = &self->in->conn;
    return on->state == CONN_CLOSED ? conn_retry_us(on) : NEVER;
}

void subscription_distrust(subscription *self, int64_t sent_us, bool is_again, int64_t now_us)
{
    static const char why[] = "nobody hears the inbox on the server that has the lock";
    conn *on = &self->in->conn;
    const conn_config *config = on->config;
    bool is_first = is_again && config->counters != NULL &&
                    !atomic_exchange(&config->counters->told_unheard, true);
    if (is_first)
        log_line(config->log, REDLOCK_LOG_WARNING,
                 "%s: do commands and messages reach different servers? Waiting goes on by asking",
                 why);
    if (self->state != SUBSCRIPTION_OPEN || self->asks.sent_us > sent_us) return;
    conn_close(on, REDLOCK_ERR_UNAVAILABLE, why, now_us);
    inbox_notice(self->in, now_us);
}
