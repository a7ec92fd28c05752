/* SPDX-License-Identifier: MIT
 * What may happen next in the small world, and what must never be. */
#include <stdio.h>
#include <string.h>

#include "explore/world.h"
#include "wire/mode.h"

static const char *const act_names[] = {"acquire", "renew",   "downgrade",
                                        "upgrade", "release", "cancel"};
static const char *const who_names[] = {"first", "second", "keeper"};

/* ---- What must never be ---- */

static bool is_quiet(const world *w)
{
    for (int i = 0; i < ASKERS; i++)
        if (w->askers[i].phase != IDLE) return false;
    return w->late_count == 0;
}

static void check_belief(world *w)
{
    bool believes = is_believed(w),
         is_exclusive = believes && tenure_kind(&w->hold) == KIND_EXCLUSIVE;
    if (believes && w->has_ended) found("belief came back");
    if (w->has_believed && !believes) w->has_ended = true;
    w->has_believed |= believes;
    if (w->was_forced || w->has_lost_data) return;
    if (believes && w->server.place == NOWHERE) found("belief in what the server has not");
    if (is_exclusive && w->server.place != EXCLUSIVE)
        found("exclusive belief, and shared on the server");
    if (believes && w->server.other == WRITER)
        found("belief beside somebody else's exclusive hold");
    if (is_exclusive && w->server.other == READER) found("exclusive belief beside a reader");
    if (believes && w->is_promised_shared && w->server.place == EXCLUSIVE)
        found("it was answered to be shared, and a late upgrade makes it exclusive");
}

static void check_end(world *w)
{
    bool is_over = w->hold.state == TENURE_OVER || w->hold.state == TENURE_TAKEN;
    bool is_left = is_over && is_quiet(w) && w->server.place != NOWHERE;
    if (is_left && !w->has_lost_data) found("it is over, and left on the server");
    bool is_freed = w->hold.state == TENURE_OVER && w->hold.pins == 0;
    for (int i = FIRST; i <= SECOND; i++)
        if (is_freed && w->askers[i].phase != IDLE) found("it is freed, and a call points to it");
    bool is_gone_wrongly = w->hold.state == TENURE_GONE && is_quiet(w) &&
                           w->server.place != NOWHERE && !w->is_owed;
    if (is_gone_wrongly && !w->has_lost_data) found("the server has what was told to be gone");
}

/* ---- What makes no difference any more ---- */

static bool is_of_a_lease(const message *asks)
{
    return asks->act == ACQUIRE || asks->act == RENEW || asks->act == UPGRADE;
}
static bool is_conversion(const message *asks)
{
    return asks->act == DOWNGRADE || asks->act == UPGRADE;
}

static void take_late(world *w, int which)
{
    w->late_count--;
    w->late[which] = w->late[w->late_count];
    memset(&w->late[w->late_count], 0, sizeof *w->late);
}

static void lower(uint64_t *least, uint64_t fence)
{
    if (fence != 0 && fence < *least) *least = fence;
}

static uint64_t least_fence(const world *w)
{
    uint64_t least = w->server.fence == 0 ? w->minted : w->server.fence;
    lower(&least, w->hold.version.fence);
    lower(&least, w->hold.version.doubt);
    lower(&least, w->hold.own_fence);
    if (w->has_snapshot) lower(&least, w->snapshot.fence);
    for (int i = 0; i < ASKERS; i++) {
        lower(&least, w->askers[i].told_fence);
        lower(&least, w->askers[i].own_fence);
        lower(&least, w->askers[i].asks.fence);
    }
    for (int i = 0; i < w->late_count; i++) lower(&least, w->late[i].fence);
    return least;
}

#define SHIFT(field) ((field) = (field) == 0 ? 0 : (field)-by)

static void shift_fences(world *w, uint8_t by)
{
    SHIFT(w->minted);
    SHIFT(w->server.fence);
    SHIFT(w->snapshot.fence);
    SHIFT(w->hold.version.fence);
    SHIFT(w->hold.version.doubt);
    SHIFT(w->hold.own_fence);
    for (int i = 0; i < ASKERS; i++) {
        SHIFT(w->askers[i].told_fence);
        SHIFT(w->askers[i].own_fence);
        SHIFT(w->askers[i].asks.fence);
    }
    for (int i = 0; i < w->late_count; i++) SHIFT(w->late[i].fence);
}

