/* SPDX-License-Identifier: MIT
 * The checks after every instant: exclusion, waiting, statuses. */
#include "sim/referee.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim/grants.h"
#include "sim/machine.h"
#include "sim/system.h"
#include "sim/trace.h"
#include "wire/answer.h"

/* How far a library call may overshoot its deadline, besides the disturbances: nothing of it takes time here but leaving
 * the queue, for which a wait that is over gives a near server 5 ms. */
enum { OVERSHOOT_US = 7000, BACKOFF_MOST_US = 2600000, CAP_LEAST_US = 100000 };

/* A wait that is over may leave the queue before it returns, within so long. */
enum { LEAVING_US = 5000 };

/* What the referee knows of a client. One that holds something does not wait, and the other way round. */
typedef struct standing {
    const job *what;
    bool is_waiting;      /* within redlock_acquire */
    bool is_excused;
    bool is_gone;
    int64_t began_us;     /* the call under way */
    int64_t subscribed_us, asked_us; /* as the node saw it ... */
    words channel;        /* ... of the inbox that the latest question named */
    char channel_bytes[CHANNEL_MOST];
    int64_t valid_until_us; /* at the release, at least so long */
    redlock_lock *lock;   /* held, as far as the client knows */
    redlock_mode mode;
    bool did_believe;     /* at the last look */
} standing;

static const plan *the_plan;
static standing clients[MACHINES_MOST];
static char verdict[300];
static bool breaks_leases;

void referee_begin(const plan *of)
{
    the_plan = of;
    verdict[0] = '\0';
    breaks_leases = plan_breaks_leases(of);
    memset(clients, 0, sizeof clients);
    grants_begin();
}

const char *referee_verdict(void) { return verdict[0] == '\0' ? NULL : verdict; }

void referee_break(const char *format, ...)
{
    if (verdict[0] != '\0') return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict, sizeof verdict, format, arguments);
    va_end(arguments);
    trace("VIOLATION: %s", verdict);
}

void referee_gone(int client)
{
    clients[client].is_gone = true;
    clients[client].is_waiting = false;
    clients[client].lock = NULL;
}

void referee_excuses(int client) { clients[client].is_excused = true; }
void referee_data_lost(void) { grants_forget(); }

/* The second field of a waiter's member. */
static void note_channel(standing *self, words waiter)
{
    const char *from = memchr(waiter.at, ' ', waiter.length), *end = waiter.at + waiter.length;
    const char *to = from == NULL ? NULL : memchr(from + 1, ' ', (size_t)(end - from - 1));
    self->channel = (words){self->channel_bytes, 0};
    if (to == NULL || to - from > CHANNEL_MOST) return;
    self->channel.length = (size_t)(to - from - 1);
    memcpy(self->channel_bytes, from + 1, self->channel.length);
}

void referee_witness(enum script_id id, words key, const words *argv, long code, cable *from)
{
    grants_look(key);
    if (from->is_closed || from->is_cut) grants_note_late();
    if (id != SCRIPT_ACQUIRE || argv[4].length == 0) return;
    from->has_asked = code == ACQUIRE_QUEUED;
    clients[from->machine].asked_us = now_us();
    note_channel(&clients[from->machine], argv[4]);
}

static bool believes(int client)
{
    if (clients[client].lock == NULL) return false;
    system_observe(client);
    bool is_held = redlock_is_held(clients[client].lock);
    system_observe(-1);
    return is_held;
}

/* ---- Statuses --------------------------------------------------------------------------------- */

static int64_t latest(int64_t a, int64_t b) { return a > b ? a : b; }

/* When the machine was last kept from running. */
static int64_t held_up_us(int client)
{
    const machine *on = machine_at(client);
    return latest(on->stopped_until_us, on->stalled_until_us);
}

static void judge_duration(int client, const char *call, int64_t most_us)
{
    const standing *self = &clients[client];
    int64_t took_us = now_us() - self->began_us;
    bool was_held_up = held_up_us(client) >= self->began_us;
    if (!was_held_up && took_us > most_us + most_us / 100 + OVERSHOOT_US)
        referee_break("client %d: %s took %lld us, and may take %lld", client, call, (long long)took_us, (long long)most_us);
}

void referee_waits(int client, const job *what)
{
    standing *self = &clients[client];
    self->what = what;
    self->is_waiting = true;
    self->began_us = now_us();
    self->subscribed_us = self->asked_us = 0;
    self->channel.length = 0;
}

