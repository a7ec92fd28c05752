/* SPDX-License-Identifier: MIT
 * Questions within the limits of their call. */
#include "api/limits.h"

#include "api/canceller.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"

static int64_t earliest(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t latest(int64_t a, int64_t b) { return a > b ? a : b; }

limits limits_of(const redlock_client *client, const redlock_options *o, int64_t began_us)
{
    limits self = {.wait_until_us = NEVER, .deadline_us = NEVER, .canceller = o->canceller};
    if (o->wait_ms < 0) return self;
    self.wait_until_us = began_us + o->wait_ms * US_PER_MS;
    self.deadline_us = latest(self.wait_until_us, began_us + client->timeout_us);
    return self;
}

limits limits_to_part(const limits *self, const redlock_client *client, int64_t now_us)
{
    int64_t until_us = earliest(self->deadline_us, now_us + client->timeout_us);
    return (limits){.wait_until_us = now_us, .deadline_us = latest(until_us, now_us + PART_WITHIN_US)};
}

/* ---- One question ---- */

/* Of the lease that is held, or that was let go of and is being released. */
static int64_t lease_end_us(const redlock_lock *lock)
{
    if (lock_state(lock) == TENURE_LEAVING) return lock->until_us;
    return atomic_load_explicit(&lock->hold.valid_until_us, memory_order_relaxed);
}

static redlock_status why_stop(const redlock_lock *lock, const lane_stops *stops)
{
    if (stops->is_set[0]) return REDLOCK_ERR_CLOSED;
    if (stops->is_set[1]) return REDLOCK_CANCELLED;
    return clock_now_us() < lease_end_us(lock) ? REDLOCK_OK : REDLOCK_LOST;
}

/* Until it is done, or need not be. */
static void pursue(const redlock_lock *lock, lane *on, exchange *asks, lane_stops *stops)
{
    redlock_status why = REDLOCK_OK;
    exchange_advance(asks, clock_now_us());
    while (asks->request->state != REQUEST_DONE && why == REDLOCK_OK) {
        lane_pump(on, earliest(exchange_wake_us(asks), lease_end_us(lock)), stops);
        exchange_advance(asks, clock_now_us());
        why = why_stop(lock, stops);
    }
    if (asks->request->state == REQUEST_DONE) return;
    /* Its answer must never meet a later question. */
    if (exchange_is_in_flight(asks)) conn_close(&on->command, REDLOCK_OK, NULL, clock_now_us());
    asks->request->status = why;
}

static void ask_within(redlock_lock *lock, exchange *asks, question *about, request *asked, const limits *within)
{
    lane *on;
    redlock_client *client = client_of(lock);
    int64_t now_us = clock_now_us();
    *asked = (request){0};
    asked->status = pool_borrow(&client->lanes, &on, now_us);
    if (asked->status != REDLOCK_OK) return;
    client_ask(client, asks, asked, on, about, now_us);
    asked->deadline_us = asked->wake_us = within->deadline_us;
    lane_stops stops = {.fd = {client->closing_fd, canceller_fd(within->canceller)}};
    on->command.may_spin = true;
    pursue(lock, on, asks, &stops);
    pool_return(&client->lanes, on, clock_now_us());
}

/* ---- What is asked ---- */

redlock_status limits_extend(redlock_lock *lock, int64_t ttl_ms, const limits *within)
{
    exchange asks = {0};
    request asked;
    question about = handle_begin_extension(lock, ttl_ms, &asks);
    ask_within(lock, &asks, &about, &asked, within);
    return asked.status == REDLOCK_OK ? handle_judge_extend(lock, &asks) : asked.status;
}

redlock_status limits_upgrade(redlock_lock *lock, const limits *within)
{
    exchange asks = {0};
    request asked;
    if (handle_has_permits(lock)) return REDLOCK_ERR_ARGUMENT;
    question about = handle_begin_conversion(lock, SCRIPT_UPGRADE, &asks);
    ask_within(lock, &asks, &about, &asked, within);
    return handle_judge_conversion(lock, SCRIPT_UPGRADE, &asked);
}

void limits_stretch(redlock_lock *lock, const limits *within)
{
    int64_t now_us = clock_now_us();
    /* Not beyond what a whole lease would have been, so that a maximum hold is not moved. */
    int64_t ttl_ms = (lock->acquired_us - now_us) / US_PER_MS + lock->hold.ttl_ms;
    limits half = *within;
    half.deadline_us = earliest(half.deadline_us, now_us + (lease_end_us(lock) - now_us) / 2);
    if (ttl_ms > 0 && handle_is_valid(lock, now_us)) (void)limits_extend(lock, ttl_ms, &half);
}

static void release_now(redlock_client *client, redlock_lock *lock, const limits *within)
{
    exchange asks = {0};
    request asked;
    question about = handle_release_question(lock, clock_now_us());
    ask_within(lock, &asks, &about, &asked, within);
    bool is_left_over = handle_is_left_over(&asked);
    handle_end_release(client, lock, handle_judge_release(lock, &asked), is_left_over);
}

void limits_give_back(redlock_lock *lock, const limits *within)
{
    redlock_client *client = client_of(lock);
    if (client->host != REDLOCK_HOST_MANUAL) handle_leave(client, lock);
    else if (holds_leave(&client->holds, lock) && handle_let_go(client, lock, clock_now_us()) == REDLOCK_OK)
        release_now(client, lock, within);
}
