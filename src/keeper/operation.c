/* SPDX-License-Identifier: MIT
 * Asynchronous operations on the keeper's lane. */
#include "keeper/operation.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "host/clock.h"
#include "host/portion.h"
#include "lane/drive.h"

/* The clock is looked at after so many operations; and so many are taken in, or found to be due, in
 * one turn. */
enum { BETWEEN_CLOCKS = PORTION(16, 1), TAKEN_MOST = PORTION(256, 1) };

static void drop(operations *self, operation *op);

void operations_init(operations *self, const operations_terms *terms)
{
    *self = (operations){.terms = *terms};
    directory_init(&self->by_id);
    self->submitted_end = &self->submitted;
    self->ready_end = &self->ready;
}

void operations_destroy(operations *self)
{
    while (self->all != NULL) drop(self, self->all);
    directory_free(&self->by_id, self->terms.memory);
    schedule_free(&self->timers, self->terms.memory);
}

/* ---- The doors, with the mutex ---- */

static operation *find(const operations *self, uint64_t id)
{
    directory_entry *found = directory_find(&self->by_id, id);
    return found == NULL ? NULL : (operation *)((char *)found - offsetof(operation, entry));
}

void operations_submit(operations *self, operation *op)
{
    assert(mutex_is_mine(self->terms.mutex));
    assert(op->finished != NULL);
    assert(!op->is_told);
    directory_add(&self->by_id, self->terms.memory, &op->entry);
    op->after = NULL;
    *self->submitted_end = op;
    self->submitted_end = &op->after;
}

void operations_cancel(operations *self, uint64_t id)
{
    assert(mutex_is_mine(self->terms.mutex));
    operation *op = find(self, id);
    if (op == NULL || op->is_cancelled) return;
    op->is_cancelled = true;
    op->next_cancelled = self->cancelled;
    self->cancelled = op;
}

/* ---- Lists of the turning thread ---- */

static void make_ready(operations *self, operation *op)
{
    if (op->is_ready) return;
    op->is_ready = true;
    op->after = NULL;
    op->listed_at = self->ready_end;
    *self->ready_end = op;
    self->ready_end = &op->after;
}

static void unready(operations *self, operation *op)
{
    if (!op->is_ready) return;
    op->is_ready = false;
    *op->listed_at = op->after;
    if (op->after != NULL) op->after->listed_at = op->listed_at;
    else self->ready_end = op->listed_at;
}

static void sweep_again(operations *self) { self->unswept = self->all; }

/* The next one to be advanced. While a sweep is under way it goes first: whoever came first asks
 * first. */
static operation *take_next(operations *self)
{
    operation *op = self->unswept != NULL ? self->unswept : self->ready;
    if (op == NULL) return NULL;
    if (op == self->unswept) self->unswept = op->next;
    unready(self, op);
    return op;
}

static void link_in(operations *self, operation *op)
{
    assert(self->running < SIZE_MAX);
    op->previous = self->last;
    op->next = NULL;
    if (self->last != NULL) self->last->next = op;
    else self->all = op;
    self->last = op;
    self->running++;
    self->untold++;
}

static void link_out(operations *self, operation *op)
{
    assert(self->running > 0);
    if (self->unswept == op) self->unswept = op->next;
    if (op->previous != NULL) op->previous->next = op->next;
    else self->all = op->next;
    if (op->next != NULL) op->next->previous = op->previous;
    else self->last = op->previous;
    self->running--;
}

/* ---- One operation ---- */

static void moved(exchange *asks)
{
    operations *self = asks->owner;
    make_ready(self, (operation *)asks);
}

static bool is_in_flight(const operation *op)
{
    return !op->is_at_once && exchange_is_in_flight(&op->asks);
}

static void drop(operations *self, operation *op)
{
    link_out(self, op);
    op->free_self(op);
}

/* Tells its owner, once; and frees it, unless its call is still with the connection. */
static void tell(operations *self, operation *op, redlock_status status, int64_t now_us)
{
    assert(!op->is_told);
    op->status = status;
    op->is_told = true;
    unready(self, op); /* what happened while it was advanced may have listed it again */
    self->untold--;
    schedule_remove(&self->timers, &op->timer);
    mutex_lock(self->terms.mutex);
    directory_remove(&self->by_id, &op->entry);
    /* A cancel that came too late must not find it any more. */
    operation **at = &self->cancelled;
    while (op->is_cancelled && *at != NULL && *at != op) at = &(*at)->next_cancelled;
    if (op->is_cancelled && *at == op) *at = op->next_cancelled;
    mutex_unlock(self->terms.mutex);
    bool stays = is_in_flight(op);
    op->finished(op, now_us);
    if (fork_guard_is_child(self->terms.fork)) return;
    if (!stays) drop(self, op);
}

