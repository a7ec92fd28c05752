/* SPDX-License-Identifier: MIT
 * Asynchronous operations: what the blocking calls do, handed to the keeper, with a completion at the end. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "api/acquisition.h"
#include "api/options.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "host/thread.h"
#include "wire/key.h"

/* An operation and its completion. It is freed when both are done with: the keeper's part (a call may still be in
 * flight after the end), and the completion (which may wait for redlock_process). */
struct completion {
    operation op; /* first */
    redlock_client *client;
    redlock_lock *lock;
    redlock_options options;
    redlock_acquired_fn *acquired;
    redlock_done_fn *done;
    void *arg;
    int64_t began_us;
    bool upgrades;                 /* a conversion is under way */
    struct completion *next;       /* in the client's list of those that wait for redlock_process */
    bool is_dropped, is_delivered; /* with the client's completions_mutex */
    char inbox[];                  /* of an acquisition that may wait */
};

/* ---- The end ---- */

static void free_half(completion *self, bool *half)
{
    redlock_client *client = self->client;
    mutex_lock(&client->completions_mutex);
    *half = true;
    bool is_whole = self->is_dropped && self->is_delivered;
    mutex_unlock(&client->completions_mutex);
    if (is_whole) memory_free(&client->memory, self);
}

static void dropped(operation *op)
{
    completion *self = (completion *)op;
    free_half(self, &self->is_dropped);
}

static void deliver(completion *self)
{
    redlock_status status = self->op.status;
    /* It was acquired, and the client's close took it away before anybody was told. */
    if (status == REDLOCK_OK && self->acquired != NULL && lock_is_closed(self->lock)) {
        handle_leave(self->client, self->lock);
        status = REDLOCK_ERR_CLOSED;
    }
    if (self->acquired != NULL) self->acquired(self->arg, status, status == REDLOCK_OK ? self->lock : NULL);
    else if (self->done != NULL) self->done(self->arg, status);
    free_half(self, &self->is_delivered);
}

