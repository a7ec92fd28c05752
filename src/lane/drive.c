/* SPDX-License-Identifier: MIT
 * The blocking drivers: the same engine that the keeper drives, pumped by the thread that waits. */
#include "lane/drive.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "engine/lease.h"
#include "host/clock.h"

/* ---- Hearing ----------------------------------------------------------------------------------*/

/* Where its grant would be told, as things are: at the node that has the lock by the map, wherever
 * the question goes. NULL: no memory. */
static subscription *find_subscription(const exchange *asks)
{
    berth *at = lane_berth(asks->in, route_owner(asks->in->terms->route, asks->slot));
    if (at == NULL) return NULL;
    subscription *known = asks->heard_at;
    if (known != NULL && known->in == &at->inbox) return known;
    return inbox_subscription(&at->inbox, asks->slot);
}

bool drive_catch_up(acquire *op, exchange *asks, int64_t now_us)
{
    if (exchange_berth(asks) == NULL) return false;
    if (!op->terms.may_wait) return true;
    subscription *its = find_subscription(asks);
    if (its == NULL) return false;
    /* One that is in doubt is not counted on before that was seen to. */
    bool is_open = its->state == SUBSCRIPTION_OPEN && !op->distrusts_inbox;
    if (its == asks->heard_at && its->changes == asks->heard) return true;
    asks->heard_at = its;
    asks->heard = its->changes;
    if (op->inbox_is_open || !is_open) acquire_inbox_lost(op, its->why, its->text.text, now_us);
    if (is_open) acquire_inbox_opened(op, now_us);
    return true;
}

void drive_begin(acquire *op, exchange *asks, const acquire_terms *terms, int64_t now_us)
{
    asks->heard_at = terms->may_wait ? find_subscription(asks) : NULL;
    if (asks->heard_at != NULL) asks->heard = asks->heard_at->changes;
    bool is_open = asks->heard_at != NULL && asks->heard_at->state == SUBSCRIPTION_OPEN;
    acquire_begin(op, terms, is_open, now_us);
}

/* A node that lost the slot, and does not know it yet, grants what is not its own. */
void drive_granted(acquire *op, exchange *asks, const inbox *by, const grant *message,
                   int64_t now_us)
{
    bool is_owners = drive_catch_up(op, asks, now_us) && asks->heard_at != NULL &&
                     asks->heard_at->in == by;
    if (is_owners) acquire_granted(op, message, now_us);
}

typedef struct hearing {
    acquire *op;
    exchange *asks;
} hearing;

static void hear_granted(void *arg, const inbox *by, const grant *message, int64_t now_us)
{
    const hearing *self = arg;
    drive_granted(self->op, self->asks, by, message, now_us);
}

static const inbox_listener to_acquire = {.granted = hear_granted};

/* ---- Rounds -----------------------------------------------------------------------------------*/

static bool asks_now(const acquire *op)
{
    return op->state == ACQUIRE_TRYING || op->state == ACQUIRE_ASKING;
}

/* With room for one connection only it is that for commands: whoever hears, but cannot ask, is
 * never in the line. */
static bool needs_its_room(const acquire *op, const berth *at)
{
    return !op->is_queued && conn_found_no_room(&at->command);
}

static void see_to_connections(acquire *op, exchange *asks, int64_t now_us)
{
    subscription *its = asks->heard_at;
    conn *commands = &asks->at->command;
    if (op->distrusts_inbox) {
        op->distrusts_inbox = false;
        if (!asks->was_asking)
            subscription_distrust(its, op->asks.sent_us, op->unheard > 1, now_us);
    }
    if (!acquire_wants_inbox(op)) return;
    if (!needs_its_room(op, asks->at)) {
        subscription_open(its, now_us);
        bool hears = its->state == SUBSCRIPTION_OPEN;
        asks->look_us = hears ? NEVER : lane_scout(asks->in, now_us);
        /* It was distrusted for a question that is older than it. */
        if (hears && op->state == ACQUIRE_SUBSCRIBING) acquire_inbox_opened(op, now_us);
        return;
    }
    inbox_give_way(its->in, now_us);
    if (now_us >= conn_retry_us(commands)) conn_open(commands, now_us);
}