/* The server is late but others use the connection, too: the operation ends without its answer. */
static void keep_deadline(operation *op, int64_t now_us)
{
    acquire *engine = &op->acquisition;
    bool is_late = now_us >= engine->asks.deadline_us && engine->asks.state == REQUEST_SENT;
    if (is_late && engine->state != ACQUIRE_DONE) acquire_stop(engine, engine->at_deadline, now_us);
}

static void advance_acquisition(operations *self, operation *op, int64_t now_us)
{
    assert(op->acquires);
    acquire *engine = &op->acquisition;
    acquire_asked(engine, now_us);
    (void)drive_catch_up(engine, &op->asks, now_us);
    keep_deadline(op, now_us);
    while (engine->state != ACQUIRE_DONE) {
        drive_advance(engine, &op->asks, op->inbox_length, self->terms.nonces, now_us);
        if (engine->state == ACQUIRE_DONE || !drive_can_go_on(engine, &op->asks)) break;
    }
    if (engine->state == ACQUIRE_DONE) tell(self, op, engine->status, now_us);
    else schedule_set(&self->timers, &op->timer, drive_wake_us(engine, &op->asks));
}

static void advance_request(operations *self, operation *op, int64_t now_us)
{
    assert(!op->acquires);
    assert(!op->is_at_once);
    exchange_advance(&op->asks, now_us);
    int64_t needed_us = op->needed_until_us == NULL ? NEVER : op->needed_until_us(op);
    bool is_late = op->single.state == REQUEST_SENT && now_us >= op->single.deadline_us;
    if (op->single.state == REQUEST_DONE) tell(self, op, op->single.status, now_us);
    else if (now_us >= needed_us) tell(self, op, REDLOCK_LOST, now_us);
    else if (is_late) tell(self, op, REDLOCK_ERR_TIMEOUT, now_us);
    else schedule_set(&self->timers, &op->timer, earliest(exchange_wake_us(&op->asks), needed_us));
}

static void advance_operation(operations *self, operation *op, int64_t now_us)
{
    if (op->is_told) {
        if (!is_in_flight(op)) drop(self, op);
    } else if (op->is_at_once) {
        tell(self, op, op->status, now_us);
    } else if (op->acquires) {
        advance_acquisition(self, op, now_us);
    } else {
        advance_request(self, op, now_us);
    }
}

/* ---- Turns ---- */

static void start(operations *self, operation *op, int64_t now_us)
{
    assert(op->asks.owner == NULL);
    link_in(self, op);
    op->asks.owner = self;
    op->asks.on_moved = moved;
    op->asks.shares_connection = true;
    const berth *at = exchange_enter(&op->asks, self->terms.on);
    if (at == NULL || !schedule_reserve(&self->timers, self->terms.memory, self->running)) {
        op->is_at_once = true;
        op->status = REDLOCK_ERR_MEMORY;
    } else if (op->acquires) {
        drive_begin(&op->acquisition, &op->asks, &op->terms, now_us);
        op->asks.request = &op->acquisition.asks;
    } else {
        op->asks.request = &op->single;
    }
    make_ready(self, op);
}

/* With the mutex. */
static operation *cut_submitted(operations *self)
{
    operation *first = self->submitted, *last = first;
    for (int n = 1; n < TAKEN_MOST && last != NULL && last->after != NULL; n++) last = last->after;
    if (last == NULL) return NULL;
    self->submitted = last->after;
    last->after = NULL;
    if (self->submitted == NULL) self->submitted_end = &self->submitted;
    return first;
}

static void stop(operations *self, operation *op, int64_t now_us)
{
    bool is_single = !op->acquires && !op->is_at_once;
    if (is_single && !op->is_told) tell(self, op, REDLOCK_CANCELLED, now_us);
    if (is_single) return;
    if (!op->is_at_once) acquire_stop(&op->acquisition, REDLOCK_CANCELLED, now_us);
    make_ready(self, op);
}

