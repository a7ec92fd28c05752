/* SPDX-License-Identifier: MIT
 * Two pictures of a lock, before and after a script, and what may not differ. */
#include "sim/court/handover.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "sim/court/grants.h"
#include "sim/court/stance.h"
#include "sim/limits.h"
#include "sim/server/node.h"
#include "wire/answer.h"
#include "wire/bands.h"
#include "wire/identity.h"

enum { TOLD_MOST = 16 };

static const double shared_from = (double)SHARED_BAND, waiters_from = (double)READER_BAND,
                    writers_from = (double)WRITER_BAND;

/* One that holds or waits. */
typedef struct place {
    char hold_id[HOLD_ID_SIZE];
    mode as;             /* of a holder the kind alone, unless it asks */
    words owner;         /* into the picture's data; empty for none */
    bool waits, listens; /* a message would reach it */
    double arrival;      /* of a waiter */
    double score;
    int64_t end_ms; /* of a holder's lease */
} place;

typedef struct picture {
    int count;
    int64_t expires_ms, now_ms;
    double fence; /* the last one, or 0 */
    place places[MEMBERS_MOST];
    sorted_set data;
} picture;

typedef struct grant_told {
    char hold_id[HOLD_ID_SIZE];
    bool is_heard;
} grant_told;

static picture before, after;
static place asks; /* the one whose script it is; no hold id for an operator's */
static double told_arrival;

/* More are to be served than one call does, as this client was told; since_us 0: no. */
typedef struct remainder_told {
    int client;
    int64_t since_us;
} remainder_told;
static remainder_told left_over[NAMES_MOST];
static grant_told told[TOLD_MOST];
static int told_count;

/* ---- Pictures -------------------------------------------------------------------------------- */

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
    bool is_read = out->waits ? waiter_read(&parts, at->bytes, at->length)
                              : holder_read(&parts, at->bytes, at->length);
    if (!is_read) return false;
    copy_hold_id(out->hold_id, parts.hold_id, parts.hold_id_length);
    out->as = parts.mode;
    if (!out->waits) out->as.kind = at->score >= shared_from ? KIND_SHARED : KIND_EXCLUSIVE;
    out->owner = (words){parts.owner, parts.owner_length};
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
    *out = (place){.owner = {parts.owner, parts.owner_length}};
    copy_hold_id(out->hold_id, parts.hold_id, parts.hold_id_length);
    return true;
}

static void take_picture(picture *out, words key)
{
    const sorted_set *set = keyspace_find(node_data(), key);
    if (set != NULL) out->data = *set;
    if (set != NULL) set = &out->data;
    out->count = 0;
    out->fence = set == NULL ? 0 : -sorted_member(set, 0)->score - (double)FENCE_BAND;
    if (set == NULL) out->data.count = 0;
    out->now_ms = node_clock_us() / 1000;
    out->expires_ms = set == NULL ? 0 : set->expires_ms;
    for (int i = 0; set != NULL && i < set->count; i++)
        if (read_place(&out->places[out->count], sorted_member(set, i))) out->count++;
}

static const place *find(const picture *in, const char *hold_id, bool waits)
{
    for (int i = 0; i < in->count; i++)
        if (in->places[i].waits == waits && strcmp(in->places[i].hold_id, hold_id) == 0)
            return &in->places[i];
    return NULL;
}

static bool is_holder(const picture *in, const place *one)
{
    return !one->waits && one->end_ms > in->now_ms;
}

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
static bool is_new(const place *one)
{
    return is_holder(&after, one) && find(&before, one->hold_id, false) == NULL;
}

/* The first new holder of a kind, or NULL. */
static const place *first_new(char kind)
{
    for (int i = 0; i < after.count; i++)
        if (after.places[i].as.kind == kind && is_new(&after.places[i])) return &after.places[i];
    return NULL;
}

/* ---- Told ------------------------------------------------------------------------------------ */

