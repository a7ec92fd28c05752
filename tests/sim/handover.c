/* SPDX-License-Identifier: MIT
 * Two pictures of a lock, before and after a script, and what may not differ. */
#include "sim/handover.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "sim/grants.h"
#include "sim/node.h"
#include "sim/referee.h"
#include "wire/answer.h"
#include "wire/identity.h"

enum { TOLD_MOST = 16 };

static const double shared_from = 2e13, waiters_from = 1e14, writers_from = 4e15;

/* One that holds or waits. */
typedef struct place {
    char hold_id[HOLD_ID_SIZE];
    mode as;
    bool waits, listens; /* a message would reach it */
    double arrival;      /* of a waiter */
    double score;
    int64_t end_ms; /* of a holder's lease */
} place;

typedef struct picture {
    int count;
    int64_t expires_ms, now_ms;
    place places[MEMBERS_MOST];
} picture;

typedef struct grant_told {
    char hold_id[HOLD_ID_SIZE];
    bool is_heard;
} grant_told;

static picture before, after;
static grant_told told[TOLD_MOST];
static int told_count;

/* ---- Pictures --------------------------------------------------------------------------------- */

static void copy_hold_id(char out[HOLD_ID_SIZE], const char *from, size_t length)
{
    if (length >= HOLD_ID_SIZE) length = HOLD_ID_SIZE - 1;
    memcpy(out, from, length);
    out[length] = '\0';
}

static bool read_place(place *out, const member *at)
{
    member_parts parts;
    *out = (place){.waits = at->score >= waiters_from, .score = at->score};
    if (at->score < 1) return false;
    bool is_read = out->waits ? waiter_read(&parts, at->bytes, at->length) : holder_read(&parts, at->bytes, at->length);
    if (!is_read) return false;
    copy_hold_id(out->hold_id, parts.hold_id, parts.hold_id_length);
    out->as = parts.mode;
    out->listens = out->waits && node_subscribers((words){parts.channel, parts.channel_length}) > 0;
    out->arrival = at->score >= writers_from ? at->score - writers_from : at->score;
    out->end_ms = (int64_t)(at->score >= shared_from ? at->score - shared_from : at->score);
    return true;
}

/* A holder's member as a script is given it. */
static bool read_holder(place *out, words holder)
{
    member_parts parts;
    if (!holder_read(&parts, holder.at, holder.length)) return false;
    *out = (place){.as = parts.mode};
    copy_hold_id(out->hold_id, parts.hold_id, parts.hold_id_length);
    return true;
}

static void take_picture(picture *out, words key)
{
    const sorted_set *set = keyspace_find(node_data(), key);
    out->count = 0;
    out->now_ms = node_clock_us() / 1000;
    out->expires_ms = set == NULL ? 0 : set->expires_ms;
    for (int i = 0; set != NULL && i < set->count; i++)
        if (read_place(&out->places[out->count], sorted_member(set, i))) out->count++;
}

static const place *find(const picture *in, const char *hold_id, bool waits)
{
    for (int i = 0; i < in->count; i++)
        if (in->places[i].waits == waits && strcmp(in->places[i].hold_id, hold_id) == 0) return &in->places[i];
    return NULL;
}

static bool is_holder(const picture *in, const place *one) { return !one->waits && one->end_ms > in->now_ms; }

static int count_holders(const picture *in)
{
    int holders = 0;
    for (int i = 0; i < in->count; i++) holders += is_holder(in, &in->places[i]);
    return holders;
}

/* The first waiter of a kind that listens, or NULL. */
static const place *first_listener(const picture *in, char kind)
{
    for (int i = 0; i < in->count; i++)
        if (in->places[i].listens && in->places[i].as.kind == kind) return &in->places[i];
    return NULL;
}

/* A holder that the script made: not one that it converted. */
static bool is_new(const place *one) { return is_holder(&after, one) && find(&before, one->hold_id, false) == NULL; }

/* The first new holder of a kind, or NULL. */
static const place *first_new(char kind)
{
    for (int i = 0; i < after.count; i++)
        if (after.places[i].as.kind == kind && is_new(&after.places[i])) return &after.places[i];
    return NULL;
}