/* One that was cancelled before it was taken in keeps its place in the list until then. */
static void stop_cancelled(operations *self, operation *cancelled, int64_t now_us)
{
    for (operation *op = cancelled, *next; op != NULL; op = next) {
        next = op->next_cancelled;
        if (op->asks.owner == NULL) {
            mutex_lock(self->terms.mutex);
            op->next_cancelled = self->cancelled;
            self->cancelled = op;
            mutex_unlock(self->terms.mutex);
            continue;
        }
        stop(self, op, now_us);
        if (fork_guard_is_child(self->terms.fork)) return;
    }
}

static void take_in(operations *self, int64_t now_us)
{
    mutex_lock(self->terms.mutex);
    operation *submitted = cut_submitted(self), *cancelled = self->cancelled;
    self->cancelled = NULL;
    mutex_unlock(self->terms.mutex);
    while (submitted != NULL) {
        operation *op = submitted;
        submitted = op->after;
        start(self, op, now_us);
    }
    stop_cancelled(self, cancelled, now_us);
}

static bool has_submitted(operations *self)
{
    mutex_lock(self->terms.mutex);
    bool has = self->submitted != NULL;
    mutex_unlock(self->terms.mutex);
    return has;
}

static void take_due(operations *self, int64_t now_us)
{
    timer *first;
    for (int n = 0; n < TAKEN_MOST && (first = schedule_first(&self->timers)) != NULL &&
                    first->at_us <= now_us;
         n++) {
        schedule_remove(&self->timers, first);
        make_ready(self, (operation *)((char *)first - offsetof(operation, timer)));
    }
}

bool operations_has_work(const operations *self)
{
    return self->ready != NULL || self->unswept != NULL;
}

int64_t operations_turn(operations *self, int64_t now_us, int64_t budget_us)
{
    take_in(self, now_us);
    take_due(self, now_us);
    int64_t until_us = now_us + budget_us;
    operation *op;
    for (unsigned n = 1; (op = take_next(self)) != NULL; n++) {
        advance_operation(self, op, now_us);
        if (fork_guard_is_child(self->terms.fork)) return NEVER;
        if (n % BETWEEN_CLOCKS != 0) continue;
        now_us = clock_now_us();
        if (now_us >= until_us) break;
    }
    if (operations_has_work(self)) return INT64_MIN;
    timer *first = schedule_first(&self->timers);
    return first == NULL ? NEVER : first->at_us;
}

void operations_notice(operations *self)
{
    if (lane_has_changed(self->terms.on)) sweep_again(self);
}

void operations_stop_all(operations *self, bool even_those, int64_t now_us)
{
    do take_in(self, now_us);
    while (has_submitted(self));
    for (operation *op = self->all, *next; op != NULL; op = next) {
        next = op->next;
        if (op->is_told || (op->outlasts_close && !even_those)) continue;
        if (op->acquires && !op->is_at_once)
            acquire_stop(&op->acquisition, REDLOCK_ERR_CLOSED, now_us);
        tell(self, op, REDLOCK_ERR_CLOSED, now_us);
        if (fork_guard_is_child(self->terms.fork)) return;
    }
}

/* ---- The inbox ---- */

static void changed(void *arg) { sweep_again(arg); }

/* A hold id ends in the number of the hold in base 36, and that is the operation's id. */
static uint64_t number_of(const char *hold_id, size_t length)
{
    uint64_t number = 0;
    const char *at = memchr(hold_id, '.', length);
    for (size_t i = at == NULL ? length : (size_t)(at - hold_id) + 1; i < length; i++) {
        char digit = hold_id[i];
        bool is_digit = digit >= '0' && digit <= '9';
        if (!is_digit && !(digit >= 'a' && digit <= 'z')) return 0;
        number = number * 36 + (uint64_t)(is_digit ? digit - '0' : digit - 'a' + 10);
    }
    return number;
}

static void granted(void *arg, const inbox *by, const grant *message, int64_t now_us)
{
    operations *self = arg;
    mutex_lock(self->terms.mutex);
    operation *op = find(self, number_of(message->hold_id, message->hold_id_length));
    mutex_unlock(self->terms.mutex);
    if (op == NULL || !op->acquires || op->is_at_once || op->is_told || op->asks.owner == NULL)
        return;
    drive_granted(&op->acquisition, &op->asks, by, message, now_us);
    make_ready(self, op);
}

const inbox_listener operations_listener = {changed, granted};