/* A late request that can do nothing, whatever happens. No fence is given out twice: a conversion
 * for one that has passed is void, unless lost data brings it back. */
static bool is_void(const world *w, const message *late)
{
    bool may_come_back = w->losses > 0 || !keeps(RULE_CONVERSIONS_NAME_A_FENCE);
    switch (late->act) {
    case ACQUIRE: return w->server.is_buried && w->losses == 0;
    case RENEW: return w->lapses == 0 && !w->server.has_run_out;
    case DOWNGRADE:
    case UPGRADE: return late->fence != w->server.fence && !may_come_back;
    default: return w->server.place == NOWHERE && !w->is_owed && w->losses == 0;
    }
}

/* Belief was left for good: what it depended on makes no difference. */
static void forget_belief(world *w)
{
    w->hold.version = (version){0};
    w->hold.own_fence = 0;
    w->calls = w->others = w->forces = 0;
    w->server.other = NOBODY;
    w->is_promised_shared = w->was_forced = false;
}

static void simplify_asker(world *w, asker *self)
{
    bool tells_version = is_conversion(&self->asks) || self->asks.act == ACQUIRE ||
                         self->asks.act == RENEW;
    if (!is_of_a_lease(&self->asks)) self->asks.is_old = false;
    if (!is_conversion(&self->asks)) self->asks.fence = 0;
    if (self->asks.act != ACQUIRE) self->was_cut = false;
    if (!tells_version || w->has_ended) self->told_fence = self->told_kind = 0;
    if (w->losses == 0 && !w->has_lost_data) self->own_fence = 0;
}

static void order_late(world *w)
{
    for (int i = 1; i < w->late_count; i++)
        for (int j = i; j > 0 && memcmp(&w->late[j - 1], &w->late[j], sizeof *w->late) > 0; j--) {
            message swapped = w->late[j];
            w->late[j] = w->late[j - 1];
            w->late[j - 1] = swapped;
        }
}

static void simplify(world *w)
{
    for (int i = w->late_count; i-- > 0;)
        if (is_void(w, &w->late[i])) take_late(w, i);
    if (w->hold.version.doubt < w->hold.version.fence) w->hold.version.doubt = 0;
    if (w->losses == 0) {
        memset(&w->snapshot, 0, sizeof w->snapshot);
        w->has_snapshot = false;
    }
    if (w->lapses == 0) w->server.is_ahead = false;
    if (w->has_ended && keeps(RULE_A_LATE_ANSWER_MEANS_NOTHING)) forget_belief(w);
    if (!tenure_has_handle(&w->hold) && w->hold.state != TENURE_SOUGHT) w->closes = 0;
    for (int i = 0; i < ASKERS; i++) simplify_asker(w, &w->askers[i]);
    for (int i = 0; i < w->late_count; i++) w->late[i].is_old = false;
    order_late(w);
    uint64_t least = least_fence(w);
    if (least > 1) shift_fences(w, (uint8_t)(least - 1));
    if (memcmp(&w->askers[FIRST], &w->askers[SECOND], sizeof(asker)) < 0 &&
        w->hold.state != TENURE_SOUGHT) {
        asker first = w->askers[FIRST];
        w->askers[FIRST] = w->askers[SECOND];
        w->askers[SECOND] = first;
    }
}

/* ---- What may happen ---- */

typedef struct step {
    const world *from;
    world w;
    follow_fn *tell;
    void *arg;
} step;

static void go_on(step *s, const char *format, const char *a, const char *b)
{
    char how[80];
    snprintf(how, sizeof how, format, a, b);
    check_belief(&s->w);
    check_end(&s->w);
    simplify(&s->w);
    s->tell(s->arg, &s->w, how);
    s->w = *s->from;
}

/* What was sent is given up, and may arrive at any time; beyond so many it never does. */
static void be_late(world *w, const message *asks)
{
    if (asks->act == ACQUIRE) w->is_owed = true;
    if (w->late_count < LATE_MOST - 1) w->late[w->late_count++] = *asks;
}

