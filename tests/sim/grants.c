/* SPDX-License-Identifier: MIT
 * The node's data, as the referee reads it (docs/protocol.md, "The key"). */
#include "sim/grants.h"

#include <stdio.h>
#include <string.h>

#include "keeper/keeper.h"
#include "sim/machine.h"
#include "sim/referee.h"

enum { HOLDERS_MOST = 16, GRANTS_MOST = 256 };

static const double shared_from = 2e13, waiters_from = 1e14;

/* FNV-1a of a holder's id. */
typedef uint64_t hold_mark;

typedef struct given {
    hold_mark who;
    uint64_t fence;
} given;

static struct {
    hold_mark known[NAMES_MOST][HOLDERS_MOST]; /* exclusive holders at the last look */
    int known_count[NAMES_MOST];
    uint64_t fence[NAMES_MOST]; /* at the last look */
    uint64_t highest[NAMES_MOST];
    int64_t free_us[NAMES_MOST];
    given given[GRANTS_MOST]; /* the latest ones */
    unsigned given_count;
    bool was_late;
} seen;

static const char *const names[NAMES_MOST] = {"job", "other"};
static const char *const keys[NAMES_MOST] = {"redlock:{job}", "redlock:{other}"};

const char *grants_name(int name) { return names[name]; }

void grants_begin(void) { memset(&seen, 0, sizeof seen); }
void grants_note_late(void) { seen.was_late = true; }
bool grants_had_late(void) { return seen.was_late; }

static words key_of(int name) { return (words){keys[name], strlen(keys[name])}; }

static int name_of(words key)
{
    for (int i = 0; i < NAMES_MOST; i++)
        if (key.length == strlen(keys[i]) && memcmp(key.at, keys[i], key.length) == 0) return i;
    return -1;
}

static hold_mark mark(const char *bytes, size_t length)
{
    hold_mark h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return h;
}

/* The second field of a holder's member. */
static hold_mark mark_of(const member *holder)
{
    const char *from = memchr(holder->bytes, ' ', holder->length);
    if (from == NULL) return 0;
    from++;
    const char *to = memchr(from, ' ', holder->length - (size_t)(from - holder->bytes));
    return to == NULL ? 0 : mark(from, (size_t)(to - from));
}

/* ---- Fences ----------------------------------------------------------------------------------- */

static bool is_known(int name, hold_mark who)
{
    for (int i = 0; i < seen.known_count[name]; i++)
        if (seen.known[name][i] == who) return true;
    return false;
}

static void note_grant(int name, hold_mark who, uint64_t fence)
{
    if (fence <= seen.highest[name])
        referee_break("lock %d was granted with fence %llu after fence %llu", name, (unsigned long long)fence,
                      (unsigned long long)seen.highest[name]);
    seen.highest[name] = fence;
    seen.given[seen.given_count++ % GRANTS_MOST] = (given){who, fence};
}

/* A holder that was there already, with a fence that was not, has been granted it anew. */
static void look(int name, bool is_new_a_grant)
{
    hold_mark now_known[HOLDERS_MOST];
    int count = 0;
    const sorted_set *set = keyspace_find(node_data(), key_of(name));
    uint64_t fence = set == NULL || sorted_member(set, 0)->score > 0 ? 0 : (uint64_t)-sorted_member(set, 0)->score;
    for (int i = 0; set != NULL && i < set->count && count < HOLDERS_MOST; i++) {
        const member *at = sorted_member(set, i);
        if (at->score < 1 || at->score >= shared_from) continue;
        now_known[count] = mark_of(at);
        bool is_new = fence != seen.fence[name] || !is_known(name, now_known[count]);
        if (is_new_a_grant && is_new) note_grant(name, now_known[count], fence);
        count++;
    }
    memcpy(seen.known[name], now_known, sizeof now_known[0] * (size_t)count);
    seen.known_count[name] = count;
    seen.fence[name] = fence;
}

void grants_look(words key)
{
    int name = name_of(key);
    if (name < 0) referee_break("a script was run for the key %.*s", (int)key.length, key.at);
    else look(name, true);
}

