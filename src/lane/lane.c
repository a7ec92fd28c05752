/* SPDX-License-Identifier: MIT
 * The pump of one lane: writes, waits, reads, and the deadlines of its connections. */
#include "lane/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "host/clock.h"
#include "engine/lease.h"

static void message_arrived(conn *from, const reply *channel, const reply *payload, int64_t now_us)
{
    lane *self = from->owner;
    (void)channel;
    grant read;
    if (self->listener == NULL || payload->kind != REPLY_STRING) return;
    if (grant_read(&read, payload->text, payload->length))
        self->listener->granted(self->listener_arg, &read, now_us);
}

void lane_init(lane *self, const conn_config *config, unsigned number, const char *key_prefix,
               const identity *who)
{
    *self = (lane){.number = number};
    conn_init(&self->command, config);
    conn_init(&self->inbox, config);
    self->inbox.on_message = message_arrived;
    self->inbox.owner = self;
    self->channel_length = identity_channel(self->channel, key_prefix, who, number);
}

void lane_destroy(lane *self)
{
    conn_destroy(&self->command);
    conn_destroy(&self->inbox);
}

static void lose_inbox(lane *self, int64_t now_us)
{
    redlock_status why = self->inbox.failure == REDLOCK_OK ? REDLOCK_ERR_CONNECT
                                                           : self->inbox.failure;
    self->inbox_is_subscribed = false;
    self->inbox_awaits_connection = false;
    if (self->listener != NULL)
        self->listener->lost(self->listener_arg, why, self->inbox.failure_detail.text, now_us);
}

static void subscribed(call *back, const reply *from, int64_t now_us)
{
    assert(back->answered == subscribed);
    lane *self = (lane *)((char *)back - offsetof(lane, subscription));
    self->subscription_is_in_flight = false;
    if (from == NULL) {
        lose_inbox(self, now_us);
        return;
    }
    if (from->kind == REPLY_ERROR) {
        redlock_status why = answer_error_kind(from->text, from->length) == ANSWER_DENIED
                                 ? REDLOCK_ERR_DENIED
                                 : REDLOCK_ERR_UNAVAILABLE;
        conn_close(&self->inbox, why, "the server refused SUBSCRIBE", now_us);
        lose_inbox(self, now_us);
        return;
    }
    self->inbox_is_subscribed = true;
    if (self->listener != NULL) self->listener->opened(self->listener_arg, now_us);
}

static void subscribe(lane *self, int64_t now_us)
{
    assert(!self->subscription_is_in_flight);
    assert(self->inbox.state == CONN_OPEN);
    command cmd;
    command_begin(&cmd, "SUBSCRIBE");
    command_add(&cmd, self->channel, self->channel_length);
    self->subscription.answered = subscribed;
    self->subscription.deadline_us = now_us + self->inbox.config->connect_timeout_us;
    self->subscription_is_in_flight = conn_submit(&self->inbox, &self->subscription, &cmd, now_us);
    if (self->subscription_is_in_flight) return;
    conn_close(&self->inbox, REDLOCK_ERR_MEMORY, "out of memory", now_us);
    lose_inbox(self, now_us);
}

void lane_notice_inbox_loss(lane *self, int64_t now_us)
{
    bool was_coming = self->inbox_is_subscribed || self->inbox_awaits_connection;
    if (self->inbox.state == CONN_CLOSED && was_coming) lose_inbox(self, now_us);
}

void lane_open_inbox(lane *self, int64_t now_us)
{
    conn *inbox = &self->inbox;
    if (self->inbox_is_subscribed || self->subscription_is_in_flight) return;
    if (inbox->state == CONN_CLOSED && now_us >= inbox->retry_at_us) {
        self->inbox_awaits_connection = true;
        conn_open(inbox, now_us);
        lane_notice_inbox_loss(self, now_us);
    }
    if (inbox->state == CONN_OPEN) {
        self->inbox_awaits_connection = false;
        subscribe(self, now_us);
    }
}

int64_t lane_inbox_wake_us(const lane *self)
{
    return self->inbox.state == CONN_CLOSED ? self->inbox.retry_at_us : NEVER;
}

void lane_distrust_inbox(lane *self, int64_t sent_us, bool is_again, int64_t now_us)
{
    static const char why[] = "nobody hears the inbox on the server that has the lock";
    const conn_config *config = self->inbox.config;
    bool is_first = is_again && config->counters != NULL &&
                    !atomic_exchange(&config->counters->told_unheard, true);
    if (is_first)
        log_line(config->log, REDLOCK_LOG_WARNING,
                 "%s: do commands and messages reach different servers? Waiting goes on by asking",
                 why);
    if (!self->inbox_is_subscribed || self->subscription.sent_us > sent_us) return;
    conn_close(&self->inbox, REDLOCK_ERR_UNAVAILABLE, why, now_us);
    lane_notice_inbox_loss(self, now_us);
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
    refresh(&self->inbox, now_us);
    lane_notice_inbox_loss(self, now_us);
}

/* Only one connection matters, and something is to come soon: one blocking recv serves, unless the
 * deadline is nearer than that. */
static bool receive_soon(lane *self, int64_t until_us, int64_t now_us)
{
    if (until_us < now_us + (CONN_RECEIVE_SOON_MS + 4) * US_PER_MS) return false;
    if (self->awaits_message) {
        bool may = self->may_sleep_on_inbox && self->inbox_is_subscribed;
        self->may_sleep_on_inbox = false;
        return may && conn_receive_soon(&self->inbox);
    }
    if (self->command.first == NULL || self->inbox_awaits_connection) return false;
    if (self->subscription_is_in_flight) return false;
    return conn_receive_soon(&self->command);
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
    if (now_us >= conn_wake_us(&self->inbox)) conn_tick(&self->inbox, now_us);
    bool was_late = self->is_late;
    self->is_late = now_us >= conn_wake_us(&self->command);
    if (was_late && self->is_late) conn_tick(&self->command, now_us);
}

/* False when a connection broke on the way: what is to be done next, and by when, is to be asked
 * again. */
static bool flush(lane *self, int64_t now_us)
{
    unsigned generations = self->command.generation + self->inbox.generation;
    conn_flush(&self->command, now_us);
    conn_flush(&self->inbox, now_us);
    if (generations == self->command.generation + self->inbox.generation) return true;
    lane_notice_inbox_loss(self, now_us);
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
        earliest(until_us, earliest(conn_wake_us(&self->command), conn_wake_us(&self->inbox)));
    if (receive_soon(self, until_us, now_us)) {
        lane_notice_inbox_loss(self, clock_now_us());
        return;
    }
    now_us = clock_now_us(); /* that may have taken its few milliseconds */
    if (conn_has_pending(&self->command) || conn_has_pending(&self->inbox)) until_us = now_us;
    struct pollfd fds[2 + LANE_STOPS] = {
        {.fd = conn_poll_fd(&self->command), .events = conn_poll_events(&self->command)},
        {.fd = conn_poll_fd(&self->inbox), .events = conn_poll_events(&self->inbox)}};
    for (int i = 0; i < LANE_STOPS; i++)
        fds[2 + i] = (struct pollfd){.fd = stops->fd[i], .events = POLLIN};
    wait_for(fds, 2 + LANE_STOPS, until_us, now_us);
    now_us = clock_now_us();
    settle(&self->command, fds[0].revents, now_us);
    settle(&self->inbox, fds[1].revents, now_us);
    keep_deadlines(self, now_us);
    lane_notice_inbox_loss(self, now_us);
    for (int i = 0; i < LANE_STOPS; i++) stops->is_set[i] = fds[2 + i].revents != 0;
}
