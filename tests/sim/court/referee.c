/* SPDX-License-Identifier: MIT
 * What the library calls and the node tell the referee; and whether statuses and durations are what
 * they may be. */
#include "sim/court/referee.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim/court/grants.h"
#include "sim/court/handover.h"
#include "sim/court/orphans.h"
#include "sim/court/stance.h"
#include "sim/limits.h"
#include "sim/machine/system.h"
#include "sim/trace.h"
#include "wire/answer.h"

const plan *refereed;

static stance users[USERS_MOST];
static int active[USERS_MOST], active_count;
static bool may_leave_holds[MACHINES_MOST]; /* a client is gone, or is being closed */
static char verdict[300];
static int64_t broken_us; /* when leases were broken last */
static long acquisitions;

void referee_begin(const plan *of)
{
    refereed = of;
    verdict[0] = '\0';
    broken_us = -1;
    acquisitions = 0;
    active_count = 0;
    memset(users, 0, sizeof users);
    memset(may_leave_holds, 0, sizeof may_leave_holds);
    orphans_begin();
    handover_begin();
    for (int user = 0; user < USERS_MOST; user++) {
        users[user].user = user;
        users[user].client = client_of_user(user);
        users[user].what = &of->clients[client_of_user(user)].jobs[number_of_user(user)];
    }
    grants_begin();
}

/* ---- The verdict ----------------------------------------------------------------------------- */

long referee_acquisitions(void) { return acquisitions; }

const char *referee_verdict(void) { return verdict[0] == '\0' ? NULL : verdict; }

static void condemn(int at, const char *format, va_list arguments)
{
    vsnprintf(verdict + at, sizeof verdict - (size_t)at, format, arguments);
    trace("VIOLATION: %s", verdict);
}

void referee_break(const char *format, ...)
{
    if (verdict[0] != '\0') return;
    va_list arguments;
    va_start(arguments, format);
    condemn(0, format, arguments);
    va_end(arguments);
}

void referee_accuse(int user, const char *format, ...)
{
    if (verdict[0] != '\0') return;
    va_list arguments;
    va_start(arguments, format);
    int at = snprintf(verdict, sizeof verdict, "client %d, job %d: ", client_of_user(user),
                      number_of_user(user));
    condemn(at, format, arguments);
    va_end(arguments);
}

/* ---- Stances -------------------------------------------------------------------------------- */

int stances_active(void) { return active_count; }
stance *stance_active(int number) { return &users[active[number]]; }

static void activate(int user) { active[active_count++] = user; }

static void deactivate(int user)
{
    for (int i = 0; i < active_count; i++)
        if (active[i] == user) active[i--] = active[--active_count];
}

int64_t stance_held_up_us(const stance *self)
{
    const machine *on = machine_at(self->client);
    return latest(on->stopped_until_us, on->stalled_until_us);
}

static int64_t rounds_us(int client, int rounds)
{
    const client_plan *of = &refereed->clients[client];
    return of->late_permille == 0 ? 0 : 2 * rounds * of->late_most_us;
}

int64_t client_lateness_us(int client)
{
    bool is_kept = refereed->clients[client].host == REDLOCK_HOST_MANUAL;
    return is_kept ? rounds_us(client, ROUNDS_TO_KEEP) : 0;
}

int64_t stance_lateness_us(const stance *self, enum loop_duty what)
{
    redlock_host host = refereed->clients[self->client].host;
    bool is_async = self->what->is_async;
    switch (what) {
    case LOOP_TELLS:
        return is_async && host != REDLOCK_HOST_KEEPER ? rounds_us(self->client, ROUNDS_TO_TELL)
                                                       : 0;
    case LOOP_ASKS:
        return is_async && host == REDLOCK_HOST_MANUAL ? rounds_us(self->client, ROUNDS_TO_ASK) : 0;
    case LOOP_KEEPS: return client_lateness_us(self->client);
    }
    return 0;
}

bool stance_is_void(const stance *self) { return self->is_robbed || self->entered_us <= broken_us; }
bool stance_may_leave(int client) { return may_leave_holds[client]; }

int64_t stance_lease_us(const job *what)
{
    bool is_claim = what->claim_ms > 0 && what->claim_ms < what->ttl_ms;
    return (is_claim ? what->claim_ms : what->ttl_ms) * 1000;
}