/* ---- Told ------------------------------------------------------------------------------------- */

void handover_told(words message, int64_t receivers)
{
    grant read;
    if (!grant_read(&read, message.at, message.length)) {
        referee_break("a script published \"%.*s\"", (int)message.length, message.at);
        return;
    }
    if (told_count == TOLD_MOST) return;
    grant_told *noted = &told[told_count++];
    noted->is_heard = receivers > 0;
    copy_hold_id(noted->hold_id, read.hold_id, read.hold_id_length);
}

/* The one that asks has an answer: whether it hears as well, as the waiter that it was, does not matter. */
static void judge_told(int name, words asks)
{
    place asker;
    bool is_holder_asking = read_holder(&asker, asks);
    for (int i = 0; i < told_count; i++) {
        bool holds = find(&after, told[i].hold_id, false) != NULL;
        bool is_answered = is_holder_asking && strcmp(asker.hold_id, told[i].hold_id) == 0;
        if (holds && !told[i].is_heard && !is_answered)
            referee_break("lock %d was given to %s, which is dead", name, told[i].hold_id);
        if (!holds && told[i].is_heard) referee_break("%s was told that it has lock %d", told[i].hold_id, name);
    }
}

/* ---- Passed on -------------------------------------------------------------------------------- */

static bool is_live(const picture *in, const char *hold_id)
{
    const place *holder = find(in, hold_id, false);
    return holder != NULL && is_holder(in, holder);
}

static bool gives_back(enum script_id id, long code)
{
    if (id == SCRIPT_RELEASE) return code > 0;
    if (id == SCRIPT_CANCEL) return code == RELEASE_FREED || code == RELEASE_HANDED_OVER;
    return id == SCRIPT_ACQUIRE && (code == ACQUIRE_BUSY || code == ACQUIRE_QUEUED);
}

static void judge_passing_on(int name, enum script_id id, long code)
{
    if (!gives_back(id, code) || count_holders(&after) > 0) return;
    for (int i = 0; i < after.count; i++)
        if (after.places[i].listens)
            referee_break("lock %d was left free beside %s, which waits", name, after.places[i].hold_id);
}

/* ---- Order ------------------------------------------------------------------------------------ */

/* By the node's clock; one that was not in the queue came now. */
static double arrival_of(const place *holder)
{
    const place *waited = find(&before, holder->hold_id, true);
    if (waited != NULL) return waited->score;
    return (double)node_clock_us() + (holder->as.kind == KIND_EXCLUSIVE ? writers_from : 0);
}

static void judge_order(int name)
{
    for (int i = 0; i < after.count; i++) {
        const place *one = &after.places[i];
        if (!one->waits) continue;
        const place *then = find(&before, one->hold_id, true);
        if (then == NULL) continue;
        if (one->score > then->score) referee_break("%s lost its place before lock %d", one->hold_id, name);
        for (int j = 0; j < after.count && one->listens; j++) {
            const place *holder = &after.places[j];
            if (is_new(holder) && holder->as.kind == one->as.kind && arrival_of(holder) > one->score)
                referee_break("%s overtook %s before lock %d", holder->hold_id, one->hold_id, name);
        }
    }
}

/* ---- Policy ----------------------------------------------------------------------------------- */

/* Who is next when `left` has given the lock back, and both wait? */
static bool reader_goes_first(char left, const place *reader, const place *writer)
{
    if (writer->as.policy != POLICY_FAIR || left == KIND_SHARED) return writer->as.policy == POLICY_READERS;
    return reader->arrival < writer->arrival;
}

/* What a release of the last holder did when a reader and a writer listened. */
static void judge_turns(int name, char left)
{
    const place *reader = first_listener(&before, KIND_SHARED), *writer = first_listener(&before, KIND_EXCLUSIVE);
    if (reader == NULL || writer == NULL) return;
    char due = reader_goes_first(left, reader, writer) ? KIND_SHARED : KIND_EXCLUSIVE;
    char other = due == KIND_SHARED ? KIND_EXCLUSIVE : KIND_SHARED;
    if (first_new(other) != NULL) referee_break("lock %d was given to the wrong kind of waiter", name);
}