void grants_forget(void)
{
    for (int i = 0; i < NAMES_MOST; i++) look(i, false);
}

void grants_check_fence(int client, const redlock_lock *lock, redlock_mode as)
{
    uint64_t fence = redlock_fence(lock);
    hold_mark who = mark(lock_hold_id(lock), lock->hold_id_length);
    bool is_given = as == REDLOCK_SHARED && fence > 0;
    for (int i = 0; i < GRANTS_MOST && !is_given; i++) is_given = seen.given[i].who == who && seen.given[i].fence == fence;
    if (!is_given) referee_break("client %d has fence %llu, which it was not given", client, (unsigned long long)fence);
}

static bool is_hold_of(const member *at, const redlock_lock *lock)
{
    const char *from = memchr(at->bytes, ' ', at->length);
    size_t length = lock->hold_id_length;
    if (from == NULL || (size_t)(at->bytes + at->length - from) < length + 2) return false;
    return memcmp(from + 1, lock_hold_id(lock), length) == 0 && from[1 + length] == ' ';
}

bool grants_has(int name, const redlock_lock *lock)
{
    const sorted_set *set = keyspace_find(node_data(), key_of(name));
    double now_ms = (double)(node_clock_us() / 1000);
    for (int i = 0; set != NULL && i < set->count; i++) {
        const member *at = sorted_member(set, i);
        if (at->score < 1 || at->score >= waiters_from || !is_hold_of(at, lock)) continue;
        return (at->score >= shared_from ? at->score - shared_from : at->score) > now_ms;
    }
    return false;
}

/* ---- Holders ---------------------------------------------------------------------------------- */

/* The end of the last lease, in ms of the node's clock; 0 when nobody holds. */
static int64_t last_end_ms(const sorted_set *set)
{
    double last = 0;
    for (int i = 0; set != NULL && i < set->count; i++) {
        double score = sorted_member(set, i)->score;
        if (score < 1 || score >= waiters_from) continue;
        double end = score >= shared_from ? score - shared_from : score;
        if (end > last) last = end;
    }
    return (int64_t)last;
}

void grants_note_holders(int name)
{
    int64_t end_ms = last_end_ms(keyspace_find(node_data(), key_of(name)));
    int64_t left_us = end_ms * 1000 - node_clock_us();
    if (left_us > 0) seen.free_us[name] = now_us() + left_us + 1000;
    else if (seen.free_us[name] > now_us()) seen.free_us[name] = now_us(); /* released, or taken away */
}

int64_t grants_free_since_us(int name) { return seen.free_us[name]; }

/* ---- Leftovers -------------------------------------------------------------------------------- */

static void check_expiry(const plan *of, int name, const sorted_set *set)
{
    int64_t most_ms = 5000 + 5000; /* grace and linger, of any client */
    for (int i = 0; i < of->client_count; i++) {
        for (int j = 0; j < of->clients[i].job_count; j++) {
            int64_t ttl_ms = of->clients[i].jobs[j].ttl_ms;
            if (most_ms < ttl_ms + 10000) most_ms = ttl_ms + 10000;
        }
    }
    int64_t left_ms = set->expires_ms - node_clock_us() / 1000;
    if (set->expires_ms == 0) referee_break("lock %d never expires", name);
    else if (left_ms > most_ms) referee_break("lock %d expires only in %lld ms", name, (long long)left_ms);
}

void grants_check_leftovers(const plan *of, bool has_crashed)
{
    for (int name = 0; name < NAMES_MOST; name++) {
        const sorted_set *set = keyspace_find(node_data(), key_of(name));
        if (set == NULL) continue;
        check_expiry(of, name, set);
        bool may_stay = has_crashed || seen.was_late;
        for (int i = 0; i < set->count && !may_stay; i++) {
            const member *at = sorted_member(set, i);
            double end = at->score >= shared_from && at->score < waiters_from ? at->score - shared_from : at->score;
            if (end > (double)(node_clock_us() / 1000))
                referee_break("lock %d still has %.*s", name, (int)at->length, at->bytes);
        }
    }
}
