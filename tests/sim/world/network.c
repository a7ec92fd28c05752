/* SPDX-License-Identifier: MIT
 * Cables and their delays. Rule: bytes are copied once, into the arena, when they are sent. */
#include "sim/world/network.h"

#include <string.h>

#include "sim/machine/machine.h"
#include "sim/server/node.h"
#include "sim/trace.h"
#include "sim/world/events.h"

enum { REPEAT_MOST_US = 2000000, TURNS = 16, LEARNS_LATE_US = 1000 };

static network_terms terms;
static cable *cables[CABLES_MOST];
static int cable_count;
static int64_t moved_us[MACHINES_MOST], broke_us[MACHINES_MOST], late_us[MACHINES_MOST];

void network_begin(const network_terms *with)
{
    terms = *with;
    cable_count = 0;
    memset(moved_us, 0, sizeof moved_us);
    memset(broke_us, 0, sizeof broke_us);
    memset(late_us, 0, sizeof late_us);
}

int64_t network_delay_most_us(void) { return terms.base_us + terms.jitter_us; }
int network_count(void) { return cable_count; }
cable *network_cable(int number) { return cables[number]; }

static void raise_to(int64_t *instant_us, int64_t least_us)
{
    if (*instant_us < least_us) *instant_us = least_us;
}

void network_moved(int number) { raise_to(&moved_us[number], now_us()); }
int64_t network_moved_us(int number) { return moved_us[number]; }

static void break_until(int number, int64_t until_us)
{
    raise_to(&moved_us[number], until_us);
    raise_to(&broke_us[number], until_us);
}

void network_broke(int number) { break_until(number, now_us()); }
int64_t network_broke_us(int number) { return broke_us[number]; }
int64_t network_late_us(int number) { return late_us[number]; }

static bool is_listening(const cable *one, int number)
{
    return one->machine == number && one->is_subscribed && !one->is_closed && !one->is_far;
}

bool network_is_subscribed(int number)
{
    for (int i = 0; i < cable_count; i++)
        if (is_listening(cables[i], number)) return true;
    return false;
}

bool network_is_deceived(int number)
{
    for (int i = 0; i < cable_count; i++) {
        const cable *one = cables[i];
        bool deceives = one->is_cut || one->is_reset || one->is_ended || one->is_far;
        if (one->machine == number && !one->is_closed && deceives) return true;
    }
    return false;
}

/* ---- Delays ---------------------------------------------------------------------------------- */

static int64_t delay_us(cable *self)
{
    dice *chance = &machine_at(self->machine)->dice;
    int64_t delay = terms.base_us + dice_below(chance, terms.jitter_us);
    bool may_spike = now_us() < terms.troubled_until_us;
    if (!may_spike || !dice_chance(chance, terms.spike_permille)) return delay;
    delay += dice_spread(chance, terms.jitter_us, terms.spike_most_us);
    break_until(self->machine, now_us() + delay);
    raise_to(&late_us[self->machine], now_us() + delay);
    return delay;
}

int64_t network_repeats_after_us(const cable *on)
{
    dice *chance = &machine_at(on->machine)->dice;
    bool may_repeat = now_us() < terms.troubled_until_us;
    if (!may_repeat || !dice_chance(chance, terms.repeat_permille)) return SIM_NEVER;
    return dice_spread(chance, 0, REPEAT_MOST_US);
}

/* No earlier than what was sent before it. */
static int64_t arrival_us(cable *self, int64_t *latest_us)
{
    int64_t at_us = now_us() + delay_us(self);
    if (at_us < *latest_us) at_us = *latest_us;
    *latest_us = at_us;
    return at_us;
}

static size_t piece_of(const cable *self, size_t length)
{
    dice *chance = &machine_at(self->machine)->dice;
    if (length < 2 || !dice_chance(chance, terms.pieces_permille)) return length;
    return (size_t)dice_between(chance, 1, (int64_t)length);
}

static void *copy(const char *bytes, size_t length)
{
    return memcpy(arena_take(length), bytes, length);
}

/* ---- Towards the node ------------------------------------------------------------------------ */

