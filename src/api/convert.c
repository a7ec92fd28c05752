/* SPDX-License-Identifier: MIT
 * Changing the mode of a hold, its thread, or, by force, its holder. */
#include <string.h>

#include "api/handle.h"
#include "api/options.h"
#include "engine/lease.h"
#include "host/clock.h"
#include "wire/key.h"

bool handle_has_permits(const redlock_lock *lock)
{
    mode as;
    return !mode_read(&as, lock_mode(lock), lock->mode_length) || as.permits > 0;
}

/* Is it of that kind already, with nothing on its way that may still change it? */
static bool has_kind(const tenure *known, char kind)
{
    return version_is_settled(&known->version) && known->version.kind == kind;
}

/* May the call go on? Otherwise `*status` is its answer, REDLOCK_OK among them: it has that kind already. */
static bool may_convert(redlock_lock *lock, char to, redlock_status *status)
{
    *status = lock == NULL ? REDLOCK_ERR_ARGUMENT : client_enter(client_of(lock));
    if (*status != REDLOCK_OK) return false;
    if (lock_is_closed(lock)) *status = REDLOCK_ERR_CLOSED;
    else if (!handle_is_valid(lock, clock_now_us())) *status = REDLOCK_LOST;
    else if (handle_has_permits(lock)) *status = REDLOCK_ERR_ARGUMENT;
    if (*status != REDLOCK_OK) return false;
    tenure known = keeper_known(lock->keeper, lock);
    return !has_kind(&known, to);
}

static char kind_after(enum script_id id) { return id == SCRIPT_UPGRADE ? KIND_EXCLUSIVE : KIND_SHARED; }

/* From here on the request may be carried out at any time. */
static void doubt(exchange *asks)
{
    redlock_lock *lock = asks->about;
    keeper_doubted(lock->keeper, lock, (uint64_t)asks->question.fence);
}

/* Something newer is known than what was done, and no conversion of ours made it: what was done is gone. */
static bool is_overtaken(const tenure *known, uint64_t fence, char kind)
{
    uint64_t newest = known->version.fence;
    return newest > fence && newest > known->own_fence && known->version.kind != kind;
}

/* The last fence was another one: either an earlier attempt of ours made the conversion, or it is asked for the fence
 * that is known now. */
static bool asks_again(exchange *asks, const answer *from)
{
    redlock_lock *lock = asks->about;
    standing held;
    char kind = kind_after(asks->question.script);
    if (!standing_read(&held, from->value)) return false;
    keeper_told(lock->keeper, lock, &held, asks->own_fence, asks->request->sent_us);
    tenure known = keeper_known(lock->keeper, lock);
    bool is_void = from->code == CONVERT_STALE ||
                   (from->code == CONVERT_DONE && is_overtaken(&known, held.fence, kind));
    if (!is_void || !tenure_is_held(&known) || has_kind(&known, kind)) return false;
    asks->question.fence = (int64_t)known.version.fence;
    asks->own_fence = known.own_fence;
    return true;
}

question handle_begin_conversion(redlock_lock *lock, enum script_id id, exchange *asks)
{
    question about = handle_question(lock, id, lock->hold.ttl_ms);
    tenure known = keeper_known(lock->keeper, lock);
    about.fence = (int64_t)known.version.fence;
    asks->own_fence = known.own_fence;
    asks->before_sending = doubt;
    asks->asks_again = asks_again;
    asks->about = lock;
    return about;
}

/* The answer was told to the keeper when it came. */
redlock_status handle_judge_conversion(redlock_lock *lock, enum script_id id, const request *asked)
{
    standing held;
    if (asked->status != REDLOCK_OK) return asked->status;
    if (asked->code == CONVERT_ABSENT) {
        keeper_lost(lock->keeper, lock);
        return REDLOCK_LOST;
    }
    if (!standing_read(&held, asked->value)) return REDLOCK_ERR_PROTOCOL;
    if (asked->code == CONVERT_DEADLOCK) return REDLOCK_DEADLOCK;
    bool is_done = asked->code == CONVERT_DONE || asked->code == CONVERT_STALE;
    if (!is_done || held.kind != kind_after(id)) return REDLOCK_ERR_PROTOCOL;
    keeper_converted(lock->keeper, lock, held.fence);
    return handle_is_valid(lock, clock_now_us()) ? REDLOCK_OK : REDLOCK_LOST;
}

static redlock_status convert(redlock_lock *lock, enum script_id id)
{
    redlock_status status;
    if (!may_convert(lock, kind_after(id), &status)) return status;
    exchange asks = {0};
    request asked;
    question about = handle_begin_conversion(lock, id, &asks);
    status = client_ask_and_wait(client_of(lock), &asks, &asked, &about, true);
    return status == REDLOCK_OK ? handle_judge_conversion(lock, id, &asked) : status;
}

redlock_status redlock_downgrade(redlock_lock *lock) { return convert(lock, SCRIPT_DOWNGRADE); }

redlock_status redlock_upgrade(redlock_lock *lock) { return convert(lock, SCRIPT_UPGRADE); }

void redlock_adopt(redlock_lock *lock)
{
    if (lock != NULL) holds_adopt(&client_of(lock)->holds, lock);
}

/* ---- By force ---- */

/* How many lost it: told by the first answer that says that it was done. */
typedef struct raid {
    int64_t fence, removed;
    bool is_done;
} raid;

static bool note_removed(exchange *asks, const answer *from)
{
    raid *self = asks->about;
    bool is_done = from->code == FORCE_FREED || from->code == FORCE_HANDED_OVER || from->code == CODE_MORE;
    if (from->code == FORCE_STALE) self->fence = from->value[0];
    if (is_done && !self->is_done) self->removed = from->value[1];
    self->is_done |= is_done;
    return false;
}

static redlock_status ask_force(redlock_client *client, question *about, raid *self, redlock_detail *detail,
                                request *asked)
{
    exchange asks = {.asks_again = note_removed, .about = self};
    about->fence = self->fence;
    redlock_status status = client_ask_and_wait(client, &asks, asked, about, true);
    if (status != REDLOCK_OK) return status;
    detail_write(detail, asked->status == REDLOCK_OK ? "" : asked->text);
    return asked->status;
}

/* Looks, and then names the fence that it saw. Where that has changed since, an earlier attempt that was cut did it;
 * without one, somebody came or went: look again. */
static redlock_status take_away(redlock_client *client, const char *key, size_t key_length, size_t *removed,
                                redlock_detail *detail)
{
    question about = {.script = SCRIPT_FORCE, .key = key, .key_length = key_length, .first_ms = client->linger_ms};
    raid self = {0};
    request asked;
    int64_t until_us = clock_now_us() + client->timeout_us;
    redlock_status status;
    do {
        self.fence = 0;
        status = ask_force(client, &about, &self, detail, &asked);
        if (status != REDLOCK_OK || self.fence == 0) return status;
        status = ask_force(client, &about, &self, detail, &asked);
        if (status != REDLOCK_OK) return status;
        self.is_done |= asked.is_ambiguous;
    } while (!self.is_done && clock_now_us() < until_us);
    if (removed != NULL) *removed = (size_t)self.removed;
    return self.is_done ? REDLOCK_OK : REDLOCK_ERR_TIMEOUT;
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