/* A reader that asks enters beside others; unless they are readers by preference, not while a writer waits. */
static void judge_joining(int name)
{
    const place *joined = first_new(KIND_SHARED), *writer = first_listener(&before, KIND_EXCLUSIVE);
    if (joined == NULL || writer == NULL || joined->as.policy == POLICY_READERS) return;
    for (int i = 0; i < before.count; i++) {
        const place *inside = &before.places[i];
        bool is_beside = !inside->waits && inside->as.kind == KIND_SHARED && inside->end_ms > after.now_ms;
        if (is_beside) referee_break("%s entered lock %d beside readers, while a writer waits", joined->hold_id, name);
    }
}

/* A writer that became a reader lets all readers in. */
static void judge_downgrade(int name, const place *writer)
{
    const place *reader = first_listener(&after, KIND_SHARED);
    if (writer == NULL || writer->as.kind != KIND_EXCLUSIVE || reader == NULL || reader->as.permits > 0) return;
    referee_break("a downgrade of lock %d left the reader %s waiting", name, reader->hold_id);
}

static void judge_policy(int name, enum script_id id, const words *argv, long code)
{
    place asks;
    if (code <= 0 || !read_holder(&asks, argv[0])) return;
    if (id == SCRIPT_RELEASE && code == RELEASE_HANDED_OVER) judge_turns(name, asks.as.kind);
    if (id == SCRIPT_ACQUIRE) judge_joining(name);
    if (id == SCRIPT_DOWNGRADE) judge_downgrade(name, find(&before, asks.hold_id, false));
}

/* ---- Repetition ------------------------------------------------------------------------------- */

/* Nobody hears what a stray is told. */
static void judge_repetition(int name, enum script_id id, const words *argv, long code, bool is_stray)
{
    place asks;
    if (is_stray || id != SCRIPT_ACQUIRE || code == ACQUIRE_GRANTED || !read_holder(&asks, argv[0])) return;
    const place *holder = find(&after, asks.hold_id, false);
    bool has_it = holder != NULL && is_holder(&after, holder) && holder->as.kind == asks.as.kind;
    if (has_it) referee_break("%s has lock %d, and was told otherwise", asks.hold_id, name);
}

bool handover_holds(words holder)
{
    place one;
    return read_holder(&one, holder) && is_live(&after, one.hold_id);
}

/* ---- Leases ----------------------------------------------------------------------------------- */

static void judge_leases(int name, enum script_id id)
{
    bool converts = id == SCRIPT_UPGRADE || id == SCRIPT_DOWNGRADE;
    for (int i = 0; i < before.count; i++) {
        const place *was = &before.places[i], *is = find(&after, was->hold_id, false);
        bool is_the_same = !was->waits && is != NULL && (converts || is->as.kind == was->as.kind);
        if (is_the_same && is->end_ms < was->end_ms)
            referee_break("the lease of %s on lock %d became shorter", was->hold_id, name);
    }
}

/* ---- Expiry ----------------------------------------------------------------------------------- */

static void judge_expiry(int name)
{
    for (int i = 0; i < after.count; i++) {
        const place *one = &after.places[i];
        if (is_holder(&after, one) && one->end_ms > after.expires_ms)
            referee_break("lock %d expires at %lld, before the lease of %s at %lld", name, (long long)after.expires_ms,
                          one->hold_id, (long long)one->end_ms);
    }
}

void handover_before(words key)
{
    take_picture(&before, key);
    told_count = 0;
}

void handover_after(enum script_id id, words key, const words *argv, long code, bool is_stray)
{
    int name = grants_name_of(key);
    if (name < 0) return;
    take_picture(&after, key);
    judge_told(name, argv[0]);
    judge_leases(name, id);
    judge_expiry(name);
    if (code == INT_MIN) return;
    judge_passing_on(name, id, code);
    judge_order(name);
    judge_policy(name, id, argv, code);
    judge_repetition(name, id, argv, code, is_stray);
}
