/* SPDX-License-Identifier: MIT
 * The inbox: its connection, and its subscriptions. */
#include "lane/inbox.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "engine/lease.h"
#include "engine/request.h"
#include "wire/identity.h"

/* A subscription that is there before anybody wanted one. */
enum { SLOT_UNUSED = NO_SLOT - 1 };

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
        self->listener->granted(self->listener_arg, self, &read, now_us);
}

static bool has_channel(const subscription *self, const reply *channel)
{
    char own[SLOT_CHANNEL_SIZE];
    size_t length = channel_of_slot(own, self->in->channel, self->slot);
    return length == channel->length && memcmp(own, channel->text, length) == 0;
}

static void lose(subscription *self);

/* One that is on its way has its answer before it. */
static void subscription_ended(conn *from, const reply *channel, int64_t now_us)
{
    inbox *self = from->owner;
    (void)now_us;
    for (subscription *each = &self->first; each != NULL; each = each->next)
        if (each->state == SUBSCRIPTION_OPEN && has_channel(each, channel)) lose(each);
}

void inbox_init(inbox *self, const conn_config *config, node *to, route *by, const char *channel)
{
    *self = (inbox){.route = by, .channel = channel};
    self->first = (subscription){.in = self, .slot = SLOT_UNUSED};
    conn_init(&self->conn, config, to);
    self->conn.on_message = message_arrived;
    self->conn.on_unsubscribed = subscription_ended;
    self->conn.owner = self;
}

void inbox_destroy(inbox *self)
{
    conn_destroy(&self->conn);
    for (subscription *each = self->first.next, *next; each != NULL; each = next) {
        next = each->next;
        memory_free(self->conn.config->memory, each);
    }
}

subscription *inbox_subscription(inbox *self, int slot)
{
    subscription *last = &self->first;
    if (last->slot == SLOT_UNUSED) last->slot = slot;
    while (last->slot != slot && last->next != NULL) last = last->next;
    if (last->slot == slot) return last;
    subscription *made = memory_new(self->conn.config->memory, sizeof *made);
    if (made == NULL) return NULL;
    made->in = self;
    made->slot = slot;
    last->next = made;
    return made;
}

static bool is_coming(const subscription *self)
{
    return self->state == SUBSCRIPTION_CONNECTING || self->state == SUBSCRIPTION_SUBSCRIBING;
}

bool inbox_is_coming(const inbox *self)
{
    for (const subscription *each = &self->first; each != NULL; each = each->next)
        if (is_coming(each)) return true;
    return false;
}

static void tell_change(subscription *self)
{
    self->changes++;
    const inbox_listener *listener = self->in->listener;
    if (listener != NULL && listener->changed != NULL) listener->changed(self->in->listener_arg);
}

static void lose_for(subscription *self, redlock_status why, const char *text)
{
    self->why = why;
    snprintf(self->text.text, sizeof self->text.text, "%s", text);
    move(self, SUBSCRIPTION_CLOSED);
    tell_change(self);
}

/* With its connection, or because the slot has gone elsewhere. */
static void lose(subscription *self)
{
    const conn *on = &self->in->conn;
    if (on->state != CONN_CLOSED) {
        lose_for(self, REDLOCK_ERR_UNAVAILABLE, "another server has the lock now");
        return;
    }
    route_suspect(self->in->route, on->to);
    lose_for(self, conn_why_cut(on), on->failure_detail.text);
}

/* In SUBSCRIBING the answer tells, or that there will be none. */
static void notice(subscription *self)
{
    bool was_there = self->state == SUBSCRIPTION_CONNECTING || self->state == SUBSCRIPTION_OPEN;
    if (self->in->conn.state == CONN_CLOSED && was_there) lose(self);
}

void inbox_notice(inbox *self)
{
    for (subscription *each = &self->first; each != NULL; each = each->next) notice(each);
}

/* Whoever opens it again finds all of them lost. */
static void end_for_all(inbox *self, redlock_status why, const char *text, int64_t now_us)
{
    conn_close(&self->conn, why, text, now_us);
    inbox_notice(self);
}

void inbox_give_way(inbox *self, int64_t now_us)
{
    static const char why[] = "there is no room for another connection";
    if (self->conn.state != CONN_CLOSED) end_for_all(self, REDLOCK_ERR_UNAVAILABLE, why, now_us);
}

/* ---- A subscription --------------------------------------------------------------------------*/

/* Before a channel is subscribed to that was refused alone. */
enum { REFUSED_US = 20000 };

static const char *verb_of(const subscription *self)
{
    return self->slot == NO_SLOT ? "SUBSCRIBE" : "SSUBSCRIBE";
}

/* A redirect concerns no other channel. */
static void refused(subscription *self, const reply *from, int64_t now_us)
{
    answer read;
    redlock_detail detail;
    way none = {0};
    answer_read(&read, from);
    bool is_elsewhere = read.kind == ANSWER_REDIRECT || read.kind == ANSWER_TRANSIENT;
    route_learn(self->in->route, &none, self->slot, self->in->conn.to, &read, from);
    snprintf(detail.text, sizeof detail.text, "the server refused %s: %s", verb_of(self),
             read.text);
    if (self->slot != NO_SLOT && is_elsewhere) {
        self->not_before_us = now_us + REFUSED_US;
        lose_for(self, REDLOCK_ERR_UNAVAILABLE, detail.text);
        return;
    }
    end_for_all(self->in, request_failure(&read), detail.text, now_us);
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
    char channel[SLOT_CHANNEL_SIZE];
    command cmd;
    command_begin(&cmd, verb_of(self));
    command_add(&cmd, channel, channel_of_slot(channel, self->in->channel, self->slot));
    self->asks.answered = subscribed;
    self->asks.deadline_us = now_us + on->config->connect_timeout_us;
    move(self, SUBSCRIPTION_SUBSCRIBING);
    if (conn_submit(on, &self->asks, &cmd, now_us)) return;
    end_for_all(self->in, REDLOCK_ERR_MEMORY, "out of memory", now_us);
    lose(self);
}

void subscription_open(subscription *self, int64_t now_us)
{
    conn *on = &self->in->conn;
    if (self->state == SUBSCRIPTION_CLOSED && now_us >= subscription_wake_us(self)) {
        move(self, SUBSCRIPTION_CONNECTING);
        conn_open(on, now_us);
        inbox_notice(self->in);
    }
    if (self->state == SUBSCRIPTION_CONNECTING && on->state == CONN_OPEN) subscribe(self, now_us);
}

int64_t subscription_wake_us(const subscription *self)
{
    const conn *on = &self->in->conn;
    if (self->state != SUBSCRIPTION_CLOSED) return NEVER;
    return on->state == CONN_CLOSED ? latest(self->not_before_us, conn_retry_us(on))
                                    : self->not_before_us;
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
    end_for_all(self->in, REDLOCK_ERR_UNAVAILABLE, why, now_us);
}
