/* SPDX-License-Identifier: MIT
 * What happens inside the keeper, round by round, whoever turns it: its own thread, a caller's
 * event loop, or redlock_close. */
#include <assert.h>

#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "host/portion.h"
#include "host/thread.h"
#include "keeper/keeper_internal.h"
#include "wire/text.h"

/* How long a round may work on operations, and on how many locks, before it looks at the sockets
 * again. */
enum { BUDGET_US = PORTION(400, 0), ATTENDED_MOST = PORTION(64, 1) };

static redlock_lock *lock_of(timer *which)
{
    return (redlock_lock *)((char *)which - offsetof(redlock_lock, timer));
}

/* ---- Locks, with the mutex ---- */

static void free_here(keeper *self, redlock_lock *lock)
{
    assert(mutex_is_mine(&self->locks.mutex));
    assert(tenure_is_freeable(&lock->tenure));
    mutex_unlock(&self->locks.mutex);
    self->locks.free_lock(lock);
    mutex_lock(&self->locks.mutex);
}

/* Whoever is not told reads it in the log; not ten thousand times. */
static void log_loss(keeper *self, const redlock_lock *lock, redlock_loss why)
{
    assert(!mutex_is_mine(&self->locks.mutex));
    char name[128], more[SELDOM_MORE_SIZE];
    if (!seldom_may_say(&self->losses, clock_now_us(), more)) return;
    text_escape(name, sizeof name, lock_name(lock), lock->name_length);
    log_line(self->terms.config->log, REDLOCK_LOG_WARNING, "lock \"%s\" is lost%s: %s", name, more,
             redlock_loss_text(why));
}

/* A callback is made without the mutex, and pins the lock: what it lets go of is freed behind
 * it. */
static void begin_telling(keeper *self, redlock_lock *lock, enum notice_event what)
{
    assert(mutex_is_mine(&self->locks.mutex));
    assert(!notice_is_running((enum notice)lock->notice));
    lock_note(lock, what);
    assert(notice_is_running((enum notice)lock->notice));
    lock->tenure.pins++;
    mutex_unlock(&self->locks.mutex);
}

/* In a child of fork that the callback made, nothing more. */
static void end_telling(keeper *self, redlock_lock *lock)
{
    if (fork_guard_is_child(self->terms.fork)) return;
    mutex_lock(&self->locks.mutex);
    lock_note(lock, NOTICE_RETURNED);
    pthread_cond_broadcast(&self->called_back);
    if (lock_unpin(lock)) free_here(self, lock);
    else lock_plan(lock);
}

static void tell_lost(keeper *self, redlock_lock *lock)
{
    assert(mutex_is_mine(&self->locks.mutex));
    redlock_loss why = (redlock_loss)lock->why_lost;
    counter_add(&self->terms.stats->lost, 1);
    begin_telling(self, lock, NOTICE_TELLS);
    if (lock->on_lost != NULL) lock->on_lost(lock->on_lost_arg, lock);
    else log_loss(self, lock, why);
    end_telling(self, lock);
}

static void tell_risk(keeper *self, redlock_lock *lock, int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    int64_t left_us = atomic_load(&lock->hold.valid_until_us) - now_us;
    assert(left_us > 0);
    begin_telling(self, lock, NOTICE_WARNS);
    lock->on_risk(lock->on_risk_arg, lock, left_us / US_PER_MS);
    end_telling(self, lock);
}

/* There is no hope of it any more. */
static void give_up_undo(keeper *self, redlock_lock *lock)
{
    assert(mutex_is_mine(&self->locks.mutex));
    lock_move(lock, TENURE_UNDONE);
    if (!tenure_is_freeable(&lock->tenure)) lock_unlist(lock);
    else free_here(self, lock);
}

void keeper_let_go_of_all(keeper *self)
{
    mutex_lock(&self->locks.mutex);
    while (self->locks.first != NULL) {
        redlock_lock *lock = self->locks.first;
        if (tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO) give_up_undo(self, lock);
        else lock_unlist(lock);
    }
    mutex_unlock(&self->locks.mutex);
}

