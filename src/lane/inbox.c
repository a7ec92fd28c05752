/* SPDX-License-Identifier: MIT
 * The inbox: its connection, and its subscription. */
#include "lane/inbox.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "engine/request.h"

static void move(inbox *self, enum inbox_state to)
{
    static const bool allowed[4][4] = {
        [INBOX_CLOSED] = {[INBOX_CONNECTING] = true},
        [INBOX_CONNECTING] = {[INBOX_SUBSCRIBING] = true, [INBOX_CLOSED] = true},
        [INBOX_SUBSCRIBING] = {[INBOX_OPEN] = true, [INBOX_CLOSED] = true},
        [INBOX_OPEN] = {[INBOX_CLOSED] = true},
    };
    assert(allowed[self->state][to]);
    (void)allowed;
    self->state = to;
}

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
    *self = (inbox){.state = INBOX_CLOSED, .channel = channel};
    conn_init(&self->conn, config, to);
    self->conn.on_message = message_arrived;
    self->conn.owner = self;
}

void inbox_destroy(inbox *self) { conn_destroy(&self->conn); }

static void lose(inbox *self, int64_t now_us)
{
    bool has_reason = self->conn.failure != REDLOCK_OK;
    self->why = has_reason ? self->conn.failure : REDLOCK_ERR_CONNECT;
    self->text = self->conn.failure_detail;
    self->changes++;
    move(self, INBOX_CLOSED);
    if (self->listener != NULL) self->listener->lost(self->listener_arg, self, now_us);
}

static void refused(inbox *self, const reply *from, int64_t now_us)
{
    answer read;
    redlock_detail detail;
    answer_read(&read, from);
    snprintf(detail.text, sizeof detail.text, "the server refused SUBSCRIBE: %s", read.text);
    conn_close(&self->conn, request_failure(&read), detail.text, now_us);
    lose(self, now_us);
}

static void subscribed(call *back, const reply *from, int64_t now_us)
{
    assert(back->answered == subscribed);
    inbox *self = (inbox *)((char *)back - offsetof(inbox, subscription));
    assert(self->state == INBOX_SUBSCRIBING);
    if (from == NULL) {
        lose(self, now_us);
    } else if (from->kind == REPLY_ERROR) {
        refused(self, from, now_us);
    } else {
        self->changes++;
        move(self, INBOX_OPEN);
        if (self->listener != NULL) self->listener->opened(self->listener_arg, now_us);
    }
}

static void subscribe(inbox *self, int64_t now_us)
{
    assert(self->conn.state == CONN_OPEN);
    command cmd;
    command_begin(&cmd, "SUBSCRIBE");
    command_add_text(&cmd, self->channel);
    self->subscription.answered = subscribed;
    self->subscription.deadline_us = now_us + self->conn.config->connect_timeout_us;
    move(self, INBOX_SUBSCRIBING);
    if (conn_submit(&self->conn, &self->subscription, &cmd, now_us)) return;
    conn_close(&self->conn, REDLOCK_ERR_MEMORY, "out of memory", now_us);
    lose(self, now_us);
}

/* In SUBSCRIBING the answer tells, or that there will be none. */
void inbox_notice(inbox *self, int64_t now_us)
{
    bool was_coming = self->state == INBOX_CONNECTING || self->state == INBOX_OPEN;
    if (self->conn.state == CONN_CLOSED && was_coming) lose(self, now_us);
}

void inbox_open(inbox *self, int64_t now_us)
{
    if (self->state == INBOX_CLOSED && now_us >= conn_retry_us(&self->conn)) {
        assert(self->conn.state == CONN_CLOSED);
        move(self, INBOX_CONNECTING);
        conn_open(&self->conn, now_us);
        inbox_notice(self, now_us);
    }
    if (self->state == INBOX_CONNECTING && self->conn.state == CONN_OPEN) subscribe(self, now_us);
}

int64_t inbox_wake_us(const inbox *self)
{
    return self->conn.state == CONN_CLOSED ? conn_retry_us(&self->conn) : NEVER;
}

void inbox_give_way(inbox *self, int64_t now_us)
{
    if (self->conn.state == CONN_CLOSED) return;
    conn_close(&self->conn, REDLOCK_ERR_UNAVAILABLE, "there is no room for another connection",
               now_us);
    inbox_notice(self, now_us);
}

void inbox_distrust(inbox *self, int64_t sent_us, bool is_again, int64_t now_us)
{
    static const char why[] = "nobody hears the inbox on the server that has the lock";
    const conn_config *config = self->conn.config;
    bool is_first = is_again && config->counters != NULL &&
                    !atomic_exchange(&config->counters->told_unheard, true);
    if (is_first)
        log_line(config->log, REDLOCK_LOG_WARNING,
                 "%s: do commands and messages reach different servers? Waiting goes on by asking",
                 why);
    if (self->state != INBOX_OPEN || self->subscription.sent_us > sent_us) return;
    conn_close(&self->conn, REDLOCK_ERR_UNAVAILABLE, why, now_us);
    inbox_notice(self, now_us);
}
