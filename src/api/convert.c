/* SPDX-License-Identifier: MIT
 * Changing the mode of a hold, its thread, or, by force, its holder. */
#include <string.h>

#include "api/handle.h"
#include "api/options.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "wire/key.h"

/* A semaphore's holds are shared for good. */
static bool has_permits(const redlock_lock *lock)
{
    mode as;
    return !mode_read(&as, lock_holder(lock), lock->mode_length) || as.permits > 0;
}

/* May the call go on? Otherwise `*status` is its answer, REDLOCK_OK among them: it has that mode already. */
static bool may_convert(redlock_lock *lock, char to, redlock_status *status)
{
    *status = lock == NULL ? REDLOCK_ERR_ARGUMENT : client_enter(client_of(lock));
    if (*status != REDLOCK_OK) return false;
    if (atomic_load(&lock->is_closed)) *status = REDLOCK_ERR_CLOSED;
    else if (!handle_is_valid(lock, clock_now_us())) *status = REDLOCK_LOST;
    else if (has_permits(lock)) *status = REDLOCK_ERR_ARGUMENT;
    return *status == REDLOCK_OK && (lock_kind(lock) != to || lock->is_unsettled);
}

/* The same holder with another kind: the first letter of its member. */
static question begin(redlock_lock *lock, enum script_id id, char to, char *holder)
{
    keeper_begin_conversion(lock->keeper, lock, to);
    question about = handle_question(lock, id, lock->hold.ttl_ms);
    memcpy(holder, lock_holder(lock), lock->holder_length);
    holder[0] = to;
    about.waiter = holder;
    about.waiter_length = lock->holder_length;
    return about;
}

static redlock_status end(redlock_lock *lock, char to, redlock_status status, const request *asked)
{
    bool is_done = status == REDLOCK_OK && asked->code == CONVERT_DONE;
    /* After a cut attempt a refusal settles nothing: the server may still carry that attempt out. */
    bool is_settled = is_done || !asked->is_ambiguous;
    keeper_end_conversion(lock->keeper, lock, is_done ? to : lock_kind(lock), is_settled);
    if (status != REDLOCK_OK || is_done) return status;
    if (asked->code == CONVERT_DEADLOCK) return REDLOCK_DEADLOCK;
    keeper_lost(lock->keeper, lock);
    return REDLOCK_LOST;
}

static redlock_status ask(redlock_lock *lock, question *about, request *asked)
{
    exchange asks = {0};
    redlock_status status = client_ask_and_wait(client_of(lock), &asks, asked, about, true);
    if (status != REDLOCK_OK) asked->status = status; /* it never began */
    return asked->status;
}

redlock_status redlock_downgrade(redlock_lock *lock)
{
    request asked = {0};
    char holder[HOLDER_SIZE];
    redlock_status status;
    if (!may_convert(lock, KIND_SHARED, &status)) return status;
    question about = begin(lock, SCRIPT_DOWNGRADE, KIND_SHARED, holder);
    status = end(lock, KIND_SHARED, ask(lock, &about, &asked), &asked);
    /* The answer of a renewal that was under way is void: this one tells the lease as well. */
    if (status == REDLOCK_OK && asked.value[0] > 0 && asked.value[0] <= LEASE_MOST_MS)
        keeper_extended(lock->keeper, lock, asked.sent_us, asked.value[0]);
    return status;
}

question handle_begin_upgrade(redlock_lock *lock, char *holder)
{
    return begin(lock, SCRIPT_UPGRADE, KIND_EXCLUSIVE, holder);
}

static bool is_grant(const request *asked)
{
    return asked->value[0] > 0 && asked->value[0] <= SERVER_NUMBER_MOST && asked->value[1] > 0 &&
           asked->value[1] <= LEASE_MOST_MS;
}

redlock_status handle_judge_upgrade(redlock_lock *lock, const request *asked)
{
    if (asked->status == REDLOCK_OK && asked->code == CONVERT_DONE && !is_grant(asked)) {
        keeper_end_conversion(lock->keeper, lock, lock_kind(lock), false);
        return REDLOCK_ERR_PROTOCOL;
    }
    redlock_status status = end(lock, KIND_EXCLUSIVE, asked->status, asked);
    if (status != REDLOCK_OK) return status;
    atomic_store(&lock->fence, (uint64_t)asked->value[0]);
    keeper_extended(lock->keeper, lock, asked->sent_us, asked->value[1]);
    return REDLOCK_OK;
}

redlock_status redlock_upgrade(redlock_lock *lock)
{
    request asked = {0};
    char holder[HOLDER_SIZE];
    redlock_status status;
    if (!may_convert(lock, KIND_EXCLUSIVE, &status)) return status;
    question about = handle_begin_upgrade(lock, holder);
    (void)ask(lock, &about, &asked);
    return handle_judge_upgrade(lock, &asked);
}

void redlock_adopt(redlock_lock *lock)
{
    if (lock != NULL) holds_adopt(&client_of(lock)->holds, lock);
}

/* ---- By force ---- */

static redlock_status take_away(redlock_client *client, const char *key, size_t key_length, size_t *removed,
                                redlock_detail *detail)
{
    exchange asks = {0};
    request asked;
    question about = {
        .script = SCRIPT_FORCE, .key = key, .key_length = key_length, .holder = "", .first_ms = client->linger_ms};
    redlock_status status = client_ask_and_wait(client, &asks, &asked, &about, true);
    if (status != REDLOCK_OK) return status;
    detail_write(detail, asked.status == REDLOCK_OK ? "" : asked.text);
    if (asked.status == REDLOCK_OK && removed != NULL) *removed = (size_t)asked.value[0];
    return asked.status;
}

static redlock_status force_release(redlock_client *client, const void *name, size_t name_length, size_t *removed,
                                    redlock_detail *detail)
{
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    size_t key_length = name == NULL ? 0 : key_write(NULL, 0, client->key_prefix, name, name_length);
    if (key_length == 0) return REDLOCK_ERR_NAME;
    char *key = memory_new(&client->memory, key_length);
    if (key == NULL) return REDLOCK_ERR_MEMORY;
    key_write(key, key_length, client->key_prefix, name, name_length);
    status = take_away(client, key, key_length, removed, detail);
    memory_free(&client->memory, key);
    return status;
}

redlock_status redlock_force_release(redlock_client *client, const void *name, size_t name_length, size_t *removed,
                                     redlock_detail *detail)
{
    if (removed != NULL) *removed = 0;
    detail_write(detail, "");
    if (client == NULL) return REDLOCK_ERR_ARGUMENT;
    client_begin_call(client);
    redlock_status status = force_release(client, name, name_length, removed, detail);
    client_end_call(client);
    return status;
}