static void arrive(cable *self, const char *bytes, size_t length)
{
    if (self->is_served && !self->loses_requests) node_receive(self, bytes, length);
}

/* From when on may the node read what arrives? */
static int64_t opens_us(const cable *self)
{
    int64_t frozen_us = node_frozen_until_us();
    return frozen_us > self->late_until_us ? frozen_us : self->late_until_us;
}

typedef struct parcel {
    struct parcel *next;
    size_t length;
    char bytes[];
} parcel;

static parcel *wrap(const char *bytes, size_t length)
{
    parcel *self = arena_take(sizeof *self + length);
    *self = (parcel){.length = length};
    memcpy(self->bytes, bytes, length);
    return self;
}

static void arrive_late(void *subject, void *detail, size_t size);

static void come_later(cable *self)
{
    int64_t at_us = opens_us(self) + self->turn_us;
    event_at(at_us > now_us() ? at_us : now_us(), arrive_late, self, NULL, 0);
}

/* Whichever event comes, it brings the oldest: a stream has neither holes nor another order. */
static void arrive_late(void *subject, void *detail, size_t size)
{
    cable *self = subject;
    parcel *oldest = self->held_up;
    (void)detail;
    (void)size;
    if (opens_us(self) > now_us()) {
        come_later(self);
        return;
    }
    self->held_up = oldest->next;
    arrive(self, oldest->bytes, oldest->length);
}

static void begin_holding_up(cable *self)
{
    if (self->held_up == NULL) self->turn_us = dice_below(&machine_at(self->machine)->dice, TURNS);
}

static void hold_up(cable *self, const char *bytes, size_t length)
{
    parcel *latest = wrap(bytes, length);
    begin_holding_up(self);
    if (self->held_up == NULL) self->held_up = latest;
    else self->held_up_last->next = latest;
    self->held_up_last = latest;
    come_later(self);
}

void cable_hold_up(cable *self, const char *bytes, size_t length)
{
    parcel *first = wrap(bytes, length);
    begin_holding_up(self);
    if (self->held_up == NULL) self->held_up_last = first;
    first->next = self->held_up;
    self->held_up = first;
    come_later(self);
}

static void arrive_at_node(void *subject, void *bytes, size_t length)
{
    cable *self = subject;
    if (opens_us(self) > now_us() || self->held_up != NULL) hold_up(self, bytes, length);
    else arrive(self, bytes, length);
}

size_t cable_send(cable *self, const char *bytes, size_t length)
{
    size_t sent = piece_of(self, length);
    event_at(arrival_us(self, &self->up_us), arrive_at_node, self, copy(bytes, sent), sent);
    return sent;
}

static void node_learns(void *subject, void *detail, size_t size)
{
    cable *self = subject;
    (void)detail;
    (void)size;
    if (self->is_served) trace("node: cable %d ends", self->machine);
    self->is_served = self->is_subscribed = false;
}

/* What is under way arrives before the reset, and may be read before it; a proxy keeps what it
 * has. */
static bool loses_by_reset(const cable *self)
{
    if (self->late_until_us > 0) return self->is_kept_by_kernel;
    return dice_below(&machine_at(self->machine)->dice, 2) == 0;
}

void cable_close(cable *self, bool is_abortive)
{
    self->is_closed = true;
    if (is_abortive) self->loses_requests |= loses_by_reset(self);
    network_broke(self->machine);
    /* An end that was cut off is not heard of: the node learns when the cut says. */
    if (!self->is_cut) event_at(arrival_us(self, &self->up_us), node_learns, self, NULL, 0);
}

static void connect_cable(void *subject, void *detail, size_t size)
{
    cable *self = subject;
    (void)detail;
    (void)size;
    if (self->is_closed || self->is_cut) return;
    bool is_accepted = node_is_up();
    self->state = is_accepted ? CABLE_OPEN : CABLE_REFUSED;
    self->is_served = is_accepted;
    self->is_far = is_accepted && node_leads_elsewhere(&machine_at(self->machine)->dice);
    self->is_unwelcome = is_accepted && !node_has_room();
    network_moved(self->machine);
    if (self->is_far) network_broke(self->machine);
    fibers_look(self->machine);
}