bool stance_is_short(const job *what)
{
    return stance_lease_us(what) < 30 * network_delay_most_us() + 20000;
}

void referee_gone(int client)
{
    may_leave_holds[client] = true;
    for (int i = 0; i < JOBS_MOST; i++) {
        users[user_of(client, i)].is_gone = true;
        deactivate(user_of(client, i));
    }
}

void referee_excuses(int user)
{
    users[user].is_excused = true;
    if (users[user].what->part == PART_FIRST) users[user + 1].is_excused = true;
}

void referee_closes(int client)
{
    may_leave_holds[client] = true;
    for (int i = 0; i < JOBS_MOST; i++)
        users[user_of(client, i)].is_excused = users[user_of(client, i)].is_closed = true;
}

void referee_data_changed(void) { grants_forget(); }

void referee_clock_fell(void) { grants_fell(); }
void referee_leases_broken(void) { broken_us = now_us(); }

/* ---- What the node was asked ----------------------------------------------------------------- */

/* A hold id ends in its number, in base 36; the operation has the same. */
static uint64_t number_of(words hold_id)
{
    uint64_t number = 0;
    const char *at = memchr(hold_id.at, '.', hold_id.length), *end = hold_id.at + hold_id.length;
    for (at = at == NULL ? end : at + 1; at < end; at++)
        number = number * 36 + (uint64_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    return number;
}

/* Who of the client's users asked? Of several blocking ones it cannot be told. */
static stance *asker(int client, words holder)
{
    uint64_t number = number_of(grants_field(holder, 1));
    for (int i = 0; i < active_count; i++) {
        stance *self = &users[active[i]];
        if (self->client != client || !self->is_waiting || self->is_gathering) continue;
        bool is_alone = self->operation == NULL && !refereed->clients[client].is_parallel;
        if (is_alone || (self->operation != NULL && *self->operation == number)) return self;
    }
    return NULL;
}

/* What was told on this connection before was read before it asks there again. */
static void judge_arrival(const stance *self, words told, const cable *from)
{
    bool was_told = self->queued_on == from && self->arrival_us > 0;
    if (was_told && told.length == 0)
        referee_accuse(self->user, "asks for %d again without its arrival", self->what->name);
}

static void note_asking(stance *self, words inbox, const cable *queued_on)
{
    self->queued_on = queued_on;
    words channel = grants_field(inbox, 1);
    if (channel.length > CHANNEL_MOST) channel.length = 0;
    memcpy(self->channel_bytes, channel.at, channel.length);
    self->channel = (words){self->channel_bytes, channel.length};
    self->asked_us = now_us();
}

static void note_asked_for(stance *self, words holder)
{
    if (holder.length > sizeof self->asked_for_bytes) holder.length = 0;
    memcpy(self->asked_for_bytes, holder.at, holder.length);
    self->asked_for = (words){self->asked_for_bytes, holder.length};
}

static bool is_same(words a, words b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

/* Who waits, and has it already? Whoever got it by an answer that nobody waits for cannot know. It
 * has had its turn. */
static void note_grant(stance *self, words stray)
{
    bool has_it = self->asked_for.length > 0 && handover_holds(self->asked_for);
    if (!has_it) {
        self->granted_us = 0;
        return;
    }
    self->arrival_us = 0;
    if (self->granted_us == 0)
        self->granted_us = is_same(self->asked_for, stray) ? SIM_NEVER : now_us();
}

static void note_grants(int name, words stray)
{
    for (int i = 0; i < active_count; i++) {
        stance *self = &users[active[i]];
        bool asks = self->is_waiting && !self->is_gathering;
        if (asks && self->what->name == name) note_grant(self, stray);
    }
}

/* A renewal was told that there is no such holder. */
static void note_denial(words holder)
{
    for (int i = 0; i < active_count; i++) {
        stance *self = &users[active[i]];
        if (self->denied_us == 0 && stance_is_holder(self, holder)) self->denied_us = now_us();
    }
}

/* It asks at least once in its claim; those that allow for no round trip aside. */
void referee_dropped(int name, words hold_id)
{
    for (int i = 0; i < active_count; i++) {
        const stance *self = &users[active[i]];
        bool is_it = self->is_waiting && self->what->name == name && self->asked_for.length > 0 &&
                     is_same(grants_field(self->asked_for, 1), hold_id);
        if (is_it) waiting_judge_dropped(self);
    }
}

static void note_question(const words *argv, long code, const cable *from)
{
    stance *self = asker(from->machine, argv[0]);
    if (self == NULL) return;
    judge_arrival(self, argv[6], from);
    if (code == ACQUIRE_QUEUED && self->arrival_us == 0) self->arrival_us = node_clock_us();
    note_asking(self, argv[5], code == ACQUIRE_QUEUED ? from : NULL);
    note_asked_for(self, argv[0]);
}

/* Those who held it, and those who may have had it without having heard of it, do not have it any
 * more. */
static void note_force(int name)
{
    for (int i = 0; i < USERS_MOST; i++) {
        stance *self = &users[i];
        if (self->what->name != name) continue;
        bool has_it = self->lock != NULL && grants_end_us(name, self->lock) > now_us();
        self->is_robbed |= self->is_waiting || !has_it;
    }
}

/* What a replica says is old; that a holder is not there it cannot know. */
void referee_look_far(enum script_id id, words key, const words *argv, long code)
{
    if (id != SCRIPT_RENEW || code != RENEW_ABSENT || broken_us >= 0) return;
    for (int i = 0; i < active_count; i++) {
        const stance *self = &users[active[i]];
        bool asks = self->what->name == grants_name_of(key) && stance_is_holder(self, argv[0]);
        if (asks && grants_end_us(self->what->name, self->lock) > now_us())
            referee_accuse(self->user, "was told by a replica that it has lost %d",
                           self->what->name);
    }
}

void referee_look_after(enum script_id id, words key, const words *argv, long code, cable *from,
                        bool is_stray)
{
    grants_look(key);
    handover_after(id, key, argv, code, from, is_stray);
    if (is_stray) grants_note_stray(id, grants_field(argv[0], 1));
    else if (id == SCRIPT_ACQUIRE && argv[5].length > 0) note_question(argv, code, from);
    else if (id == SCRIPT_RENEW && code == RENEW_ABSENT) note_denial(argv[0]);
    if (id == SCRIPT_ACQUIRE && node_runs_again()) orphans_excuse(grants_field(argv[0], 1));
    if (id == SCRIPT_FORCE && argv[4].length > 1 && code > 0 && code != FORCE_STALE)
        note_force(grants_name_of(key));
    note_grants(grants_name_of(key), is_stray ? argv[0] : (words){"", 0});
}

/* ---- What the calls answer ------------------------------------------------------------------- */

static void judge_duration(const stance *self, const char *what, int64_t most_us)
{
    int64_t took_us = now_us() - self->began_us;
    bool was_held_up = stance_held_up_us(self) >= self->began_us;
    if (!was_held_up && took_us > most_us + most_us / 100 + OVERSHOOT_US)
        referee_accuse(self->user, "%s took %lld us, and may take %lld", what, (long long)took_us,
                       (long long)most_us);
}

void referee_waits(int user, const redlock_operation *operation)
{
    stance *self = &users[user];
    self->operation = operation;
    self->is_waiting = true;
    self->is_robbed = false;
    self->entered_us = self->began_us = now_us();
    if (!self->is_gone) activate(user);
}

void referee_gathers(int user)
{
    referee_waits(user, NULL);
    users[user].is_gathering = true;
}

/* A set is renewed while it is gathered. */
static bool is_renewed(const job *what) { return what->auto_renew || what->part != PART_NONE; }

/* Do renewals of short leases go over the connection of this user's requests? They are impatient,
 * and close it. */
static bool is_beside_the_impatient(const stance *self)
{
    const client_plan *of = &refereed->clients[self->client];
    if (!self->what->is_async) return is_renewed(self->what) && stance_is_short(self->what);
    for (int i = 0; i < of->job_count; i++)
        if (is_renewed(&of->jobs[i]) && stance_is_short(&of->jobs[i])) return true;
    return false;
}

/* A loop that is late for the answer itself. */
static bool is_late_for_answers(const stance *self)
{
    return stance_lateness_us(self, LOOP_ASKS) >= refereed->clients[self->client].timeout_ms * 1000;
}

static bool is_served_calmly(const stance *self)
{
    return refereed->is_calm && !is_beside_the_impatient(self) && !is_late_for_answers(self);
}

static bool is_explained(const stance *self, redlock_status status)
{
    int64_t wait_ms = self->what->wait_ms;
    bool is_calm = is_served_calmly(self);
    bool may_be_late = !is_calm || stance_lateness_us(self, LOOP_TELLS) > 0;
    switch (status) {
    case REDLOCK_OK: return true;
    case REDLOCK_BUSY: return wait_ms == 0;
    case REDLOCK_ERR_QUEUE_FULL: return limits.queue < MEMBERS_MOST && wait_ms != 0;
    case REDLOCK_DEADLOCK: return self->what->owner > 0;
    case REDLOCK_LOST: /* before anybody was told */
        return may_be_late && (self->what->is_async || self->what->part != PART_NONE);
    case REDLOCK_TIMED_OUT: return wait_ms > 0;
    case REDLOCK_CANCELLED:
    case REDLOCK_ERR_CLOSED: return self->is_excused;
    case REDLOCK_ERR_TIMEOUT:
    case REDLOCK_ERR_CONNECT:
    case REDLOCK_ERR_UNAVAILABLE: return !is_calm && wait_ms != REDLOCK_WAIT_FOREVER;
    default: return false;
    }
}

/* Once nobody calls redlock_process any more, what is pending completes in redlock_close, which
 * waits for the calls that are under way before that; and for what it releases, before it
 * delivers. */
static int64_t delivery_us(const stance *self)
{
    const client_plan *of = &refereed->clients[self->client];
    bool is_by_close = self->is_closed && self->what->is_async && of->host != REDLOCK_HOST_KEEPER;
    return is_by_close ? 2 * of->timeout_ms * 1000 : 0;
}

static void judge_acquisition(const stance *self, redlock_status status)
{
    if (!is_explained(self, status))
        referee_accuse(self->user, "acquire answered %s", redlock_status_name(status));
    /* The first question has the time of a try, whatever the wait. */
    int64_t wait_ms = self->what->wait_ms, timeout_ms = refereed->clients[self->client].timeout_ms;
    if (wait_ms >= 0 && wait_ms < timeout_ms) wait_ms = timeout_ms;
    bool is_manual = refereed->clients[self->client].host == REDLOCK_HOST_MANUAL;
    bool is_over = status == REDLOCK_TIMED_OUT || status == REDLOCK_CANCELLED;
    bool may_leave = !self->what->is_async && (is_over || is_manual);
    int64_t late_us = delivery_us(self) + stance_lateness_us(self, LOOP_TELLS) +
                      (may_leave ? LEAVING_US : 0);
    if (wait_ms > 0) judge_duration(self, "acquire", wait_ms * 1000 + late_us);
}

void referee_acquired(int user, redlock_status status, redlock_lock *lock)
{
    stance *self = &users[user];
    trace("client %d, job %d: acquire %d -> %s", self->client, number_of_user(user),
          self->what->name, redlock_status_name(status));
    self->is_waiting = self->is_gathering = false;
    if (self->is_gone) return;
    judge_acquisition(self, status);
    if (status != REDLOCK_OK) {
        deactivate(user);
        return;
    }
    acquisitions++;
    self->lock = lock;
    self->acquired_us = now_us();
    grants_check_fence(user, lock, self->what->mode);
    bool was_held_up = stance_held_up_us(self) >= self->began_us;
    self->did_believe = stance_believes(self);
    /* The completion itself may have closed the client. */
    bool was_given_up = self->is_closed && refereed->clients[self->client].closes_inside;
    if (!self->did_believe && !was_held_up && !was_given_up)
        referee_accuse(user, "acquired a lease that is over");
}

void referee_lost(int user)
{
    stance *self = &users[user];
    trace("client %d, job %d: lost", self->client, number_of_user(user));
    if (self->was_told)
        referee_accuse(user, "was told twice that it has lost %d", self->what->name);
    if (self->is_over)
        referee_accuse(user, "was told that it has lost %d, which it had released",
                       self->what->name);
    if (stance_believes(self))
        referee_accuse(user, "was told that it has lost %d, which it holds", self->what->name);
    belief_judge_told(self);
    belief_judge_unwarned(self);
    self->was_told = true;
}

void referee_warned(int user, int64_t left_ms)
{
    stance *self = &users[user];
    trace("client %d, job %d: at risk, %lld ms left", self->client, number_of_user(user),
          (long long)left_ms);
    if (self->was_told || self->is_over)
        referee_accuse(user, "was warned of losing %d, which is over", self->what->name);
    belief_judge_warning(self, left_ms);
    self->warned_us = now_us();
}

static int64_t validity_ends_us(const stance *self)
{
    if (self->is_gone) return 0;
    system_observe(self->client);
    int64_t left_ms = redlock_remaining_ms(self->lock);
    system_observe(-1);
    return left_ms > 0 ? now_us() + left_ms * 990 : 0;
}

void referee_releases(int user)
{
    stance *self = &users[user];
    self->valid_until_us = validity_ends_us(self);
    self->lock = NULL;
    self->began_us = now_us();
    deactivate(user);
}

void referee_left(int user) { users[user].is_over = true; }

void referee_released(int user, redlock_status status)
{
    stance *self = &users[user];
    self->is_over = true;
    bool was_valid_after = now_us() < self->valid_until_us;
    trace("client %d, job %d: release -> %s", self->client, number_of_user(user),
          redlock_status_name(status));
    if (self->is_gone || self->is_excused) return;
    if (status == REDLOCK_LOST && was_valid_after && !stance_is_void(self))
        referee_accuse(user, "release answered LOST within the lease");
    bool is_known = status == REDLOCK_OK || status == REDLOCK_LOST ||
                    status == REDLOCK_ERR_CONNECT || status == REDLOCK_ERR_TIMEOUT ||
                    status == REDLOCK_ERR_UNAVAILABLE;
    bool may_fail = !is_served_calmly(self);
    if (!is_known || (status < 0 && !may_fail))
        referee_accuse(user, "release answered %s", redlock_status_name(status));
    judge_duration(self, "release",
                   refereed->clients[self->client].timeout_ms * 1000 +
                       stance_lateness_us(self, LOOP_TELLS));
}

/* LOST is the status of two if one of them was over. */
void referee_parted(int user, redlock_status status)
{
    stance *of[] = {&users[user], &users[user + 1]};
    bool was_over = false;
    for (int i = 0; i < 2; i++)
        was_over |= now_us() >= of[i]->valid_until_us || stance_is_void(of[i]);
    for (int i = 0; i < 2; i++) {
        if (was_over) of[i]->valid_until_us = 0;
        referee_released(user + i, status);
    }
}

/* ---- Every instant --------------------------------------------------------------------------- */

void referee_look(void)
{
    if (system_spinning() >= 0) referee_break("a thread of client %d spins", system_spinning());
    for (int name = 0; name < NAMES_MOST; name++) {
        grants_note_holders(name);
        belief_judge(name);
        waiting_judge(name);
        orphans_judge(name);
        handover_judge_more(name);
    }
    for (int i = 0; i < active_count; i++) {
        waiting_judge_asking(&users[active[i]]);
        waiting_judge_knowing(&users[active[i]]);
        belief_judge_denial(&users[active[i]]);
        belief_judge_telling(&users[active[i]]);
        belief_judge_loss(&users[active[i]]);
    }
}

/* What a client believes to hold when it is closed is released by then, in a world in which nothing
 * keeps it from that. */
void referee_closed(int client)
{
    may_leave_holds[client] = true;
    if (!plan_is_gentle(refereed) || grants_had_stray()) return;
    for (int i = 0; i < active_count; i++) {
        const stance *self = &users[active[i]];
        bool is_lost = self->lost_us != 0 ||
                       self->was_told; /* it may be on_lost that closed the client */
        if (self->client != client || self->lock == NULL || is_lost) continue;
        if (grants_end_us(self->what->name, self->lock) > now_us())
            referee_accuse(self->user, "holds %d, and the client is closed", self->what->name);
    }
}

void referee_end(void)
{
    bool is_gentle =
        plan_is_gentle(refereed); /* then whoever closes or gives up leaves nothing, either */
    for (int i = 0; i < USERS_MOST; i++) {
        bool was_restored = broken_us >= 0; /* what was gone may have come back */
        may_leave_holds[users[i].client] |= was_restored || users[i].is_gone ||
                                            (users[i].is_excused && !is_gentle);
    }
    grants_check_leftovers(refereed, may_leave_holds);
}