static void repeat(asker *self)
{
    self->was_cut = true;
    self->attempts++;
    self->phase = SENT;
    self->asks.is_old = false;
    self->told_fence = self->told_kind = self->code = 0;
}

static bool may_repeat(const asker *self, int who) { return self->attempts < 2 && who != KEEPER; }

static void sent(step *s, int i)
{
    asker *self = &s->w.askers[i];
    const char *act = act_names[self->asks.act];
    server_execute(&s->w, &self->asks, self);
    self->phase = EXECUTED;
    go_on(s, "%s's %s is carried out", who_names[i], act);
    be_late(&s->w, &self->asks);
    self->was_cut = true;
    client_judge(&s->w, (enum who)i, false);
    go_on(s, "%s's %s is given up", who_names[i], act);
    if (!may_repeat(self, i)) return;
    be_late(&s->w, &self->asks);
    repeat(self);
    go_on(s, "%s's %s is cut and repeated", who_names[i], act);
}

static void executed(step *s, int i)
{
    asker *self = &s->w.askers[i];
    const char *act = act_names[self->asks.act];
    self->phase = ANSWERED;
    go_on(s, "%s's %s is answered", who_names[i], act);
    client_judge(&s->w, (enum who)i, false);
    go_on(s, "%s's %s: its answer is lost", who_names[i], act);
    if (!may_repeat(self, i)) return;
    repeat(self);
    go_on(s, "%s's %s: its answer is lost, repeated", who_names[i], act);
}

static void network(step *s)
{
    for (int i = 0; i < s->from->late_count; i++) {
        message late = s->w.late[i];
        take_late(&s->w, i);
        server_execute(&s->w, &late, NULL);
        go_on(s, "LATE %s is carried out%s", act_names[late.act], "");
    }
    for (int i = 0; i < ASKERS; i++) {
        const asker *self = &s->from->askers[i];
        const char *act = act_names[self->asks.act];
        if (self->phase == SENT) sent(s, i);
        if (self->phase == EXECUTED) executed(s, i);
        if (self->phase != ANSWERED) continue;
        client_judge(&s->w, (enum who)i, true);
        go_on(s, "%s ends its %s", who_names[i], act);
    }
}

static void threads(step *s)
{
    static const struct {
        enum act act;
        bool is_entry;
        const char *name;
    } calls[] = {{RENEW, false, "extend"},
                 {DOWNGRADE, false, "downgrade"},
                 {UPGRADE, false, "upgrade"},
                 {UPGRADE, true, "enter exclusively"}};
    for (int i = FIRST; i <= SECOND; i++) {
        if (s->from->askers[i].phase != IDLE || !tenure_has_handle(&s->from->hold)) continue;
        for (int n = 0; n < 4 && s->from->calls > 0; n++) {
            if (calls[n].is_entry && s->from->entries > 1) continue;
            s->w.calls--;
            (void)client_begin(&s->w, (enum who)i, calls[n].act, calls[n].is_entry, true);
            go_on(s, "%s: %s", who_names[i], calls[n].name);
            if (calls[n].act == RENEW) continue;
            s->w.calls--;
            (void)client_begin(&s->w, (enum who)i, calls[n].act, calls[n].is_entry, false);
            go_on(s, "%s: %s, which could not be sent", who_names[i], calls[n].name);
        }
        client_release(&s->w, (enum who)i);
        go_on(s, "%s: release%s", who_names[i], "");
    }
}

static void keeper(step *s)
{
    enum tenure_wants wants = tenure_wants(&s->from->hold);
    bool asks = wants == TENURE_WANTS_UNDO ||
                (wants == TENURE_WANTS_RENEWAL && !s->from->is_time_up);
    if (asks && s->from->askers[KEEPER].phase == IDLE) {
        client_attend(&s->w);
        go_on(s, "keeper asks%s%s", "", "");
    }
    if (s->from->is_time_up && tenure_is_held(&s->from->hold)) {
        client_move(&s->w, TENURE_LAPSES);
        go_on(s, "keeper tells of the end%s%s", "", "");
    }
    if (s->from->closes > 0 && s->from->hold.state != TENURE_SOUGHT) {
        s->w.closes--;
        client_move(&s->w, TENURE_CLOSED);
        go_on(s, "CLOSE%s%s", "", "");
    }
}