static bool is_explained(const standing *self, redlock_status status)
{
    switch (status) {
    case REDLOCK_OK: return true;
    case REDLOCK_BUSY: return self->what->wait_ms == 0;
    case REDLOCK_TIMED_OUT: return self->what->wait_ms > 0;
    case REDLOCK_CANCELLED:
    case REDLOCK_ERR_CLOSED: return self->is_excused;
    case REDLOCK_ERR_TIMEOUT:
        /* A wait that is shorter than a few round trips ends so, too. */
        if (the_plan->is_calm) return self->what->wait_ms > 0 && self->what->wait_ms * 1000 < 12 * network_delay_most_us();
        return self->what->wait_ms != REDLOCK_WAIT_FOREVER;
    case REDLOCK_ERR_CONNECT:
    case REDLOCK_ERR_UNAVAILABLE: return !the_plan->is_calm && self->what->wait_ms != REDLOCK_WAIT_FOREVER;
    default: return false;
    }
}

void referee_acquired(int client, redlock_status status, redlock_lock *lock)
{
    standing *self = &clients[client];
    trace("client %d: acquire %d -> %s", client, self->what->name, redlock_status_name(status));
    self->is_waiting = false;
    if (self->is_gone) return;
    if (!is_explained(self, status))
        referee_break("client %d: acquire answered %s", client, redlock_status_name(status));
    int64_t wait_ms = self->what->wait_ms;
    if (wait_ms == 0) wait_ms = the_plan->clients[client].timeout_ms;
    if (wait_ms > 0) judge_duration(client, "acquire", wait_ms * 1000 + LEAVING_US);
    if (status != REDLOCK_OK) return;
    self->lock = lock;
    self->mode = self->what->mode;
    grants_check_fence(client, lock, self->mode);
    bool was_held_up = held_up_us(client) >= self->began_us;
    self->did_believe = believes(client);
    if (!self->did_believe && !was_held_up) referee_break("client %d acquired a lease that is over", client);
}

void referee_changes(int client, redlock_mode mode) { clients[client].mode = mode; }

static int64_t validity_ends_us(int client)
{
    system_observe(client);
    int64_t left_ms = redlock_remaining_ms(clients[client].lock);
    system_observe(-1);
    return left_ms > 0 ? now_us() + left_ms * 990 : 0;
}

void referee_releases(int client)
{
    clients[client].valid_until_us = validity_ends_us(client);
    clients[client].lock = NULL;
    clients[client].began_us = now_us();
}

void referee_released(int client, redlock_status status)
{
    const standing *self = &clients[client];
    bool was_valid_after = now_us() < self->valid_until_us;
    trace("client %d: release -> %s", client, redlock_status_name(status));
    if (self->is_gone || self->is_excused) return;
    /* A conversion that was given up may still be executed, after a renewal told of the holder as it was. */
    bool may_be_late = self->what->midway > MIDWAY_EXTEND && grants_had_late();
    if (status == REDLOCK_LOST && was_valid_after && !breaks_leases && !may_be_late)
        referee_break("client %d: release answered LOST within the lease", client);
    bool is_known = status == REDLOCK_OK || status == REDLOCK_LOST || status == REDLOCK_ERR_CONNECT ||
                    status == REDLOCK_ERR_TIMEOUT || status == REDLOCK_ERR_UNAVAILABLE;
    if (!is_known || (status < 0 && the_plan->is_calm))
        referee_break("client %d: release answered %s", client, redlock_status_name(status));
    /* After a conversion of unknown outcome it asks for the holder of either kind. */
    int64_t requests = self->what->midway > MIDWAY_EXTEND ? 2 : 1;
    judge_duration(client, "release", requests * the_plan->clients[client].timeout_ms * 1000);
}

/* ---- Exclusion -------------------------------------------------------------------------------- */

static void judge_exclusion(int name)
{
    int exclusive = 0, shared = 0, of[MACHINES_MOST];
    for (int i = 0; i < the_plan->client_count; i++) {
        if (clients[i].lock == NULL || clients[i].what->name != name || !believes(i)) continue;
        if (!grants_has(name, clients[i].lock)) referee_break("client %d believes that it holds %d, and the node does not", i, name);
        of[exclusive + shared] = i;
        if (clients[i].mode == REDLOCK_EXCLUSIVE) exclusive++;
        else shared++;
    }
    uint32_t permits = the_plan->permits[name];
    if (exclusive > 1 || (exclusive == 1 && shared > 0))
        referee_break("clients %d and %d both believe that they hold %d", of[0], of[1], name);
    if (permits > 0 && (uint32_t)shared > permits)
        referee_break("%d clients believe that they hold %d, which has %u permits", shared, name, permits);
}

/* ---- Waiting ---------------------------------------------------------------------------------- */

static bool is_live_waiter(int client, int name)
{
    const standing *self = &clients[client];
    return self->is_waiting && !self->is_gone && self->what->wait_ms != 0 && self->what->name == name &&
           held_up_us(client) <= now_us();
}

/* Since when nothing kept this client from its lock. */
static int64_t undisturbed_since_us(int client)
{
    if (network_is_deceived(client)) network_broke(client);
    int64_t since_us = latest(clients[client].began_us, network_moved_us(client));
    return latest(since_us, latest(held_up_us(client), node_troubled_until_us()));
}