void drive_advance(acquire *op, exchange *asks, size_t inbox_length, _Atomic int64_t *nonces,
                   int64_t now_us)
{
    acquire_tick(op, now_us);
    if (!drive_catch_up(op, asks, now_us)) acquire_stop(op, REDLOCK_ERR_MEMORY, now_us);
    else see_to_connections(op, asks, now_us);
    (void)drive_catch_up(op, asks, now_us);
    if (!asks_now(op)) return;
    if (op->asks.state == REQUEST_READY) {
        asks->question.inbox_length = acquire_queues(op) ? inbox_length : 0;
        asks->question.arrival_us = acquire_queues(op) ? op->arrival_us : 0;
        asks->question.nonce = atomic_fetch_add_explicit(nonces, 1, memory_order_relaxed);
    }
    exchange_advance(asks, now_us);
    acquire_asked(op, now_us);
}

int64_t drive_wake_us(const acquire *op, const exchange *asks)
{
    int64_t wake_us = acquire_wake_us(op);
    if (asks_now(op)) wake_us = earliest(wake_us, exchange_wake_us(asks));
    if (!acquire_wants_inbox(op)) return wake_us;
    wake_us = earliest(wake_us, asks->look_us);
    return earliest(wake_us, needs_its_room(op, asks->at) ? conn_retry_us(&asks->at->command)
                                                          : subscription_wake_us(asks->heard_at));
}

bool drive_can_go_on(const acquire *op, const exchange *asks)
{
    if (op->state == ACQUIRE_SUBSCRIBING)
        return asks->heard_at->in->conn.state == CONN_OPEN &&
               asks->heard_at->state != SUBSCRIPTION_SUBSCRIBING;
    return asks_now(op) && op->asks.state == REQUEST_READY && asks->at->command.state == CONN_OPEN;
}

static void obey(acquire *op, const lane_stops *stops)
{
    if (stops->is_set[0]) acquire_stop(op, REDLOCK_ERR_CLOSED, 0);
    if (stops->is_set[1]) acquire_stop(op, REDLOCK_CANCELLED, 0);
}

/* That of the connection ends a round later, see lane_pump. */
static void end_patience(acquire *op, int64_t now_us)
{
    if (asks_now(op) && request_end_patience(&op->asks, now_us)) acquire_asked(op, now_us);
}

/* There is no room for a connection that it needs: another may carry it, as long as the server
 * knows nothing of it. */
static bool finds_no_room(const acquire *op, const exchange *asks)
{
    bool may_be = lane_may_be_relieved(asks->in) && !op->is_queued &&
                  acquire_unanswered_us(op) == 0;
    if (!may_be || asks->at == NULL) return false;
    if (op->state == ACQUIRE_SUBSCRIBING) return conn_found_no_room(&asks->heard_at->in->conn);
    return asks_now(op) && !op->was_answered && exchange_is_turned_away(asks);
}

/* By source: a server that has not met the script would refuse it, and there is no second
 * attempt. */
static bool send_behind(conn *on, const question *undo, _Atomic int64_t *nonces, int64_t now_us)
{
    command cmd;
    question last = *undo;
    last.nonce = atomic_fetch_add_explicit(nonces, 1, memory_order_relaxed);
    question_command(&cmd, &last, true);
    return conn_close_behind(on, &cmd, now_us);
}

/* Done with a question under way: it may not be carried out after its undo. One that a message has
 * granted meanwhile is not to be undone. */
static bool part(const acquire *op, exchange *asks, const question *undo, _Atomic int64_t *nonces,
                 int64_t now_us)
{
    bool has_left = false;
    conn *on = asks->at == NULL ? NULL : &asks->at->command;
    if (on != NULL && on->first != NULL && op->is_owed)
        has_left = send_behind(on, undo, nonces, now_us);
    lane_abandon(asks->in);
    return has_left;
}

