/* SPDX-License-Identifier: MIT
 * The path of an act; and how it is driven by a thread that waits. */
#include "api/act.h"

#include <assert.h>

#include "api/canceller.h"
#include "api/carry.h"
#include "api/options.h"
#include "api/words.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "lane/drive.h"
#include "wire/key.h"

/* ---- What it is about ---- */

act act_about(const act_kind *kind, redlock_lock *lock)
{
    assert(kind->begin != NULL && kind->judge != NULL);
    return (act){.kind = kind, .client = client_of(lock), .lock = lock, .may_spin = true};
}

redlock_status act_about_name(act *self, const act_kind *kind, redlock_client *client,
                              const void *name, size_t name_length)
{
    *self = (act){.kind = kind, .client = client, .may_spin = true};
    self->key_length = name == NULL ? 0 : key_write(NULL, 0, client->key_prefix, name, name_length);
    if (self->key_length == 0) return REDLOCK_ERR_NAME;
    self->key = memory_new(&client->memory, self->key_length);
    if (self->key == NULL) return REDLOCK_ERR_MEMORY;
    key_write(self->key, self->key_length, client->key_prefix, name, name_length);
    return REDLOCK_OK;
}

void act_forget_name(act *self)
{
    if (self->key != NULL) memory_free(&self->client->memory, self->key);
    self->key = NULL;
}

/* ---- The path ---- */

static void is_about_to_be_sent(exchange *asks)
{
    act *self = asks->about;
    if (!self->is_over) self->kind->before_sending(self);
}

static void read_for_act(exchange *asks, const reply *from)
{
    act *self = asks->about;
    if (!self->is_over) self->kind->read(self, from);
}

/* What comes after its end concerns nobody: the lock may be gone. */
static bool judge(exchange *asks, const answer *from)
{
    act *self = asks->about;
    return !self->is_over && self->kind->judge(self, from);
}

/* Only what is asked needs an exchange, and a look at the clock: a nested entry costs neither. */
bool act_begin(act *self, exchange *asks, request *state, int64_t deadline_us)
{
    assert(self->asks == NULL);
    assert(!self->is_over);
    question about;
    if (!self->kind->begin(self, &about)) return false;
    redlock_client *client = self->client;
    about.nonce = atomic_fetch_add_explicit(&client->nonces, 1, memory_order_relaxed);
    about.grace_ms = client->grace_ms;
    if (deadline_us == FROM_NOW) deadline_us = clock_now_us() + client->timeout_us;
    request_begin(state, deadline_us, client->timeout_us, (uint32_t)about.nonce);
    *asks = (exchange){0};
    exchange_begin(asks, state, &about);
    asks->round_trip = &client->stats.round_trip;
    asks->before_sending = self->kind->before_sending == NULL ? NULL : is_about_to_be_sent;
    asks->on_reply = self->kind->read == NULL ? NULL : read_for_act;
    asks->asks_again = judge;
    asks->about = self;
    self->asks = asks;
    self->state = state;
    return true;
}

/* Of a loss the server says nothing, but we know why. */
static const char *words_for(act *self, redlock_status status)
{
    if (status != REDLOCK_LOST) return self->state == NULL ? "" : self->state->text;
    if (self->kind->needs_the_lease) self->loss = lock_why_lost(self->lock, clock_now_us());
    return self->loss == REDLOCK_LOSS_NONE ? "" : redlock_loss_text(self->loss);
}

void act_end(act *self, redlock_status why)
{
    assert(!self->is_over);
    redlock_status status = why == REDLOCK_OK ? self->status : why;
    self->is_over = true;
    self->words = status == REDLOCK_OK ? "" : words_for(self, status);
    if (status != REDLOCK_OK) detail_write(self->detail, self->words);
    self->status = self->kind->end == NULL ? status : self->kind->end(self, status);
}

/* ---- Waiting for it ---- */

int64_t act_needed_until_us(const act *self)
{
    if (!self->kind->needs_the_lease) return NEVER;
    return atomic_load_explicit(&self->lock->hold.valid_until_us, memory_order_relaxed);
}

/* Why it is given up, though its request is not done; REDLOCK_OK: it is not. */
static redlock_status why_stop(const act *self, const lane_stops *stops, int64_t now_us)
{
    if (stops->is_set[0]) return REDLOCK_ERR_CLOSED;
    if (stops->is_set[1]) return REDLOCK_CANCELLED;
    return now_us < act_needed_until_us(self) ? REDLOCK_OK : REDLOCK_LOST;
}

/* Moves all that are under way as far as that goes. True: some are still, and are waited for until
 * then. */
static bool advance_acts(act *all, size_t count, const lane_stops *stops, int64_t *until_us)
{
    int64_t now_us = clock_now_us();
    bool is_under_way = false;
    *until_us = NEVER;
    for (size_t i = 0; i < count; i++) {
        act *self = &all[i];
        if (self->is_over) continue;
        exchange_advance(self->asks, now_us);
        (void)request_end_patience(self->state, now_us);
        bool is_done = self->state->state == REQUEST_DONE;
        redlock_status why = is_done ? self->state->status : why_stop(self, stops, now_us);
        if (is_done || why != REDLOCK_OK) {
            act_end(self, why);
            continue;
        }
        is_under_way = true;
        *until_us =
            earliest(*until_us, earliest(exchange_wake_us(self->asks), act_needed_until_us(self)));
    }
    return is_under_way;
}

