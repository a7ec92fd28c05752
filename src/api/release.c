/* SPDX-License-Identifier: MIT
 * Release and extend. */
#include "api/handle.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"

redlock_status handle_judge_release(const redlock_lock *lock, const request *asked)
{
    if (asked->is_partial) return REDLOCK_OK; /* whatever became of those who wait */
    if (asked->status != REDLOCK_OK) return asked->status;
    if (asked->code != RELEASE_ABSENT) return REDLOCK_OK;
    /* Our own first try may have been the one, while the lease that was let go of lasted. */
    return asked->is_ambiguous && clock_now_us() < lock->until_us ? REDLOCK_OK : REDLOCK_LOST;
}

bool handle_is_left_over(const request *asked) { return asked->is_partial && asked->status != REDLOCK_OK; }

void handle_end_release(redlock_client *client, redlock_lock *lock, redlock_status status, bool is_left_over)
{
    counter_add(status == REDLOCK_OK ? &client->stats.released : &client->stats.release_failed, 1);
    if (status < 0) lock->is_unanswered = true;
    if (status >= 0 && !is_left_over) keeper_released(&client->keeper, lock);
    else keeper_unanswered(&client->keeper, lock, clock_now_us());
}

question handle_release_question(const redlock_lock *lock, int64_t now_us)
{
    question about = handle_question(lock, SCRIPT_RELEASE, client_of(lock)->linger_ms);
    about.burial_ms = lock_burial_ms(lock, now_us);
    return about;
}

static redlock_status release_held(redlock_client *client, redlock_lock *lock, int64_t now_us)
{
    exchange asks = {0};
    request asked;
    question about = handle_release_question(lock, now_us);
    redlock_status status = client_ask_and_wait(client, &asks, &asked, &about, !lock->was_handed_over);
    bool is_left_over = status == REDLOCK_OK && handle_is_left_over(&asked);
    if (status == REDLOCK_OK) status = handle_judge_release(lock, &asked);
    handle_end_release(client, lock, status, is_left_over);
    return status;
}

redlock_status handle_let_go(redlock_client *client, redlock_lock *lock, int64_t now_us)
{
    histogram_add(&client->stats.hold, now_us - lock->acquired_us);
    counter_add(&client->stats.release_failed, !handle_is_valid(lock, now_us) && !lock_is_closed(lock));
    return keeper_let_go(&client->keeper, lock, now_us); /* which may take the client with it */
}

redlock_status redlock_release(redlock_lock *lock)
{
    if (lock == NULL) return REDLOCK_OK;
    redlock_client *client = client_of(lock);
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    int64_t now_us = clock_now_us();
    bool was_valid = handle_is_valid(lock, now_us);
    /* A nested entry ends: those around it go on holding, and may give the lock back at any moment. */
    if (!holds_leave(&client->holds, lock)) return was_valid ? REDLOCK_OK : REDLOCK_LOST;
    status = handle_let_go(client, lock, now_us);
    return status == REDLOCK_OK ? release_held(client, lock, now_us) : status;
}

void handle_leave(redlock_client *client, redlock_lock *lock)
{
    int64_t now_us = clock_now_us();
    if (!holds_leave(&client->holds, lock)) return;
    if (keeper_let_go(&client->keeper, lock, now_us) == REDLOCK_OK) keeper_unanswered(&client->keeper, lock, now_us);
}

question handle_begin_extension(redlock_lock *lock, int64_t ttl_ms, exchange *asks)
{
    asks->own_fence = redlock_fence(lock);
    return handle_question(lock, SCRIPT_RENEW, ttl_ms);
}

redlock_status handle_judge_extend(redlock_lock *lock, const exchange *asks)
{
    standing held;
    const request *asked = asks->request;
    if (asked->status != REDLOCK_OK) return asked->status;
    if (asked->code == RENEW_ABSENT) {
        keeper_lost(lock->keeper, lock);
        return REDLOCK_LOST;
    }
    if (asked->code != RENEW_DONE || !standing_read(&held, asked->value)) return REDLOCK_ERR_PROTOCOL;
    keeper_told(lock->keeper, lock, &held, asks->own_fence, asked->sent_us);
    return handle_is_valid(lock, clock_now_us()) ? REDLOCK_OK : REDLOCK_LOST;
}

redlock_status redlock_extend(redlock_lock *lock, int64_t ttl_ms)
{
    if (lock == NULL) return REDLOCK_ERR_ARGUMENT;
    if (ttl_ms < 1 || ttl_ms > LEASE_MOST_MS) return REDLOCK_ERR_TTL;
    redlock_client *client = client_of(lock);
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    if (lock_is_closed(lock)) return REDLOCK_ERR_CLOSED;
    if (!handle_is_valid(lock, clock_now_us())) return REDLOCK_LOST;
    exchange asks = {0};
    request asked;
    question about = handle_begin_extension(lock, ttl_ms, &asks);
    status = client_ask_and_wait(client, &asks, &asked, &about, true);
    return status == REDLOCK_OK ? handle_judge_extend(lock, &asks) : status;
}