void handover_told(words message, int64_t receivers)
{
    grant read;
    if (message.length == 0) referee_break("a replica's script told somebody");
    if (message.length == 0) return;
    if (!grant_read(&read, message.at, message.length)) {
        referee_break("a script published \"%.*s\"", (int)message.length, message.at);
        return;
    }
    if (told_count == TOLD_MOST) return;
    grant_told *noted = &told[told_count++];
    noted->is_heard = receivers > 0;
    copy_hold_id(noted->hold_id, read.hold_id, read.hold_id_length);
}

/* The one that asks has an answer: whether it hears as well, as the waiter that it was, does not
 * matter. */
static void judge_told(int name)
{
    for (int i = 0; i < told_count; i++) {
        bool holds = find(&after, told[i].hold_id, false) != NULL;
        bool is_answered = strcmp(asks.hold_id, told[i].hold_id) == 0;
        if (holds && !told[i].is_heard && !is_answered)
            referee_break("lock %d was given to %s, which is dead", name, told[i].hold_id);
        if (!holds && told[i].is_heard)
            referee_break("%s was told that it has lock %d", told[i].hold_id, name);
    }
}

/* ---- Passed on ------------------------------------------------------------------------------- */

static bool is_live(const picture *in, const char *hold_id)
{
    const place *holder = find(in, hold_id, false);
    return holder != NULL && is_holder(in, holder);
}

/* Was everyone served who may enter, as far as one call does? */
static bool serves(enum script_id id, long code)
{
    if (code == CODE_MORE || code < 0) return false;
    if (id == SCRIPT_ACQUIRE) return code == ACQUIRE_BUSY || code == ACQUIRE_QUEUED;
    return id == SCRIPT_RELEASE || id == SCRIPT_CANCEL ||
           (id == SCRIPT_FORCE && code != FORCE_STALE);
}

static void judge_passing_on(int name, enum script_id id, long code)
{
    if (!serves(id, code) || count_holders(&after) > 0) return;
    for (int i = 0; i < after.count; i++)
        if (after.places[i].listens)
            referee_break("lock %d was left free beside %s, which waits", name,
                          after.places[i].hold_id);
}

/* ---- Owners ---------------------------------------------------------------------------------- */