bool drive_acquire(acquire *op, exchange *asks, const question *undo, _Atomic int64_t *nonces,
                   lane_stops *stops)
{
    lane *on = asks->in;
    assert(lane_is_idle(on));
    size_t inbox_length = asks->question.inbox_length;
    hearing hears = {op, asks};
    lane_listen(on, &to_acquire, &hears);
    on->may_sleep_on_inbox = true;
    while (op->state != ACQUIRE_DONE) {
        int64_t now_us = clock_now_us();
        drive_advance(op, asks, inbox_length, nonces, now_us);
        end_patience(op, now_us);
        if (finds_no_room(op, asks)) acquire_turned_away(op);
        if (op->state == ACQUIRE_DONE || drive_can_go_on(op, asks)) continue;
        on->awaits_message = acquire_is_waiting(op);
        lane_pump(on, drive_wake_us(op, asks), stops);
        acquire_asked(op, clock_now_us());
        obey(op, stops);
    }
    lane_listen(on, NULL, NULL);
    on->awaits_message = false;
    return part(op, asks, undo, nonces, clock_now_us());
}

/* ---- Connecting now ---- */

typedef struct hello {
    call call; /* first */
    const conn *on;
    bool is_over;
    redlock_status status;
    redlock_detail *detail; /* may be NULL */
} hello;

static void end_hello(hello *self, redlock_status status, const char *words)
{
    self->is_over = true;
    self->status = status;
    if (self->detail != NULL)
        snprintf(self->detail->text, sizeof self->detail->text, "%s",
                 status == REDLOCK_OK ? "" : words);
}

/* A user may lack the right to it, and is served all the same. */
static bool is_at_home(const reply *from)
{
    static const char no_right[] = "NOPERM";
    if (from->kind == REPLY_STATUS) return true;
    return from->kind == REPLY_ERROR && from->length >= sizeof no_right - 1 &&
           memcmp(from->text, no_right, sizeof no_right - 1) == 0;
}

static void said_hello(call *back, const reply *from, int64_t now_us)
{
    hello *self = (hello *)back;
    answer read;
    (void)now_us;
    if (from == NULL) {
        end_hello(self, self->on->failure, self->on->failure_detail.text);
        return;
    }
    answer_read(&read, from);
    if (is_at_home(from)) end_hello(self, REDLOCK_OK, "");
    else if (read.kind == ANSWER_CODE) end_hello(self, REDLOCK_ERR_PROTOCOL, "");
    else end_hello(self, request_failure(&read), read.text);
}

static redlock_status say_hello(lane *self, conn *on, redlock_detail *detail)
{
    lane_stops none = {.fd = {-1, -1}};
    int64_t now_us = clock_now_us();
    hello asks = {.on = on, .detail = detail};
    asks.call.answered = said_hello;
    asks.call.deadline_us = now_us + on->config->connect_timeout_us;
    command cmd;
    command_begin(&cmd, "PING");
    conn_open(on, now_us);
    if (on->state == CONN_CLOSED) end_hello(&asks, on->failure, on->failure_detail.text);
    else if (!conn_submit(on, &asks.call, &cmd, now_us))
        end_hello(&asks, REDLOCK_ERR_MEMORY, "out of memory");
    while (!asks.is_over) lane_pump(self, NEVER, &none);
    lane_abandon(self);
    return asks.status;
}

/* Any seed of a cluster will do. */
redlock_status lane_connect(lane *self, redlock_detail *detail)
{
    const cluster *map = self->terms->route->cluster;
    unsigned seeds = map == NULL ? 0 : atomic_load(&map->count);
    redlock_status status = say_hello(self, &self->home.command, detail);
    for (unsigned i = 1; i < seeds && status != REDLOCK_OK; i++) {
        berth *at = lane_berth(self, cluster_numbered(map, i));
        if (at == NULL) return REDLOCK_ERR_MEMORY;
        status = say_hello(self, &at->command, detail);
    }
    return status;
}