/* Both ends know that these are gone; what is still under way on them has them by pointer. */
static void forget_the_dead(void)
{
    int kept = 0;
    for (int i = 0; i < cable_count; i++)
        if (!cables[i]->is_closed || cables[i]->is_served) cables[kept++] = cables[i];
    cable_count = kept;
}

cable *cable_open(int number)
{
    if (cable_count >= CABLES_MANY) forget_the_dead();
    if (cable_count == CABLES_MOST) return NULL;
    cable *self = arena_take(sizeof *self);
    *self = (cable){.machine = number};
    cables[cable_count++] = self;
    event_at(now_us() + 2 * delay_us(self), connect_cable, self, NULL, 0);
    return self;
}

/* ---- Towards the machine --------------------------------------------------------------------- */

static void make_room(char **bytes, size_t *size, size_t kept, size_t wanted)
{
    if (wanted <= *size) return;
    size_t larger = *size == 0 ? 512 : *size;
    while (larger < wanted) larger *= 2;
    char *moved = arena_take(larger);
    if (kept > 0) memcpy(moved, *bytes, kept);
    *bytes = moved;
    *size = larger;
}

static void arrive_at_machine(void *subject, void *bytes, size_t length)
{
    cable *self = subject;
    if (self->is_closed || self->is_cut || self->is_reset) return;
    if (self->received_begin == self->received_end) self->received_begin = self->received_end = 0;
    make_room(&self->received, &self->received_size, self->received_end,
              self->received_end + length);
    memcpy(self->received + self->received_end, bytes, length);
    self->received_end += length;
    fibers_look(self->machine);
}

void cable_answer(cable *self, const char *bytes, size_t length)
{
    event_at(arrival_us(self, &self->down_us), arrive_at_machine, self, copy(bytes, length),
             length);
}

size_t cable_receive(cable *self, char *bytes, size_t size)
{
    size_t length = cable_readable(self);
    if (length > size) length = size;
    length = piece_of(self, length);
    memcpy(bytes, self->received + self->received_begin, length);
    self->received_begin += length;
    return length;
}

static void machine_learns_end(void *subject, void *detail, size_t size)
{
    cable *self = subject;
    (void)detail;
    (void)size;
    self->is_ended = true;
    network_broke(self->machine);
    fibers_look(self->machine);
}

static void machine_learns_reset(void *subject, void *detail, size_t size)
{
    cable *self = subject;
    (void)detail;
    (void)size;
    if (self->state == CABLE_CONNECTING) self->state = CABLE_REFUSED;
    self->is_reset = true;
    network_broke(self->machine);
    fibers_look(self->machine);
}

void cable_kill(cable *self)
{
    self->is_served = self->is_subscribed = false;
    network_broke(self->machine);
    event_at(arrival_us(self, &self->down_us), machine_learns_end, self, NULL, 0);
}

static void tell_later(cable *self, int64_t after_us, event_fn *learns)
{
    if (after_us != SIM_NEVER) event_at(now_us() + after_us, learns, self, NULL, 0);
}

void cable_drop(cable *self, int64_t machine_learns_us)
{
    self->is_served = self->is_subscribed = false;
    self->is_cut = true;
    network_broke(self->machine);
    tell_later(self, machine_learns_us, machine_learns_reset);
}

void cable_cut(cable *self, const cut *how)
{
    self->is_cut = true;
    self->loses_requests |= how->loses_requests; /* what is lost once has nothing behind it */
    network_broke(self->machine);
    tell_later(self, how->machine_learns_us, machine_learns_reset);
    tell_later(self, how->node_learns_us, node_learns);
}

void cable_put_off(cable *self, int64_t until_us, bool is_kept_by_kernel)
{
    self->is_cut = true;
    self->is_kept_by_kernel = is_kept_by_kernel;
    raise_to(&self->late_until_us, until_us);
    network_broke(self->machine);
    tell_later(self, until_us - now_us() + LEARNS_LATE_US, node_learns);
}
