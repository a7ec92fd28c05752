/* SPDX-License-Identifier: MIT
 * What an acquisition asks, and what it comes to, whoever waits for it. */
#include "api/acquisition.h"

#include <string.h>

#include "api/options.h"
#include "engine/lease.h"
#include "host/histogram.h"
#include "host/thread.h"

enum { DEFAULT_TTL_MS = 30000, DEFAULT_CLAIM_MS = 2000 };

/* ---- What the caller wants ---- */

redlock_status acquisition_check(redlock_options *o)
{
    if ((unsigned)o->mode > REDLOCK_SHARED || (unsigned)o->policy > REDLOCK_PREFER_WRITERS)
        return REDLOCK_ERR_ARGUMENT;
    if (o->permits > 0 && o->mode != REDLOCK_SHARED) return REDLOCK_ERR_ARGUMENT;
    if (o->owner != NULL &&
        (!o->reentrant || o->owner[0] == '\0' || strlen(o->owner) > MODE_OWNER_MAX))
        return REDLOCK_ERR_ARGUMENT;
    if (o->ttl_ms == 0) o->ttl_ms = DEFAULT_TTL_MS;
    if (o->ttl_ms < 1 || o->ttl_ms > LEASE_MOST_MS) return REDLOCK_ERR_TTL;
    if (o->wait_ms < REDLOCK_WAIT_FOREVER || o->max_hold_ms < 0 || o->claim_ms < 0)
        return REDLOCK_ERR_ARGUMENT;
    if (o->wait_ms > LEASE_MOST_MS || o->max_hold_ms > LEASE_MOST_MS) return REDLOCK_ERR_ARGUMENT;
    if (o->max_hold_ms > 0 && o->max_hold_ms < o->ttl_ms) o->ttl_ms = o->max_hold_ms;
    if (o->claim_ms == 0) o->claim_ms = DEFAULT_CLAIM_MS;
    if (o->claim_ms > o->ttl_ms) o->claim_ms = o->ttl_ms;
    return REDLOCK_OK;
}

wanted acquisition_wanted(const redlock_options *o)
{
    static const char policy[] = {[REDLOCK_PREFER_READERS] = POLICY_READERS,
                                  [REDLOCK_FAIR] = POLICY_FAIR,
                                  [REDLOCK_PREFER_WRITERS] = POLICY_WRITERS};
    return (wanted){.as = {.kind = o->mode == REDLOCK_SHARED ? KIND_SHARED : KIND_EXCLUSIVE,
                           .policy = policy[o->policy],
                           .permits = o->permits},
                    .owner = o->owner,
                    .owner_length = o->owner == NULL ? 0 : strlen(o->owner)};
}

redlock_lock *acquisition_enter_again(redlock_client *client, const void *name, size_t name_length,
                                      const wanted *what)
{
    char field[OWNER_FIELD_SIZE];
    claimant who = {.thread = thread_number()};
    if (what->owner_length > 0) {
        who.owner_length = owner_write(field, what->owner, what->owner_length) - 1; /* its mark */
        who.owner = field + 1;
    }
    return holds_enter(&client->holds, name, name_length, &who);
}

/* ---- What is asked ---- */

acquire_terms acquisition_terms(const redlock_client *client, const redlock_lock *lock,
                                const redlock_options *o, const limits *within)
{
    return (acquire_terms){.hold_id = lock_hold_id(lock),
                           .hold_id_length = lock->hold_id_length,
                           .ttl_ms = o->ttl_ms,
                           .claim_ms = o->claim_ms,
                           .wait_until_us = within->wait_until_us,
                           .deadline_us = within->deadline_us,
                           .timeout_us = client->timeout_us,
                           .may_wait = o->wait_ms != 0,
                           .kind = lock_kind(lock),
                           .seed = client->config.jitter_seed ^ lock->hold.jitter};
}

question acquisition_question(redlock_client *client, redlock_lock *lock, const redlock_options *o,
                              const lane *on, char inbox_field[INBOX_SIZE])
{
    question asked = handle_question(lock, SCRIPT_ACQUIRE, o->ttl_ms);
    asked.grace_ms = client->grace_ms;
    if (o->wait_ms == 0) return asked;
    lock->inbox_number = on->number;
    asked.inbox = inbox_field;
    asked.inbox_length = inbox_write(inbox_field, o->claim_ms, on->channel, lock->slot);
    return asked;
}

question acquisition_undo(const redlock_client *client, const question *asked)
{
    question undo = *asked;
    undo.script = SCRIPT_CANCEL;
    undo.first_ms = client->linger_ms;
    undo.burial_ms = LATE_MOST_US / US_PER_MS;
    return undo;
}

/* ---- What it came to ---- */

void acquisition_count(redlock_client *client, const acquire *op, int64_t waited_us)
{
    redlock_stats *stats = &client->stats;
    counter_add(&stats->rechecks, op->rechecks);
    switch (op->status) {
    case REDLOCK_OK:
        counter_add(&stats->acquired, 1);
        counter_add(&stats->handed_over, op->was_handed_over);
        histogram_add(&stats->wait, waited_us);
        break;
    case REDLOCK_BUSY: counter_add(&stats->busy, 1); break;
    case REDLOCK_TIMED_OUT: counter_add(&stats->timed_out, 1); break;
    case REDLOCK_CANCELLED: counter_add(&stats->cancelled, 1); break;
    default: counter_add(&stats->failed, 1);
    }
}

static void adopt(redlock_client *client, redlock_lock *lock, const acquire *op,
                  const redlock_options *o, int64_t now_us)
{
    lock->was_handed_over = op->was_handed_over;
    lock->acquired_us = now_us;
    hold_begin(&lock->hold, o->ttl_ms, op->held.lease_ms, op->valid_until_us, o->auto_renew,
               o->max_hold_ms, now_us, lock->hold.jitter);
    holds_add(&client->holds, lock);
    keeper_adopt(&client->keeper, lock, op->held.fence, op->held.kind);
}

redlock_status acquisition_settle(redlock_client *client, redlock_lock *lock, const acquire *op,
                                  const redlock_options *o, bool undo_is_behind, int64_t now_us)
{
    lock->unanswered_us = acquire_unanswered_us(op);
    if (op->status == REDLOCK_OK) {
        adopt(client, lock, op, o, now_us);
        return REDLOCK_OK;
    }
    detail_write(o->detail, op->status < 0 ? op->text : "");
    lock->undo_counts = lock->unanswered_us > 0 && !undo_is_behind;
    keeper_give_up(&client->keeper, lock, op->is_owed, now_us);
    return op->status;
}