/* There is no room for the connection that they need, and none is under way. */
static bool are_turned_away(const act *all, size_t count)
{
    bool are = false;
    for (size_t i = 0; i < count; i++) {
        if (all[i].is_over) continue;
        if (exchange_is_in_flight(all[i].asks)) return false;
        are |= exchange_is_turned_away(all[i].asks);
    }
    return are;
}

/* False when some are not over, because they were turned away. */
static bool drive(act *all, size_t count, lane *on, const limits *within)
{
    assert(lane_is_idle(on));
    int64_t until_us;
    int closing_fd = all[0].kind->outlasts_close ? -1 : all[0].client->closing.fd;
    lane_stops stops = {
        .fd = {closing_fd, canceller_fd(within == NULL ? NULL : within->canceller)}};
    for (size_t i = 0; i < count; i++)
        if (all[i].asks != NULL) (void)exchange_enter(all[i].asks, on);
    on->may_spin = all[0].may_spin;
    bool are_under_way;
    while ((are_under_way = advance_acts(all, count, &stops, &until_us)) &&
           !are_turned_away(all, count))
        lane_pump(on, until_us, &stops);
    lane_abandon(on);
    return !are_under_way;
}

static void end_those_begun(act *all, size_t count, redlock_status why)
{
    for (size_t i = 0; i < count; i++)
        if (!all[i].is_over) act_end(&all[i], why);
}

/* All that were begun are ended, also where no lane is to be had. */
static void wait_for_all(redlock_client *client, act *all, size_t count, const limits *within)
{
    lane *on;
    redlock_status status = pool_borrow(&client->lanes, &on, clock_now_us());
    if (status != REDLOCK_OK && status != REDLOCK_ERR_UNAVAILABLE) {
        end_those_begun(all, count, status);
        return;
    }
    if (status == REDLOCK_OK && drive(all, count, on, within)) {
        pool_return(&client->lanes, on, clock_now_us());
        return;
    }
    if (status == REDLOCK_OK) pool_return_crowded(&client->lanes, on, clock_now_us());
    carry_acts(all, count, within);
}

redlock_status act_wait(act *self, const limits *within)
{
    exchange asks;
    request state;
    if (act_begin(self, &asks, &state, within == NULL ? FROM_NOW : within->deadline_us))
        wait_for_all(self->client, self, 1, within);
    else act_end(self, REDLOCK_OK);
    return self->status;
}

redlock_status act_wait_about_lock(const act_kind *kind, redlock_lock *lock, int64_t ttl_ms)
{
    redlock_status status = lock == NULL ? REDLOCK_ERR_ARGUMENT : client_enter(client_of(lock));
    if (status != REDLOCK_OK) return words_of_refusal(status);
    act self = act_about(kind, lock);
    self.ttl_ms = ttl_ms;
    self.detail = words_of_thread();
    return act_wait(&self, NULL);
}

static redlock_status enter_and_wait(act *self, const act_kind *kind, redlock_client *client,
                                     const void *name, size_t name_length, redlock_detail *detail)
{
    redlock_status status = client_enter(client);
    if (status == REDLOCK_OK) status = act_about_name(self, kind, client, name, name_length);
    if (status != REDLOCK_OK) return status;
    self->detail = detail;
    status = act_wait(self, NULL);
    act_forget_name(self);
    return status;
}

redlock_status act_wait_about_name(act *self, const act_kind *kind, redlock_client *client,
                                   const void *name, size_t name_length, redlock_detail *detail)
{
    detail_write(detail, "");
    if (client == NULL) return REDLOCK_ERR_ARGUMENT;
    gate_enter(&client->calls);
    redlock_status status = enter_and_wait(self, kind, client, name, name_length, detail);
    gate_leave(&client->calls);
    return status;
}

redlock_status act_wait_on(act *self, lane *on, const limits *within)
{
    exchange asks;
    request state;
    if (!act_begin(self, &asks, &state, within->deadline_us)) act_end(self, REDLOCK_OK);
    else if (!drive(self, 1, on, within)) act_end(self, state.status);
    return self->status;
}

/* True: one failed, and its words are written. */
static bool explain_first(const act *all, size_t count, redlock_detail *detail)
{
    size_t i = 0;
    while (i < count && all[i].status == REDLOCK_OK) i++;
    if (i < count) detail_write(detail, all[i].words);
    return i < count;
}

/* What they need is on the stack. */
static bool wait_for_some(act *all, size_t count, const limits *within, redlock_detail *detail)
{
    assert(count > 0 && count <= ACTS_AT_ONCE);
    exchange asks[ACTS_AT_ONCE];
    request states[ACTS_AT_ONCE];
    redlock_client *client = all[0].client;
    bool are_asked = false;
    for (size_t i = 0; i < count; i++) {
        if (act_begin(&all[i], &asks[i], &states[i], within->deadline_us)) are_asked = true;
        else act_end(&all[i], REDLOCK_OK);
    }
    if (are_asked) wait_for_all(client, all, count, within);
    return explain_first(all, count, detail);
}

void act_wait_each(act *all, size_t count, const limits *within, redlock_detail *detail)
{
    for (size_t done = 0; done < count; done += ACTS_AT_ONCE) {
        size_t some = count - done < ACTS_AT_ONCE ? count - done : ACTS_AT_ONCE;
        if (wait_for_some(all + done, some, within, detail)) detail = NULL;
    }
}