/* Was anything broken since the call began? Then backoffs and whole leases may have to pass. */
static bool was_broken(int client)
{
    int64_t began_us = clients[client].began_us;
    return network_broke_us(client) >= began_us || held_up_us(client) >= began_us ||
           (!the_plan->is_calm && node_troubled_until_us() >= began_us) || !network_is_subscribed(client);
}

static int64_t patience_us(int client)
{
    const job *what = clients[client].what;
    const client_plan *of = &the_plan->clients[client];
    int64_t claim_ms = what->claim_ms > 0 ? what->claim_ms : what->ttl_ms < 2000 ? what->ttl_ms : 2000;
    int64_t most_us = latest(claim_ms * 1000, CAP_LEAST_US) + 8 * network_delay_most_us() + OVERSHOOT_US;
    if (was_broken(client))
        most_us += what->ttl_ms * 1000 + BACKOFF_MOST_US + (of->timeout_ms + 2 * of->connect_timeout_ms) * 1000;
    return most_us + most_us / 50;
}

static void judge_waiting(int name)
{
    int64_t free_us = grants_free_since_us(name);
    if (free_us > now_us()) return;
    for (int i = 0; i < the_plan->client_count; i++) {
        if (!is_live_waiter(i, name)) continue;
        int64_t since_us = latest(free_us, undisturbed_since_us(i));
        if (now_us() - since_us > patience_us(i))
            referee_break("client %d waits for %d, which is free since %lld", i, name, (long long)since_us);
    }
}

/* Does the connection still work on which the client was told that it is queued? Whoever was told otherwise, or nothing,
 * has reasons of its own to wait. */
static bool can_ask(int client)
{
    for (int i = 0; i < network_count(); i++) {
        const cable *one = network_cable(i);
        if (one->machine == client && one->has_asked && one->is_served && !one->is_cut && !one->is_closed) return true;
    }
    return false;
}

/* A client that subscribed while it waits has to ask soon, for what was published before is lost. */
static void judge_asking(int client)
{
    standing *self = &clients[client];
    if (!is_live_waiter(client, self->what == NULL ? -1 : self->what->name)) return;
    for (int i = 0; i < network_count(); i++) {
        const cable *one = network_cable(i);
        bool is_its_inbox = one->is_subscribed && one->channel_length == self->channel.length &&
                            memcmp(one->channel, self->channel_bytes, one->channel_length) == 0;
        bool is_heard = one->machine == client && is_its_inbox && !one->is_cut && !one->is_closed;
        if (is_heard) self->subscribed_us = latest(self->subscribed_us, one->subscribed_us);
    }
    int64_t since_us = latest(self->subscribed_us, undisturbed_since_us(client));
    bool has_asked = self->asked_us >= self->subscribed_us || self->subscribed_us < self->began_us;
    bool is_bothered = network_broke_us(client) > self->subscribed_us || held_up_us(client) > self->subscribed_us ||
                       node_troubled_until_us() > self->subscribed_us;
    if (!has_asked && !is_bothered && can_ask(client) && now_us() - since_us > 6 * network_delay_most_us() + OVERSHOOT_US)
        referee_break("client %d subscribed at %lld and did not ask", client, (long long)self->subscribed_us);
}

/* A lock that is renewed is not lost while the connection is sound and the node serves. */
static void judge_loss(int client)
{
    standing *self = &clients[client];
    bool was_believed = self->did_believe;
    self->did_believe = believes(client);
    if (!was_believed || self->did_believe || self->lock == NULL || breaks_leases) return;
    const job *what = self->what;
    int64_t ttl_us = what->ttl_ms * 1000, now = now_us();
    if (!what->auto_renew || what->max_hold_ms > 0 || what->midway > MIDWAY_EXTEND || self->is_excused) return;
    bool is_short = ttl_us < 30 * network_delay_most_us() + 20000;
    bool was_cut = network_is_deceived(client) || network_broke_us(client) > now - 2 * ttl_us - BACKOFF_MOST_US;
    bool was_stuck = held_up_us(client) > now - ttl_us || node_refused_until_us() > now - ttl_us / 2;
    if (network_broke_us(client) > 0 && was_cut) return;
    if (!is_short && !was_stuck) referee_break("client %d lost a lock that is renewed", client);
}

void referee_look(void)
{
    if (system_spinning() >= 0) referee_break("a thread of client %d spins", system_spinning());
    for (int name = 0; name < NAMES_MOST; name++) {
        grants_note_holders(name);
        if (!breaks_leases) judge_exclusion(name);
        judge_waiting(name);
    }
    for (int i = 0; i < the_plan->client_count; i++) {
        judge_asking(i);
        judge_loss(i);
    }
}

void referee_end(void)
{
    bool has_crashed = breaks_leases; /* what was gone may have come back */
    for (int i = 0; i < the_plan->client_count; i++) has_crashed |= clients[i].is_gone || clients[i].is_excused;
    grants_check_leftovers(the_plan, has_crashed);
}