static void post(redlock_client *client, completion *self)
{
    uint64_t one = 1;
    mutex_lock(&client->completions_mutex);
    bool is_first = client->completions == NULL;
    *client->completions_end = self;
    client->completions_end = &self->next;
    mutex_unlock(&client->completions_mutex);
    while (is_first && write(client->completions_fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static void conclude(completion *self)
{
    if (self->client->host == REDLOCK_HOST_DELIVER) post(self->client, self);
    else deliver(self);
}

static void acquisition_finished(operation *op, int64_t now_us)
{
    completion *self = (completion *)op;
    redlock_client *client = self->client;
    acquire *engine = &op->acquisition;
    if (op->is_at_once) { /* it never began */
        keeper_give_up(&client->keeper, self->lock, false, now_us);
    } else {
        acquisition_count(client, engine, now_us - self->began_us);
        op->status = acquisition_settle(client, self->lock, engine, &self->options, now_us);
    }
    conclude(self);
}

static void end_upgrade(completion *self)
{
    operation *op = &self->op;
    if (op->status == REDLOCK_OK) op->status = handle_judge_conversion(self->lock, SCRIPT_UPGRADE, &op->single);
}

static void end_extension(completion *self)
{
    operation *op = &self->op;
    if (!op->is_at_once && op->status == REDLOCK_OK) op->status = handle_judge_extend(self->lock, &op->asks);
}

static void nested_finished(operation *op, int64_t now_us)
{
    (void)now_us;
    completion *self = (completion *)op;
    if (self->upgrades) end_upgrade(self);
    else end_extension(self);
    if (op->status != REDLOCK_OK) handle_leave(self->client, self->lock);
    conclude(self);
}

static void extension_finished(operation *op, int64_t now_us)
{
    (void)now_us;
    completion *self = (completion *)op;
    end_extension(self);
    keeper_unuse(&self->client->keeper, self->lock);
    conclude(self);
}

static void release_finished(operation *op, int64_t now_us)
{
    completion *self = (completion *)op;
    redlock_client *client = self->client;
    (void)now_us;
    if (self->lock != NULL) {
        bool is_left_over = !op->is_at_once && handle_is_left_over(&op->single);
        if (is_left_over) op->status = REDLOCK_OK;
        else if (!op->is_at_once && op->status == REDLOCK_OK)
            op->status = handle_judge_release(self->lock, &op->single);
        handle_end_release(client, self->lock, op->status, is_left_over);
    }
    conclude(self);
}

/* ---- The beginning ---- */

static completion *new_completion(redlock_client *client, size_t extra)
{
    completion *self = memory_new(&client->memory, sizeof *self + extra);
    if (self == NULL) return NULL;
    self->client = client;
    self->op.free_self = dropped;
    self->op.asks.round_trip = &client->stats.round_trip;
    self->op.entry.number = atomic_fetch_add_explicit(&client->hold_count, 1, memory_order_relaxed) + 1;
    self->began_us = clock_now_us();
    return self;
}

static void answer_at_once(completion *self, redlock_status status)
{
    self->op.is_at_once = true;
    self->op.status = status;
}

static void ask_about(completion *self, question about)
{
    redlock_client *client = self->client;
    client_ask(client, &self->op.asks, &self->op.single, &client->keeper.lane, &about, self->began_us);
}

static redlock_status submit(completion *self)
{
    redlock_status status = keeper_submit(&self->client->keeper, &self->op);
    if (status != REDLOCK_OK) memory_free(&self->client->memory, self);
    return status;
}

static redlock_status begin_acquisition(completion *self, const void *name, size_t name_length, const wanted *what)
{
    redlock_client *client = self->client;
    lane *on = &client->keeper.lane;
    self->lock = handle_new(client, name, name_length, what, &self->options);
    if (self->lock == NULL) return REDLOCK_ERR_MEMORY;
    question asked = acquisition_question(client, self->lock, &self->options, on, self->inbox);
    self->op.entry.number = self->lock->number; /* so that the message of a grant leads here */
    self->op.acquires = true;
    self->op.inbox_length = asked.inbox_length;
    limits within = limits_of(client, &self->options, self->began_us);
    self->op.terms = acquisition_terms(client, self->lock, &self->options, &within);
    self->op.terms.queues_first = true;
    self->op.finished = acquisition_finished;
    exchange_begin(&self->op.asks, NULL, &on->command, &asked);
    return REDLOCK_OK;
}

static redlock_status acquire_new(completion *self, const void *name, size_t name_length, const wanted *what,
                                  redlock_operation *id)
{
    redlock_client *client = self->client;
    redlock_status status = keeper_reserve(&client->keeper, true);
    if (status == REDLOCK_OK) {
        status = begin_acquisition(self, name, name_length, what);
        if (status != REDLOCK_OK) keeper_unreserve(&client->keeper);
    }
    if (status != REDLOCK_OK) {
        memory_free(&client->memory, self);
        return status;
    }
    redlock_lock *lock = self->lock;
    if (id != NULL) *id = self->op.entry.number;
    status = submit(self); /* after which it may be complete, and gone */
    if (status != REDLOCK_OK) keeper_give_up(&client->keeper, lock, false, clock_now_us());
    return status;
}

/* A hold entered again: complete at once, or after an upgrade or an extension. */
static void suit(completion *self, const wanted *what, int64_t wanted_ttl_ms)
{
    redlock_lock *held = self->lock;
    self->op.finished = nested_finished;
    bool is_short = !held->hold.auto_renew && redlock_remaining_ms(held) < wanted_ttl_ms * 2 / 3;
    if (!redlock_is_held(held)) {
        answer_at_once(self, REDLOCK_LOST);
    } else if (what->as.kind == KIND_EXCLUSIVE && lock_kind(held) == KIND_SHARED) {
        self->upgrades = true;
        ask_about(self, handle_begin_conversion(held, SCRIPT_UPGRADE, &self->op.asks));
    } else if (is_short) {
        ask_about(self, handle_begin_extension(held, wanted_ttl_ms, &self->op.asks));
    } else {
        answer_at_once(self, REDLOCK_OK);
    }
}

static redlock_status acquire_again(completion *self, const wanted *what, int64_t wanted_ttl_ms)
{
    redlock_client *client = self->client;
    redlock_lock *held = self->lock;
    suit(self, what, wanted_ttl_ms);
    redlock_status status = submit(self);
    if (status != REDLOCK_OK) handle_leave(client, held);
    return status;
}

static redlock_status check_acquire(redlock_client *client, const void *name, size_t name_length,
                                    const redlock_options *options, redlock_options *o)
{
    if (!options_copy(o, sizeof *o, options)) return REDLOCK_ERR_ARGUMENT;
    if (o->canceller != NULL || o->detail != NULL) return REDLOCK_ERR_ARGUMENT;
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    return name == NULL || name_length == 0 || name_length > KEY_NAME_MAX ? REDLOCK_ERR_NAME : REDLOCK_OK;
}

static redlock_status acquire_async(redlock_client *client, const void *name, size_t name_length,
                                    const redlock_options *options, redlock_acquired_fn *acquired, void *arg,
                                    redlock_operation *id)
{
    redlock_options o = {0};
    redlock_status status = check_acquire(client, name, name_length, options, &o);
    int64_t wanted_ttl_ms = o.ttl_ms;
    if (status == REDLOCK_OK) status = acquisition_check(&o);
    if (status != REDLOCK_OK) return status;
    wanted what = acquisition_wanted(&o);
    completion *self = new_completion(client, o.wait_ms != 0 ? INBOX_SIZE : 0);
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    self->options = o;
    self->options.owner = NULL; /* it is in the holder from here on, and need not live so long */
    self->acquired = acquired;
    self->arg = arg;
    if (o.reentrant) self->lock = acquisition_enter_again(client, name, name_length, &what);
    if (self->lock != NULL) return acquire_again(self, &what, wanted_ttl_ms);
    return acquire_new(self, name, name_length, &what, id);
}

redlock_status redlock_acquire_async(redlock_client *client, const void *name, size_t name_length,
                                     const redlock_options *options, redlock_acquired_fn *acquired, void *arg,
                                     redlock_operation *id)
{
    if (id != NULL) *id = 0;
    if (client == NULL || acquired == NULL) return REDLOCK_ERR_ARGUMENT;
    client_begin_call(client);
    redlock_status status = acquire_async(client, name, name_length, options, acquired, arg, id);
    client_end_call(client);
    return status;
}

static completion *new_request(redlock_lock *lock, redlock_done_fn *done, void *arg)
{
    completion *self = new_completion(client_of(lock), 0);
    if (self == NULL) return NULL;
    self->lock = lock;
    self->done = done;
    self->arg = arg;
    return self;
}

/* The last entry leaves, and its release is asked for, if there is anything to release. */
static void begin_release(completion *self)
{
    redlock_lock *lock = self->lock;
    redlock_status status = handle_let_go(self->client, lock, self->began_us);
    if (status == REDLOCK_OK) {
        ask_about(self, handle_release_question(lock, self->began_us));
        return;
    }
    self->lock = NULL; /* it is the keeper's */
    answer_at_once(self, status);
}

redlock_status redlock_release_async(redlock_lock *lock, redlock_done_fn *done, void *arg)
{
    if (lock == NULL) return REDLOCK_ERR_ARGUMENT;
    redlock_client *client = client_of(lock);
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    completion *self = new_request(lock, done, arg);
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    self->op.finished = release_finished;
    self->op.outlasts_close = true;
    bool was_valid = handle_is_valid(lock, self->began_us);
    keeper_use(&client->keeper, lock); /* the last handle of a closed client would take that with it */
    if (holds_leave(&client->holds, lock)) {
        begin_release(self);
    } else {
        self->lock = NULL; /* those around it go on holding, and may give the lock back at any moment */
        answer_at_once(self, was_valid ? REDLOCK_OK : REDLOCK_LOST);
    }
    redlock_lock *given = self->lock;
    redlock_status status = submit(self);
    if (status != REDLOCK_OK && given != NULL) keeper_unanswered(&client->keeper, given, clock_now_us());
    keeper_unuse(&client->keeper, lock);
    return status;
}

redlock_status redlock_extend_async(redlock_lock *lock, int64_t ttl_ms, redlock_done_fn *done, void *arg)
{
    if (lock == NULL) return REDLOCK_ERR_ARGUMENT;
    if (ttl_ms < 1 || ttl_ms > LEASE_MOST_MS) return REDLOCK_ERR_TTL;
    if (fork_guard_is_child(&client_of(lock)->fork)) return REDLOCK_ERR_FORKED;
    completion *self = new_request(lock, done, arg);
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    self->op.finished = extension_finished;
    keeper_use(lock->keeper, lock);
    if (lock_is_closed(lock)) answer_at_once(self, REDLOCK_ERR_CLOSED);
    else if (!handle_is_valid(lock, self->began_us)) answer_at_once(self, REDLOCK_LOST);
    else ask_about(self, handle_begin_extension(lock, ttl_ms, &self->op.asks));
    redlock_status status = submit(self);
    if (status != REDLOCK_OK) keeper_unuse(lock->keeper, lock);
    return status;
}

void redlock_cancel_async(redlock_client *client, redlock_operation id)
{
    if (client == NULL || id == 0 || fork_guard_is_child(&client->fork)) return;
    client_begin_call(client);
    keeper_cancel(&client->keeper, id);
    client_end_call(client);
}

/* ---- The caller's event loop ---- */

int redlock_fd(const redlock_client *client)
{
    if (client == NULL) return -1;
    return client->host == REDLOCK_HOST_DELIVER ? client->completions_fd : client->keeper.poller.fd;
}

int64_t redlock_timeout_ms(const redlock_client *client)
{
    if (client == NULL || client->host != REDLOCK_HOST_MANUAL) return -1;
    int64_t wake_us = keeper_wake_us((keeper *)&client->keeper);
    int64_t now_us = clock_now_us();
    if (wake_us == NEVER) return -1;
    return wake_us <= now_us ? 0 : (wake_us - now_us + US_PER_MS - 1) / US_PER_MS;
}

void async_deliver_all(redlock_client *client)
{
    uint64_t count;
    atomic_store(&client->delivering, thread_number());
    while (read(client->completions_fd, &count, sizeof count) < 0 && errno == EINTR) continue;
    mutex_lock(&client->completions_mutex);
    completion *first = client->completions;
    client->completions = NULL;
    client->completions_end = &client->completions;
    mutex_unlock(&client->completions_mutex);
    while (first != NULL) {
        completion *self = first;
        first = self->next;
        deliver(self);
    }
    atomic_store(&client->delivering, 0);
}

redlock_status redlock_process(redlock_client *client)
{
    if (client == NULL || client->host == REDLOCK_HOST_KEEPER) return REDLOCK_ERR_ARGUMENT;
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    if (keeper_is_calling(&client->keeper) || atomic_load(&client->delivering) == thread_number())
        return REDLOCK_ERR_IN_CALLBACK;
    if (client->host == REDLOCK_HOST_MANUAL) {
        keeper_process(&client->keeper);
    } else {
        async_deliver_all(client);
    }
    bool closes = client->host == REDLOCK_HOST_MANUAL ? atomic_load(&client->keeper.close_requested)
                                                      : atomic_load(&client->close_after_delivery);
    if (!closes) return REDLOCK_OK;
    redlock_status status = client_close(client);
    return status == REDLOCK_OK ? REDLOCK_ERR_CLOSED : status;
}