static bool is_same(words a, words b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

/* Does its owner hold the lock, but for itself? It goes before all who wait. */
static bool is_mate(const place *one)
{
    for (int i = 0; i < after.count && one->owner.length > 0; i++) {
        const place *other = &after.places[i];
        if (other != one && is_holder(&after, other) && is_same(other->owner, one->owner))
            return true;
    }
    return false;
}

/* ---- Frozen ---------------------------------------------------------------------------------- */

static bool is_of(const char *client, const char *hold_id)
{
    size_t length = strcspn(client, ".");
    return strcspn(hold_id, ".") == length && memcmp(client, hold_id, length) == 0;
}

static bool is_asking(const place *one) { return strcmp(one->hold_id, asks.hold_id) == 0; }

/* Its lease was over, and the script took it out. */
static bool was_taken_out(const place *holder)
{
    bool was_over = !holder->waits && holder->end_ms <= after.now_ms;
    const place *is = find(&after, holder->hold_id, false);
    return was_over && (is == NULL || is->end_ms > after.now_ms); /* it may have got it anew */
}

/* Did the lease of a holder of the same client run out? Of one that asks it may have been given
 * back. */
static bool is_frozen(const char *hold_id, bool surely)
{
    for (int i = 0; i < before.count; i++) {
        const place *holder = &before.places[i];
        if (is_of(holder->hold_id, hold_id) && was_taken_out(holder) &&
            !(surely && is_asking(holder)))
            return true;
    }
    return false;
}

/* Those that came before the clock stepped back are ahead of it. */
static bool is_at_the_end(const place *waiter)
{
    for (int i = 0; i < after.count; i++) {
        const place *other = &after.places[i];
        bool is_behind = other->waits && other->as.kind == waiter->as.kind &&
                         other->score > waiter->score && other->arrival <= (double)node_clock_us();
        if (is_behind && other->listens && !is_frozen(other->hold_id, false)) return false;
    }
    return true;
}

static int count_waiters(const picture *in)
{
    int count = 0;
    for (int i = 0; i < in->count; i++) count += in->places[i].waits;
    return count;
}

/* One call looks at a part of the line only. */
static void judge_frozen(int name)
{
    if (count_waiters(&before) > limits.portion) return;
    for (int i = 0; i < after.count; i++) {
        const place *waiter = &after.places[i];
        if (waiter->waits && !is_asking(waiter) && is_frozen(waiter->hold_id, true) &&
            !is_at_the_end(waiter))
            referee_break("%s kept its place before lock %d, though a lease of its client ran out",
                          waiter->hold_id, name);
    }
}

/* ---- Dropped --------------------------------------------------------------------------------- */

/* When a waiter that kept others out is taken for frozen; 0 when it is not written. */
static int64_t noted_until_ms(const picture *in, const char *hold_id)
{
    char note[HOLD_ID_SIZE + 1] = "?";
    strcpy(note + 1, hold_id);
    int rank = sorted_rank(&in->data, (words){note, strlen(note)});
    return rank < 0 ? 0 : (int64_t)(-sorted_member(&in->data, rank)->score - (double)NOTE_BAND);
}

static bool was_dropped(const place *waiter)
{
    if (!waiter->waits || !waiter->listens || is_asking(waiter)) return false;
    return find(&after, waiter->hold_id, true) == NULL &&
           find(&after, waiter->hold_id, false) == NULL;
}

/* Nobody who listens leaves the line unasked, but one that kept others out and has not asked
 * since. */
static void judge_dropped(int name)
{
    for (int i = 0; i < before.count; i++) {
        const place *waiter = &before.places[i];
        if (!was_dropped(waiter)) continue;
        int64_t until_ms = noted_until_ms(&before, waiter->hold_id);
        if (until_ms == 0 || until_ms > after.now_ms)
            referee_break("%s was dropped from the line of lock %d, and it listens",
                          waiter->hold_id, name);
        else referee_dropped(name, (words){waiter->hold_id, strlen(waiter->hold_id)});
    }
}

/* ---- Order ----------------------------------------------------------------------------------- */

/* By the node's clock; one that was not in the queue came now, or when it says that it came. */
static double arrival_of(const place *holder)
{
    const place *waited = find(&before, holder->hold_id, true);
    double band = holder->as.kind == KIND_EXCLUSIVE ? writers_from : 0,
           came = (double)node_clock_us();
    if (waited != NULL && waited->score - band < came) came = waited->score - band;
    if (waited != NULL && !is_asking(holder)) return waited->score;
    if (waited == NULL && is_asking(holder) && told_arrival > 0 && told_arrival < came)
        came = told_arrival;
    return came + band;
}

/* The line's order is kept; but whose client is frozen goes to its end, and an owner goes before
 * all. */
static void judge_place(int name, const place *one, const place *then)
{
    if (one->score > then->score && !is_frozen(one->hold_id, false))
        referee_break("%s lost its place before lock %d", one->hold_id, name);
    for (int j = 0; j < after.count && one->listens; j++) {
        const place *holder = &after.places[j];
        bool is_due = is_new(holder) && !is_mate(holder) && holder->as.kind == one->as.kind &&
                      !is_frozen(holder->hold_id, false);
        if (is_due && arrival_of(holder) > one->score)
            referee_break("%s overtook %s before lock %d", holder->hold_id, one->hold_id, name);
    }
}

static void judge_order(int name)
{
    for (int i = 0; i < after.count; i++) {
        const place *one = &after.places[i];
        const place *then = one->waits ? find(&before, one->hold_id, true) : NULL;
        if (then != NULL) judge_place(name, one, then);
    }
}

/* ---- Policy ---------------------------------------------------------------------------------- */

/* Who is next when `left` has given the lock back, and both wait? */
static bool reader_goes_first(char left, const place *reader, const place *writer)
{
    if (writer->as.policy != POLICY_FAIR || left == KIND_SHARED)
        return writer->as.policy == POLICY_READERS;
    return reader->arrival < writer->arrival;
}

/* What a release of the last holder did when a reader and a writer listened. */
static void judge_turns(int name, char left)
{
    const place *reader = first_listener(&before, KIND_SHARED),
                *writer = first_listener(&before, KIND_EXCLUSIVE);
    if (reader == NULL || writer == NULL) return;
    char due = reader_goes_first(left, reader, writer) ? KIND_SHARED : KIND_EXCLUSIVE;
    char other = due == KIND_SHARED ? KIND_EXCLUSIVE : KIND_SHARED;
    if (first_new(other) != NULL)
        referee_break("lock %d was given to the wrong kind of waiter", name);
}

/* What it asked for as a waiter, or asks for now. */
static char policy_of(const place *holder)
{
    const place *waited = find(&before, holder->hold_id, true);
    return waited != NULL ? waited->as.policy : asks.as.policy;
}

/* A reader that asks enters beside others; unless they are readers by preference, not while a
 * writer waits. */
static void judge_joining(int name)
{
    const place *joined = first_new(KIND_SHARED), *writer = first_listener(&after, KIND_EXCLUSIVE);
    if (joined == NULL || writer == NULL || policy_of(joined) == POLICY_READERS || is_mate(joined))
        return;
    if (find(&before, writer->hold_id, true) == NULL) return;
    for (int i = 0; i < before.count; i++) {
        const place *inside = &before.places[i];
        bool is_beside = !inside->waits && inside->as.kind == KIND_SHARED &&
                         inside->end_ms > after.now_ms;
        if (is_beside)
            referee_break("%s entered lock %d beside readers, while a writer waits",
                          joined->hold_id, name);
    }
}

/* A writer that became a reader lets all readers in. */
static void judge_downgrade(int name)
{
    const place *was = find(&before, asks.hold_id, false), *is = find(&after, asks.hold_id, false);
    const place *reader = first_listener(&after, KIND_SHARED);
    bool has_changed = was != NULL && is != NULL && was->as.kind == KIND_EXCLUSIVE &&
                       is->as.kind == KIND_SHARED;
    if (!has_changed || reader == NULL || reader->as.permits > 0) return;
    referee_break("a downgrade of lock %d left the reader %s waiting", name, reader->hold_id);
}

/* It has the other kind now, and a new fence. */
static void judge_conversion(int name, char kind)
{
    const place *is = find(&after, asks.hold_id, false);
    if (is == NULL || is->as.kind != kind)
        referee_break("%s was told that it has another kind of lock %d", asks.hold_id, name);
    if (after.fence <= before.fence)
        referee_break("%s converted lock %d under its last fence", asks.hold_id, name);
}

/* Made for another fence, it does nothing: it was given up, and another conversion was made
 * since. */
static void judge_staleness(int name, enum script_id id, const words *argv)
{
    bool converts = id == SCRIPT_UPGRADE || id == SCRIPT_DOWNGRADE;
    if (!converts || (uint64_t)strtod(argv[4].at, NULL) == (uint64_t)before.fence) return;
    const place *was = find(&before, asks.hold_id, false), *is = find(&after, asks.hold_id, false);
    bool has_changed = was != NULL && is != NULL && was->as.kind != is->as.kind;
    if (has_changed || after.fence > before.fence)
        referee_break("%s converted lock %d, for an old fence", asks.hold_id, name);
}

/* Of one that was given back, and that nobody else held. */
static void judge_release(int name)
{
    const place *was = find(&before, asks.hold_id, false);
    for (int i = 0; i < before.count; i++)
        if (was_taken_out(&before.places[i]) || was_dropped(&before.places[i])) return;
    if (was != NULL) judge_turns(name, was->as.kind);
}

static void judge_policy(int name, enum script_id id, long code)
{
    if (id == SCRIPT_RELEASE && code == RELEASE_HANDED_OVER) judge_release(name);
    if (id == SCRIPT_ACQUIRE && code == ACQUIRE_GRANTED) judge_joining(name);
    if (id == SCRIPT_DOWNGRADE && code == CONVERT_DONE) judge_downgrade(name);
    if (id == SCRIPT_DOWNGRADE && code == CONVERT_DONE) judge_conversion(name, KIND_SHARED);
    if (id == SCRIPT_UPGRADE && code == CONVERT_DONE) judge_conversion(name, KIND_EXCLUSIVE);
}

/* ---- Entering -------------------------------------------------------------------------------- */

/* Whoever is ahead of it, does nobody who lives keep the reader out, by a limit or by writing? */
static bool may_enter(const place *reader, int inside, const place *writer)
{
    if (reader->as.permits > 0 && (uint32_t)inside >= reader->as.permits) return false;
    return writer == NULL || reader->as.policy == POLICY_READERS;
}

static void judge_entering(int name, enum script_id id, long code)
{
    int inside = count_holders(&after);
    const place *reader = first_listener(&after, KIND_SHARED),
                *writer = first_listener(&after, KIND_EXCLUSIVE);
    if (!serves(id, code) || inside == 0 || reader == NULL || !may_enter(reader, inside, writer))
        return;
    for (int i = 0; i < after.count; i++)
        if (is_holder(&after, &after.places[i]) && after.places[i].as.kind == KIND_EXCLUSIVE)
            return;
    referee_break("%s waits for lock %d, which it may enter", reader->hold_id, name);
}

/* The one that keeps readers out beside others; NULL if nobody is kept out. */
static const place *barrer(int inside)
{
    const place *first = NULL, *second = NULL;
    for (int i = 0; i < after.count; i++) {
        const place *one = &after.places[i];
        if (!one->listens || one->as.kind != KIND_SHARED) continue;
        if (first == NULL) first = one;
        else if (second == NULL) second = one;
    }
    if (first == NULL) return NULL;
    if (first->as.permits > 0 && (uint32_t)inside >= first->as.permits)
        return second == NULL ? NULL : first;
    return first->as.policy == POLICY_READERS ? NULL : first_listener(&after, KIND_EXCLUSIVE);
}

/* Whoever keeps others out, and does not ask for its claim, keeps nobody out any more. */
static void judge_barring(int name, enum script_id id, long code)
{
    int inside = count_holders(&after);
    if (!serves(id, code) || inside == 0) return;
    for (int i = 0; i < after.count; i++)
        if (is_holder(&after, &after.places[i]) && after.places[i].as.kind == KIND_EXCLUSIVE)
            return;
    const place *bars = barrer(inside);
    int64_t until_ms = bars == NULL || is_asking(bars) ? 0 : noted_until_ms(&before, bars->hold_id);
    if (until_ms > 0 && until_ms <= after.now_ms)
        referee_break("%s keeps others out of lock %d, and is frozen", bars->hold_id, name);
}

/* Those of one owner that wait for the same kind enter together, if the line is no longer than a
 * call looks; none enters beside itself in another. */
static void judge_mates(int name, long code)
{
    if (code == CODE_MORE) return;
    bool is_looked_through = count_waiters(&before) <= limits.portion;
    for (int i = 0; i < after.count; i++) {
        const place *holder = &after.places[i];
        bool enters_alone = is_asking(holder) && is_mate(holder); /* beside itself, whoever waits */
        if (holder->owner.length == 0 || !is_new(holder) || enters_alone) continue;
        for (int j = 0; j < after.count; j++) {
            const place *mate = &after.places[j];
            bool waits = mate->listens && mate->as.kind == holder->as.kind &&
                         is_same(mate->owner, holder->owner);
            if (waits && is_looked_through)
                referee_break("%s waits for lock %d, which its owner has", mate->hold_id, name);
            if (is_holder(&after, mate) && mate->as.kind != holder->as.kind)
                referee_break("%s and %s hold lock %d in two modes", mate->hold_id, holder->hold_id,
                              name);
        }
    }
}

/* ---- Minting --------------------------------------------------------------------------------- */

static void judge_minting(int name)
{
    bool has_new = false, has_old = false;
    for (int i = 0; i < after.count; i++) {
        const place *one = &after.places[i];
        if (!is_holder(&after, one)) continue;
        const place *was = find(&before, one->hold_id, false);
        bool is_old = was != NULL && was->end_ms > after.now_ms;
        has_old |= is_old;
        has_new |= !is_old;
    }
    if (before.fence > after.fence && after.fence > 0)
        referee_break("the fence of lock %d fell", name);
    if (has_new && !has_old && after.fence <= before.fence)
        referee_break("lock %d was free, and was entered with its last fence", name);
}

/* ---- Queued ---------------------------------------------------------------------------------- */

/* Whoever is told that it waits is heard, is not taken for frozen, and came before now. */
static void judge_queued(int name, enum script_id id, long code)
{
    if (id != SCRIPT_ACQUIRE || code != ACQUIRE_QUEUED) return;
    const place *is = find(&after, asks.hold_id, true);
    if (is == NULL) return;
    if (!is->listens)
        referee_break("%s waits for lock %d where nobody hears it", asks.hold_id, name);
    if (is->arrival > (double)node_clock_us())
        referee_break("%s waits for lock %d ahead of the clock", asks.hold_id, name);
    if (noted_until_ms(&after, asks.hold_id) > 0)
        referee_break("%s asked, and may be taken for frozen before lock %d", asks.hold_id, name);
}

/* ---- Force ----------------------------------------------------------------------------------- */

/* It takes the lock from those that the operator saw, and from nobody else. */
static void judge_force(int name, enum script_id id, const words *argv)
{
    if (id != SCRIPT_FORCE || strtod(argv[4].at, NULL) == before.fence) return;
    for (int i = 0; i < before.count; i++) {
        const place *was = &before.places[i];
        if (!was->waits && was->end_ms > after.now_ms && !is_live(&after, was->hold_id))
            referee_break("lock %d was taken from %s, which nobody saw there", name, was->hold_id);
    }
}

/* ---- Repetition ------------------------------------------------------------------------------ */

/* Nobody hears what a stray is told. */
static void judge_repetition(int name, enum script_id id, long code, bool is_stray)
{
    if (is_stray || id != SCRIPT_ACQUIRE || code == ACQUIRE_GRANTED || code == CODE_MORE) return;
    if (is_live(&after, asks.hold_id))
        referee_break("%s has lock %d, and was told otherwise", asks.hold_id, name);
}

bool handover_holds(words holder)
{
    place one;
    return read_holder(&one, holder) && is_live(&after, one.hold_id);
}

/* ---- Burial ---------------------------------------------------------------------------------- */

/* Until when the hold id is buried there, in ms; 0 if it is not. */
static int64_t buried_until_ms(const picture *in, const char *hold_id)
{
    for (int i = 0; i < in->data.count; i++) {
        const member *at = sorted_member(&in->data, i);
        bool is_buried = at->score < 0 && at->score > (double)-NOTE_BAND;
        if (is_buried && strlen(hold_id) == at->length &&
            memcmp(hold_id, at->bytes, at->length) == 0)
            return (int64_t)-at->score;
    }
    return 0;
}

/* Who is buried gets nothing; who is to be buried is. */
static void judge_burial(int name, enum script_id id, const words *argv)
{
    if (id == SCRIPT_ACQUIRE && buried_until_ms(&before, asks.hold_id) > after.now_ms &&
        (find(&after, asks.hold_id, false) != NULL || find(&after, asks.hold_id, true) != NULL))
        referee_break("%s is buried, and has lock %d or waits for it", asks.hold_id, name);
    for (int i = 0; i < before.data.count && before.data.count < limits.portion; i++) {
        const member *at = sorted_member(&before.data, i);
        bool is_buried = at->score < 0 && at->score > (double)-NOTE_BAND &&
                         -at->score > (double)after.now_ms;
        if (is_buried && sorted_rank(&after.data, (words){at->bytes, at->length}) < 0)
            referee_break("%.*s was dug up before lock %d", (int)at->length, at->bytes, name);
    }
    int at = id == SCRIPT_RELEASE ? 4 : id == SCRIPT_CANCEL ? 6 : -1;
    if (at < 0 || argv[at].length == 0) return;
    int64_t until_ms = after.now_ms + strtoll(argv[at].at, NULL, 10);
    if (until_ms > after.now_ms && buried_until_ms(&after, asks.hold_id) < until_ms)
        referee_break("%s was to be buried for lock %d, and is not", asks.hold_id, name);
}

/* ---- Leases ---------------------------------------------------------------------------------- */

static void judge_leases(int name)
{
    for (int i = 0; i < before.count; i++) {
        const place *was = &before.places[i], *is = find(&after, was->hold_id, false);
        if (!was->waits && is != NULL && is->end_ms < was->end_ms)
            referee_break("the lease of %s on lock %d became shorter", was->hold_id, name);
    }
}

/* ---- Expiry ---------------------------------------------------------------------------------- */

static void judge_expiry(int name)
{
    for (int i = 0; i < after.data.count; i++) {
        const member *at = sorted_member(&after.data, i);
        bool is_buried = at->score < 0 && at->score > (double)-NOTE_BAND;
        int64_t end_ms = is_buried ? (int64_t)-at->score : grants_end_ms(at);
        if (end_ms > after.now_ms && end_ms > after.expires_ms)
            referee_break("lock %d expires at %lld, before %.*s at %lld", name,
                          (long long)after.expires_ms, (int)at->length, at->bytes,
                          (long long)end_ms);
    }
}

/* ---- More ------------------------------------------------------------------------------------ */

/* Whoever is told that more are to be served asks again at once, unless somebody else has it done
 * before. */
static void note_more(int name, long code, const cable *from, bool is_stray)
{
    if (code != CODE_MORE) left_over[name] = (remainder_told){0};
    else if (!is_stray) left_over[name] = (remainder_told){from->machine, now_us()};
}

void handover_judge_more(int name)
{
    const remainder_told *self = &left_over[name];
    if (self->since_us == 0 || stance_may_leave(self->client)) return;
    if (network_is_deceived(self->client)) network_broke(self->client);
    const machine *on = machine_at(self->client);
    int64_t disturbed_us = latest(latest(network_broke_us(self->client), node_troubled_until_us()),
                                  latest(on->stopped_until_us, on->stalled_until_us));
    int64_t most_us = 4 * network_delay_most_us() + OVERSHOOT_US + client_lateness_us(self->client);
    if (disturbed_us < self->since_us && now_us() - self->since_us > most_us)
        referee_break("client %d was told that more wait for lock %d, and did not ask again",
                      self->client, name);
}

/* The dead give way when the line is full. */
static void judge_fullness(int name, enum script_id id, long code)
{
    int living = 0;
    if (id != SCRIPT_ACQUIRE || code != ACQUIRE_FULL) return;
    for (int i = 0; i < after.count; i++) living += after.places[i].listens;
    if (living < limits.portion) referee_break("the line of lock %d is full of the dead", name);
}

void handover_before(words key)
{
    take_picture(&before, key);
    told_count = 0;
}

static void read_question(enum script_id id, const words *argv)
{
    asks = (place){.waits = false};
    told_arrival = 0;
    if (id == SCRIPT_FORCE || id == SCRIPT_INSPECT) return;
    (void)read_holder(&asks, argv[0]);
    if (id != SCRIPT_ACQUIRE) return;
    (void)mode_read(&asks.as, argv[4].at, argv[4].length);
    told_arrival = argv[6].length == 0 ? 0 : strtod(argv[6].at, NULL);
}

void handover_begin(void) { memset(left_over, 0, sizeof left_over); }

void handover_after(enum script_id id, words key, const words *argv, long code, const cable *from,
                    bool is_stray)
{
    int name = grants_name_of(key);
    if (name < 0) return;
    take_picture(&after, key);
    read_question(id, argv);
    judge_told(name);
    judge_leases(name);
    judge_expiry(name);
    if (code == INT_MIN) return;
    judge_minting(name);
    judge_passing_on(name, id, code);
    judge_entering(name, id, code);
    judge_barring(name, id, code);
    judge_mates(name, code);
    judge_queued(name, id, code);
    judge_force(name, id, argv);
    judge_frozen(name);
    judge_dropped(name);
    judge_order(name);
    judge_policy(name, id, code);
    judge_staleness(name, id, argv);
    judge_repetition(name, id, code, is_stray);
    judge_burial(name, id, argv);
    judge_fullness(name, id, code);
    if (id != SCRIPT_RENEW && id != SCRIPT_INSPECT) note_more(name, code, from, is_stray);
}
