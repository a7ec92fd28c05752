/* SPDX-License-Identifier: MIT
 * Release and extend. */
#include "api/handle.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"

redlock_status handle_judge_release(const redlock_lock *lock, const request *asked)
{
    if (asked->status != REDLOCK_OK) return asked->status;
    if (asked->code != RELEASE_ABSENT) return REDLOCK_OK;
    /* Our own first try may have been the one; but of an unsettled lock it may be the other kind that is still there. */
    bool was_ours = asked->is_ambiguous && !atomic_load(&lock->is_unsettled);
    return was_ours && handle_is_valid(lock, clock_now_us()) ? REDLOCK_OK : REDLOCK_LOST;
}

redlock_status handle_let_go_of_lost(redlock_client *client, redlock_lock *lock, int64_t now_us)
{
    counter_add(&client->stats.release_failed, 1);
    if (lock->is_gone) keeper_free(&client->keeper, lock);
    else keeper_undo(&client->keeper, lock, now_us);
    return REDLOCK_LOST;
}

void handle_end_release(redlock_client *client, redlock_lock *lock, redlock_status status)
{
    counter_add(status == REDLOCK_OK ? &client->stats.released : &client->stats.release_failed, 1);
    if (status < 0 && !atomic_load(&lock->is_closed)) keeper_undo(&client->keeper, lock, clock_now_us());
    else keeper_free(&client->keeper, lock);
}

/* *is_ambiguous: an attempt was cut, of this question or of the one before, and may have released it. */
static redlock_status ask_release(redlock_client *client, redlock_lock *lock, bool *is_ambiguous)
{
    exchange asks = {0};
    request asked;
    question about = handle_question(lock, SCRIPT_RELEASE, client->linger_ms);
    redlock_status status = client_ask_and_wait(client, &asks, &asked, &about, !lock->was_handed_over);
    if (status != REDLOCK_OK) return status;
    asked.is_ambiguous |= *is_ambiguous;
    *is_ambiguous = asked.is_ambiguous;
    return handle_judge_release(lock, &asked);
}

static redlock_status release_held(redlock_client *client, redlock_lock *lock)
{
    bool is_ambiguous = false;
    redlock_status status = ask_release(client, lock, &is_ambiguous);
    if (status == REDLOCK_LOST && keeper_settle_otherwise(&client->keeper, lock))
        status = ask_release(client, lock, &is_ambiguous);
    handle_end_release(client, lock, status);
    return status;
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
    histogram_add(&client->stats.hold, now_us - lock->acquired_us);
    keeper_forget(&client->keeper, lock);
    if (atomic_load(&lock->is_closed)) {
        keeper_free(&client->keeper, lock);
        return REDLOCK_ERR_CLOSED;
    }
    return was_valid ? release_held(client, lock) : handle_let_go_of_lost(client, lock, now_us);
}

void handle_leave(redlock_client *client, redlock_lock *lock)
{
    if (!holds_leave(&client->holds, lock)) return;
    keeper_forget(&client->keeper, lock);
    if (atomic_load(&lock->is_closed)) keeper_free(&client->keeper, lock);
    else keeper_undo(&client->keeper, lock, clock_now_us());
}

redlock_status handle_judge_extend(redlock_lock *lock, const request *asked, unsigned kind_changes, bool *is_moot)
{
    *is_moot = false;
    if (asked->status != REDLOCK_OK) return asked->status;
    if (asked->code == RENEW_ABSENT) {
        *is_moot = !keeper_found_absent(lock->keeper, lock, kind_changes);
        return *is_moot ? REDLOCK_ERR_TIMEOUT : REDLOCK_LOST;
    }
    int64_t lease_ms = asked->value[0];
    if (asked->code != RENEW_DONE || lease_ms <= 0 || lease_ms > LEASE_MOST_MS) return REDLOCK_ERR_PROTOCOL;
    keeper_extended(lock->keeper, lock, asked->sent_us, lease_ms);
    return REDLOCK_OK;
}

/* It asks with a copy of the holder: another thread, in the same hold, may convert it meanwhile. */
static redlock_status ask_extend(redlock_client *client, redlock_lock *lock, int64_t ttl_ms, bool *is_moot)
{
    exchange asks = {0};
    request asked;
    unsigned kind_changes;
    char holder[HOLDER_SIZE];
    question about = handle_question(lock, SCRIPT_RENEW, ttl_ms);
    about.holder = keeper_copy_holder(&client->keeper, lock, holder, &kind_changes);
    *is_moot = false;
    redlock_status status = client_ask_and_wait(client, &asks, &asked, &about, true);
    return status == REDLOCK_OK ? handle_judge_extend(lock, &asked, kind_changes, is_moot) : status;
}

redlock_status redlock_extend(redlock_lock *lock, int64_t ttl_ms)
{
    if (lock == NULL) return REDLOCK_ERR_ARGUMENT;
    if (ttl_ms < 1 || ttl_ms > LEASE_MOST_MS) return REDLOCK_ERR_TTL;
    redlock_client *client = client_of(lock);
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    if (atomic_load(&lock->is_closed)) return REDLOCK_ERR_CLOSED;
    if (!handle_is_valid(lock, clock_now_us())) return REDLOCK_LOST;
    bool is_moot;
    int64_t until_us = clock_now_us() + client->timeout_us;
    do {
        status = ask_extend(client, lock, ttl_ms, &is_moot);
        if (is_moot) (void)keeper_settle_otherwise(&client->keeper, lock);
    } while (is_moot && clock_now_us() < until_us);
    return status;
}