static void grow_old(world *w)
{
    for (int i = 0; i < ASKERS; i++) w->askers[i].asks.is_old = w->askers[i].phase != IDLE;
    w->server.is_ahead = false;
}

static void time_passes(step *s)
{
    if (s->from->lapses > 0 && is_believed(s->from)) {
        s->w.lapses--;
        s->w.is_time_up = true;
        s->w.server.has_run_out = !s->w.server.is_ahead;
        go_on(s, "the lease that is known of PASSES%s%s", "", "");
    }
    if (s->from->lapses > 0) {
        s->w.lapses--;
        s->w.is_time_up = s->w.hold.state != TENURE_SOUGHT;
        grow_old(&s->w);
        s->w.server.has_run_out = true;
        go_on(s, "every lease PASSES%s%s", "", "");
    }
    if (s->from->server.has_run_out && s->from->server.place != NOWHERE) {
        s->w.server.place = NOWHERE;
        go_on(s, "the server FORGETS it%s%s", "", "");
    }
}

static void others(step *s)
{
    const site *server = &s->from->server;
    if (server->other != NOBODY) {
        s->w.server.other = NOBODY;
        go_on(s, "the other one leaves%s%s", "", "");
        return;
    }
    for (uint8_t as = READER; s->from->others > 0 && as <= WRITER; as++) {
        bool may = server->place == NOWHERE || (server->place == SHARED && as == READER);
        if (!may) continue;
        s->w.others--;
        s->w.server.other = as;
        if (server->place == NOWHERE) server_mint(&s->w);
        go_on(s, "the other one %s%s", as == READER ? "reads" : "writes", "");
    }
}

static void harm(step *s)
{
    if (s->from->forces > 0 && s->from->server.place != NOWHERE &&
        tenure_has_handle(&s->from->hold)) {
        s->w.forces--;
        s->w.was_forced = true;
        s->w.server.place = NOWHERE;
        server_mint(&s->w);
        go_on(s, "FORCE%s%s", "", "");
    }
    if (s->from->losses > 0 && !s->from->has_snapshot && tenure_has_handle(&s->from->hold)) {
        s->w.snapshot = s->w.server;
        s->w.has_snapshot = true;
        go_on(s, "a replica has this much%s%s", "", "");
    }
    if (s->from->has_snapshot) {
        s->w.server = s->w.snapshot;
        s->w.has_lost_data = true;
        s->w.losses--;
        go_on(s, "the replica is PROMOTED%s%s", "", "");
    }
}

void moves_each(const world *from, follow_fn *tell, void *arg)
{
    step s = {.from = from, .w = *from, .tell = tell, .arg = arg};
    network(&s);
    threads(&s);
    keeper(&s);
    time_passes(&s);
    others(&s);
    harm(&s);
}

/* ---- Whether it ends ---- */

static void settle(world *w)
{
    while (w->late_count > 0) {
        message late = w->late[0];
        take_late(w, 0);
        server_execute(w, &late, NULL);
    }
    for (int i = 0; i < ASKERS; i++) {
        asker *self = &w->askers[i];
        if (self->phase == SENT) server_execute(w, &self->asks, self);
        if (self->phase != IDLE) client_judge(w, (enum who)i, true);
    }
}

/* Everything arrives, the user lets go, and the hold can be freed. What is wrong on the way is
 * found on the way. */
bool comes_to_rest(const world *from)
{
    world w = *from;
    const char *kept = fault;
    for (int n = 0; n < 30 && !tenure_is_freeable(&w.hold); n++) {
        settle(&w);
        if (w.askers[FIRST].phase == IDLE && tenure_has_handle(&w.hold)) client_release(&w, FIRST);
        if (w.askers[KEEPER].phase == IDLE && tenure_wants(&w.hold) == TENURE_WANTS_UNDO)
            client_attend(&w);
    }
    fault = kept;
    return tenure_is_freeable(&w.hold);
}