static void attend(keeper *self, redlock_lock *lock, int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    assert(lock->among == &self->locks);
    /* Callbacks about others may have taken their time, and what has ended is at risk no more. */
    if (lock_warns(lock, now_us)) now_us = clock_now_us();
    bool undoes = tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO;
    bool is_hopeless = undoes && lock->errand.state == ERRAND_NONE && now_us >= lock->until_us;
    enum hold_due due = tenure_is_held(&lock->tenure) ? hold_due(&lock->hold, now_us) : HOLD_RESTS;
    if (due == HOLD_IS_OVER) lock_move(lock, TENURE_LAPSES);
    if (lock_tells_loss(lock)) tell_lost(self, lock);
    else if (is_hopeless) give_up_undo(self, lock);
    else if (undoes || due == HOLD_RENEWS) errand_send(self, lock, now_us);
    else if (lock_warns(lock, now_us)) tell_risk(self, lock, now_us);
    else lock_plan(lock);
}

static bool is_due(const redlock_lock *lock, int64_t now_us)
{
    int64_t slack_us = tenure_is_held(&lock->tenure) ? hold_slack_us(&lock->hold) : 0;
    bool is_end = lock->timer.at_us >= atomic_load(&lock->hold.valid_until_us);
    return lock->timer.at_us - (is_end ? 0 : slack_us) <= now_us;
}

static redlock_lock *next_due(keeper *self, int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    timer *first = schedule_first(&self->locks.timers);
    return first != NULL && is_due(lock_of(first), now_us) ? lock_of(first) : NULL;
}

static void attend_all(keeper *self, int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    redlock_lock *due;
    for (int n = 0; n < ATTENDED_MOST && !fork_guard_is_child(self->terms.fork) &&
                    (due = next_due(self, now_us)) != NULL;
         n++)
        attend(self, due, now_us);
}

/* Is it renewed, or undone, and its slot not where it was asked about last? */
static bool has_moved(const keeper *self, const redlock_lock *lock)
{
    assert(mutex_is_mine(&self->locks.mutex));
    bool is_undone = tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO;
    bool is_asked_about = (tenure_is_held(&lock->tenure) || is_undone) &&
                          lock->hold.renew_at_us != NEVER;
    return is_asked_about &&
           route_owner(keeper_route(self), lock->slot)->number != lock->errand.asked;
}

static bool feels_the_step(const keeper *self, const redlock_lock *lock)
{
    assert(mutex_is_mine(&self->locks.mutex));
    return tenure_is_held(&lock->tenure) &&
           server_clock_step_matters(self->locks.step_us, lock->hold.ttl_ms);
}

/* The server's clock was set: leases end by it; or slots have moved. */
static void hasten_all(keeper *self, int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    for (int n = 0; n < ATTENDED_MOST && self->locks.to_hasten != NULL; n++) {
        redlock_lock *lock = self->locks.to_hasten;
        self->locks.to_hasten = lock->next;
        if (has_moved(self, lock))
            lock->hold.renew_at_us = earliest(lock->hold.renew_at_us, now_us);
        else if (feels_the_step(self, lock)) hold_hasten(&lock->hold, now_us);
        else continue;
        lock_plan(lock);
    }
}

/* Slots have moved: what the new owner has not, though the old one had it, is lost, and known to be
 * so within a round trip; and what is undone is undone there. */
static void follow_moves(keeper *self)
{
    assert(mutex_is_mine(&self->locks.mutex));
    const cluster *map = keeper_route(self)->cluster;
    unsigned seen = map == NULL ? 0 : atomic_load(&map->moves);
    if (seen == self->moves_seen) return;
    self->moves_seen = seen;
    self->locks.to_hasten = self->locks.first;
    self->locks.step_us = 0;
}

/* Takes away what is still held, once closing began. What lapsed before is told to be lost when it
 * is let go of. */
static void take_all(keeper *self, int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    assert(self->locks.is_closing);
    if (!self->is_taking) self->locks.to_take = self->locks.first;
    self->is_taking = true;
    for (int n = 0; n < ATTENDED_MOST && self->locks.to_take != NULL; n++) {
        redlock_lock *lock = self->locks.to_take;
        self->locks.to_take = lock->next;
        lock_take(lock, now_us);
    }
}

/* ---- Rounds ---- */

