/* SPDX-License-Identifier: MIT
 * The node's data, as the referee reads it (docs/protocol.md, "The key"). */
#include "sim/court/grants.h"

#include <stdlib.h>
#include <string.h>

#include "keeper/locks.h"
#include "sim/cast/ghosts.h"
#include "sim/court/referee.h"
#include "sim/court/stance.h"
#include "sim/machine/machine.h"
#include "sim/machine/system.h"
#include "wire/bands.h"

enum { HOLDERS_MOST = MEMBERS_MOST, GRANTS_MOST = 256, STRAYS_MOST = 64 };

static const double shared_from = (double)SHARED_BAND, waiters_from = (double)READER_BAND;

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
    bool had_stray;
    hold_mark left[STRAYS_MOST]; /* behind, perhaps, by strays */
    unsigned left_count;
} seen;

static const char *const names[NAMES_MOST] = {"job", "other"};
static const char *const keys[NAMES_MOST] = {"redlock:{job}", "redlock:{other}"};

const char *grants_name(int name) { return names[name]; }

void grants_begin(void) { memset(&seen, 0, sizeof seen); }
bool grants_had_stray(void) { return seen.had_stray; }

words grants_key(int name) { return (words){keys[name], strlen(keys[name])}; }

static bool is_same(words a, words b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

int grants_name_of(words key)
{
    for (int i = 0; i < NAMES_MOST; i++)
        if (is_same(key, grants_key(i))) return i;
    return -1;
}

static hold_mark mark(const char *bytes, size_t length)
{
    hold_mark h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return h;
}

words grants_field(words text, int number)
{
    const char *at = text.at, *end = text.at + text.length, *space = NULL;
    for (; number >= 0 && at != NULL; number--) {
        space = memchr(at, ' ', (size_t)(end - at));
        if (number > 0) at = space == NULL ? NULL : space + 1;
    }
    if (at == NULL) return (words){text.at, 0};
    return (words){at, (size_t)((space == NULL ? end : space) - at)};
}

static words hold_id_of(const member *holder)
{
    return grants_field((words){holder->bytes, holder->length}, 1);
}

static hold_mark mark_of(const member *holder)
{
    words id = hold_id_of(holder);
    return mark(id.at, id.length);
}

uint64_t grants_mark(words hold_id) { return mark(hold_id.at, hold_id.length); }
words grants_hold_id(const member *at) { return hold_id_of(at); }

/* The holder of either kind, live or not. */
static const member *find_holder(const sorted_set *set, words id)
{
    for (int i = 0; set != NULL && i < set->count; i++) {
        const member *at = sorted_member(set, i);
        if (at->score < 1 || at->score >= waiters_from) continue;
        if (is_same(hold_id_of(at), id)) return at;
    }
    return NULL;
}

static double end_ms(const member *holder)
{
    return holder->score >= shared_from ? holder->score - shared_from : holder->score;
}

int64_t grants_end_ms(const member *at)
{
    return at->score < 1 || at->score >= waiters_from ? 0 : (int64_t)end_ms(at);
}

/* ---- Fences ---------------------------------------------------------------------------------- */

static bool is_known(int name, hold_mark who)
{
    for (int i = 0; i < seen.known_count[name]; i++)
        if (seen.known[name][i] == who) return true;
    return false;
}

static void note_mint(int name, uint64_t fence)
{
    if (fence <= seen.highest[name])
        referee_break("lock %d was granted with fence %llu after fence %llu", name,
                      (unsigned long long)fence, (unsigned long long)seen.highest[name]);
    seen.highest[name] = fence;
}

static uint64_t fence_of(const sorted_set *set)
{
    double lowest = set == NULL ? 0 : sorted_member(set, 0)->score;
    return lowest > (double)-FENCE_BAND ? 0 : (uint64_t)(-lowest - (double)FENCE_BAND);
}

/* A holder that was there already, with a fence that was not, has been granted it anew. */
static void look(int name, bool is_new_a_grant)
{
    hold_mark now_known[HOLDERS_MOST];
    int count = 0;
    const sorted_set *set = keyspace_find(node_data(), grants_key(name));
    uint64_t fence = fence_of(set);
    bool is_minted = fence != seen.fence[name];
    if (is_new_a_grant && is_minted && fence > 0) note_mint(name, fence);
    for (int i = 0; set != NULL && i < set->count; i++) {
        const member *at = sorted_member(set, i);
        if (at->score < 1 || at->score >= waiters_from) continue;
        now_known[count] = mark_of(at);
        bool is_new = is_minted || !is_known(name, now_known[count]);
        if (is_new_a_grant && is_new)
            seen.given[seen.given_count++ % GRANTS_MOST] = (given){now_known[count], fence};
        count++;
    }
    memcpy(seen.known[name], now_known, sizeof now_known[0] * (size_t)count);
    seen.known_count[name] = count;
    seen.fence[name] = fence;
}

void grants_fell(void)
{
    for (int i = 0; i < NAMES_MOST; i++)
        seen.highest[i] = fence_of(keyspace_find(node_data(), grants_key(i)));
}

void grants_look(words key)
{
    int name = grants_name_of(key);
    if (name < 0) referee_break("a script was run for the key %.*s", (int)key.length, key.at);
    else look(name, true);
}

void grants_forget(void)
{
    for (int i = 0; i < NAMES_MOST; i++) look(i, false);
}

void grants_check_fence(int user, const redlock_lock *lock, redlock_mode as)
{
    uint64_t fence = redlock_fence(lock);
    hold_mark who = mark(lock_hold_id(lock), lock->hold_id_length);
    bool is_given = as == REDLOCK_SHARED && fence > 0 &&
                    refereed->client_count > 4; /* more than are remembered */
    for (int i = 0; i < GRANTS_MOST && !is_given; i++)
        is_given = seen.given[i].who == who && seen.given[i].fence == fence;
    if (!is_given)
        referee_accuse(user, "has fence %llu, which it was not given", (unsigned long long)fence);
}

int64_t grants_end_us(int name, const redlock_lock *lock)
{
    words id = {lock_hold_id(lock), lock->hold_id_length};
    const member *holder = find_holder(keyspace_find(node_data(), grants_key(name)), id);
    return holder == NULL ? 0 : now_us() + (int64_t)end_ms(holder) * 1000 - node_clock_us();
}

/* ---- Holders --------------------------------------------------------------------------------- */

/* Of the last lease, in ms of the node's clock; 0 when nobody holds. */
static int64_t last_end_ms(const sorted_set *set)
{
    double last = 0;
    for (int i = 0; set != NULL && i < set->count; i++) {
        const member *at = sorted_member(set, i);
        if (at->score >= 1 && at->score < waiters_from && end_ms(at) > last) last = end_ms(at);
    }
    return (int64_t)last;
}

void grants_note_holders(int name)
{
    int64_t left_us = last_end_ms(keyspace_find(node_data(), grants_key(name))) * 1000 -
                      node_clock_us();
    if (left_us > 0) seen.free_us[name] = now_us() + left_us + 1000;
    else if (seen.free_us[name] > now_us())
        seen.free_us[name] = now_us(); /* released, or taken away */
}

int64_t grants_free_since_us(int name) { return seen.free_us[name]; }

/* ---- Leftovers ------------------------------------------------------------------------------- */

static void check_expiry(const plan *of, int name, const sorted_set *set)
{
    /* Grace and linger of any client are at most 5 s; a handover asks for twice a claim and the
     * grace. */
    int64_t most_ms = 10000;
    for (int i = 0; i < of->client_count; i++) {
        for (int j = 0; j < of->clients[i].job_count; j++) {
            int64_t ttl_ms = of->clients[i].jobs[j].ttl_ms;
            if (most_ms < 2 * ttl_ms + 10000) most_ms = 2 * ttl_ms + 10000;
        }
    }
    int64_t now_ms = node_clock_us() / 1000, left_ms = set->expires_ms - now_ms;
    for (int i = 0; i < set->count; i++) {
        double score = sorted_member(set, i)->score;
        bool is_buried = score > (double)-NOTE_BAND && score < 0;
        if (is_buried && most_ms < (int64_t)-score - now_ms + 1000)
            most_ms = (int64_t)-score - now_ms + 1000;
    }
    if (set->expires_ms == 0) referee_break("lock %d never expires", name);
    else if (left_ms > most_ms)
        referee_break("lock %d expires only in %lld ms", name, (long long)left_ms);
}

void grants_note_stray(enum script_id id, words hold_id)
{
    seen.had_stray = true;
    if (id == SCRIPT_ACQUIRE)
        seen.left[seen.left_count++ % STRAYS_MOST] = mark(hold_id.at, hold_id.length);
}

static bool was_left_by_a_stray(hold_mark who)
{
    for (int i = 0; i < STRAYS_MOST; i++)
        if (seen.left[i] == who) return true;
    return seen.left_count > STRAYS_MOST;
}

static words who_of(const member *at)
{
    return grants_field((words){at->bytes, at->length}, at->score >= waiters_from ? 5 : 2);
}

/* Behind "<host>:<process>:", where the machines number their processes from 100 on. */
int grants_client(const member *at)
{
    words who = who_of(at);
    const char *process = memchr(who.at, ':', who.length);
    return process == NULL || ghosts_has(who) ? -1
                                              : (int)strtol(process + 1, NULL, 10) - FIRST_PROCESS;
}

static bool may_be_left(const member *at, const bool may_leave[MACHINES_MOST])
{
    words hold_id = grants_field((words){at->bytes, at->length}, at->score >= waiters_from ? 4 : 1);
    int client = grants_client(at);
    bool is_known = client >= 0 && client < MACHINES_MOST;
    return ghosts_has(who_of(at)) || (is_known && may_leave[client]) ||
           was_left_by_a_stray(grants_mark(hold_id));
}

static void check_members(int name, const sorted_set *set, const bool may_leave[MACHINES_MOST])
{
    for (int i = 0; i < set->count; i++) {
        const member *at = sorted_member(set, i);
        double end = at->score < waiters_from ? end_ms(at) : at->score;
        if (end > (double)(node_clock_us() / 1000) && !may_be_left(at, may_leave))
            referee_break("lock %d still has %.*s", name, (int)at->length, at->bytes);
    }
}

void grants_check_leftovers(const plan *of, const bool may_leave[MACHINES_MOST])
{
    for (int name = 0; name < NAMES_MOST; name++) {
        const sorted_set *set = keyspace_find(node_data(), grants_key(name));
        if (set == NULL) continue;
        check_expiry(of, name, set);
        check_members(name, set, may_leave);
    }
}