/* It is opened before its time, if that would be too late. */
static void open_keepers(conn *on, int64_t hurry_us, int64_t now_us)
{
    if (on->state != CONN_CLOSED) return;
    int64_t retry_us = conn_retry_us(on);
    bool is_urgent = hurry_us < retry_us && conn_may_hurry(on, now_us);
    if (now_us >= retry_us || is_urgent) conn_open(on, now_us);
}

/* Is there a connection to be had before a renewal is due? In a cluster nobody knows to which of
 * the nodes. */
static bool connects_early(const keeper *self)
{
    assert(mutex_is_mine(&self->locks.mutex));
    return self->locks.renewing > 0 && keeper_route(self)->cluster == NULL;
}

/* For what is due, and for what will be renewed. */
static void open_connections(keeper *self, int64_t now_us)
{
    mutex_lock(&self->locks.mutex);
    const redlock_lock *due = next_due(self, now_us);
    const berth *needed = due == NULL ? NULL : errand_berth(self, due);
    int64_t hurry_us = due == NULL ? NEVER : lock_hurry_us(due, now_us);
    bool renews = connects_early(self);
    mutex_unlock(&self->locks.mutex);
    for (berth *each = &self->lane.home; each != NULL; each = each->next)
        if (renews || each == needed)
            open_keepers(&each->command, each == needed ? hurry_us : NEVER, now_us);
}

static bool is_closing(keeper *self)
{
    mutex_lock(&self->locks.mutex);
    bool is = self->locks.is_closing;
    mutex_unlock(&self->locks.mutex);
    return is;
}

/* When the next of those that have none may be opened; NEVER: all are. */
static int64_t connections_due_us(const keeper *self)
{
    int64_t due_us = NEVER;
    for (const berth *each = &self->lane.home; each != NULL; each = each->next)
        if (each->command.state == CONN_CLOSED)
            due_us = earliest(due_us, conn_retry_us(&each->command));
    return due_us;
}

/* Until when nothing is due; from then on, whoever makes something due earlier wakes us. With the
 * mutex. */
static int64_t arm(keeper *self, int64_t operations_until_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    timer *first = schedule_first(&self->locks.timers);
    int64_t until_us = earliest(operations_until_us, first != NULL ? first->at_us : NEVER);
    bool has_more = self->locks.to_hasten != NULL || self->locks.to_take != NULL ||
                    self->operations.submitted != NULL || self->operations.cancelled != NULL;
    if (has_more) until_us = INT64_MIN;
    int64_t connections_us = connections_due_us(self);
    self->locks.lacks_connection = connections_us != NEVER;
    if (connects_early(self)) until_us = earliest(until_us, connections_us);
    if (self->locks.is_closing) until_us = earliest(until_us, self->locks.closing_until_us);
    self->locks.armed_us = until_us;
    return until_us;
}

/* While something depends on it. A server that is replaced while it is silent tells nobody. */
static int64_t scout_for_locks(keeper *self, int64_t now_us)
{
    cluster *map = keeper_route(self)->cluster;
    if (map == NULL) return NEVER;
    mutex_lock(&self->locks.mutex);
    bool is_needed = self->locks.first != NULL;
    mutex_unlock(&self->locks.mutex);
    if (!is_needed) return NEVER;
    int64_t due_us = cluster_watch(map, now_us);
    return earliest(due_us, lane_scout(&self->lane, now_us));
}

/* Does what is due. False when closing is complete; and in a child of fork. */
static bool work(keeper *self, int64_t *until_us)
{
    assert(keeper_is_calling(self));
    int64_t now_us = clock_now_us();
    bool closes = is_closing(self); /* looked at once, so that one round is of one mind */
    open_connections(self, now_us);
    if (closes && !self->is_taking) operations_stop_all(&self->operations, false, now_us);
    int64_t operations_until_us = operations_turn(&self->operations, now_us, BUDGET_US);
    if (fork_guard_is_child(self->terms.fork)) return false;
    int64_t look_us = scout_for_locks(self, now_us);
    mutex_lock(&self->locks.mutex);
    if (closes) take_all(self, now_us);
    follow_moves(self);
    hasten_all(self, now_us);
    attend_all(self, now_us);
    if (fork_guard_is_child(self->terms.fork)) return false;
    *until_us = earliest(arm(self, operations_until_us), look_us);
    bool is_done = self->locks.to_take == NULL && self->locks.undoing == 0 &&
                   self->locks.releasing == 0 && self->operations.untold == 0;
    bool is_complete = closes && (is_done || now_us >= self->locks.closing_until_us);
    mutex_unlock(&self->locks.mutex);
    return !is_complete;
}

static void pump(keeper *self, int64_t until_us)
{
    lane_stops stops = {.fd = {self->locks.wake.fd, self->alarm.fd}};
    lane_pump(&self->lane, until_us, &stops);
    if (stops.is_set[0]) wake_clear(&self->locks.wake);
    operations_notice(&self->operations);
}

bool keeper_turn(keeper *self)
{
    assert(keeper_is_calling(self));
    int64_t due_us;
    if (!work(self, &due_us)) return false;
    /* A callback closed the client: that begins now, not when something is due. Once it has begun
     * it may wait. */
    if (atomic_load(&self->close_requested) && !is_closing(self)) due_us = INT64_MIN;
    int64_t now_us = clock_now_us();
    if (due_us > now_us) alarm_advance(&self->alarm, due_us, now_us);
    pump(self, due_us);
    mutex_lock(&self->locks.mutex);
    self->locks.armed_us = INT64_MIN;
    mutex_unlock(&self->locks.mutex);
    return true;
}

/* ---- The thread ---- */

static void *run_keeper(void *arg)
{
    keeper *self = arg;
    atomic_store(&self->turning, thread_number());
    while (keeper_turn(self)) {
        if (!atomic_load(&self->close_requested)) continue;
        /* A callback closed the client: this thread ends it, and nobody will join it. */
        pthread_detach(pthread_self());
        atomic_store(&self->has_thread, false);
        self->terms.close(self);
        return NULL;
    }
    return NULL;
}

redlock_status keeper_start(keeper *self)
{
    assert(mutex_is_mine(&self->locks.mutex));
    /* Whoever closes the client turns it: a thread that began now would turn it, too. (In this
     * order: a thread that closes it from a callback gives itself up after it was requested.) */
    bool is_turned = atomic_load(&self->has_thread) || atomic_load(&self->close_requested) ||
                     self->locks.is_closing;
    if (self->terms.host == REDLOCK_HOST_MANUAL || is_turned) return REDLOCK_OK;
    if (thread_start(&self->thread, NULL, run_keeper, self) != 0) return REDLOCK_ERR_SYSTEM;
    atomic_store(&self->has_thread, true);
    return REDLOCK_OK;
}

/* ---- A caller's event loop ---- */

static int64_t sockets_wake_us(const keeper *self)
{
    return lane_has_pending(&self->lane) ? INT64_MIN : lane_wake_us(&self->lane);
}

static void watch_sockets(keeper *self)
{
    for (berth *each = &self->lane.home; each != NULL; each = each->next) {
        poller_watch(&self->poller, &each->command);
        poller_watch(&self->poller, &each->inbox.conn);
    }
}

void keeper_process(keeper *self)
{
    atomic_store(&self->turning, thread_number());
    int64_t until_us, began_us = clock_now_us();
    do {
        pump(self, began_us);
        (void)work(self, &until_us);
        if (fork_guard_is_child(self->terms.fork)) return;
        (void)lane_flush(&self->lane, clock_now_us());
    } while (until_us <= clock_now_us() && clock_now_us() < began_us + BUDGET_US &&
             !atomic_load(&self->close_requested));
    operations_notice(&self->operations);
    /* The last flush may have broken a connection: what that means is found out at once. */
    if (operations_has_work(&self->operations)) until_us = INT64_MIN;
    watch_sockets(self);
    alarm_set(&self->alarm, earliest(until_us, sockets_wake_us(self)));
    atomic_store(&self->turning, 0);
}

int64_t keeper_wake_us(keeper *self)
{
    mutex_lock(&self->locks.mutex);
    int64_t wake_us = self->alarm.at_us;
    if (self->locks.armed_us < wake_us) wake_us = self->locks.armed_us;
    mutex_unlock(&self->locks.mutex);
    return wake_us;
}
