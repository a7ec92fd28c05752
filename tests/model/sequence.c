/* SPDX-License-Identifier: MIT
 * Makes up the calls. Much is small and collides on purpose: leases of a few ms, equal clocks, few
 * owners.
 * Rule: pure. */
#include "model/sequence.h"

#include <stdio.h>
#include <string.h>

#define COUNT_OF(array) ((int64_t)(sizeof(array) / sizeof *(array)))

/* ---- Who takes part ---------------------------------------------------------------------------*/

static const char *const all_modes[] = {"x",    "x",    "xf",   "xf",  "xw",  "s",
                                        "s",    "sf",   "sf",   "sw",  "s/1", "s/2",
                                        "sf/2", "sf/3", "sw/2", "x/2", "xf/1"};

static void make_party(sequence *self, int number)
{
    static const char *const shapes[] = {"inbox:*.", "inbox:*.", "inbox:{*}.", "overheard:*."};
    party *it = &self->parties[number];
    snprintf(it->id, sizeof it->id, "s%dk%d", (int)(self->seed % BATCH), number);
    const char *shape = shapes[dice_below(&self->chance, COUNT_OF(shapes))];
    const char *end = strchr(shape, '*');
    for (int i = 0; i < 2; i++)
        snprintf(it->channels[i], sizeof it->channels[i], "%.*ss%dk%d%s%d", (int)(end - shape),
                 shape, (int)(self->seed % BATCH), number, end + 1, i + 1);
}

/* A fresh acquisition in the place of another. */
static void make_hold(sequence *self, int number, int at)
{
    static const char *const owners[] = {"-", "-", "-", "@a", "@b"};
    static const int claims[] = {1, 5, 100, 2000, 2000, 30000};
    hold *it = &self->holds[number][at];
    const party by = self->parties[number];
    *it = (hold){.fence = 0};
    snprintf(it->holder, sizeof it->holder, "%s %s.%d h:1:%d",
             owners[dice_below(&self->chance, COUNT_OF(owners))], by.id, self->holds_made++,
             number);
    snprintf(it->mode, sizeof it->mode, "%s",
             self->modes[dice_below(&self->chance, COUNT_OF(self->modes))]);
    snprintf(it->inbox, sizeof it->inbox, "%d %s",
             claims[dice_below(&self->chance, COUNT_OF(claims))], by.channels[0]);
}

void sequence_begin(sequence *self, uint64_t seed)
{
    static const limits large = {.portion = 1000, .page = 100, .buried = 1000, .queue = 65536};
    static const limits small = {.portion = 2, .page = 2, .buried = 2, .queue = 5};
    static const int lingers[] = {0, 0, 1, 500, 5000};
    *self = (sequence){.seed = seed, .chance = dice_for(seed, 1), .is_small = seed % 2 == 1};
    self->model.bounds = self->is_small ? &small : &large;
    self->expires_ms = -1;
    snprintf(self->key, sizeof self->key, "redlock:{job%d}", (int)(seed % BATCH));
    self->party_count = (int)dice_between(&self->chance, 3, CLIENTS_MOST);
    self->length = (int)dice_between(&self->chance, STEPS_LEAST, STEPS_MOST);
    self->linger_ms = lingers[dice_below(&self->chance, COUNT_OF(lingers))];
    self->grace_ms = dice_spread(&self->chance, 0, 5000);
    for (int i = 0; i < COUNT_OF(self->modes); i++)
        self->modes[i] = all_modes[dice_below(&self->chance, COUNT_OF(all_modes))];
    for (int i = 0; i < self->party_count; i++) {
        make_party(self, i);
        for (int j = 0; j < HOLDS_EACH; j++) make_hold(self, i, j);
    }
}

void sequence_rewind(sequence *self)
{
    erase(&self->model);
    self->expires_ms = -1;
    self->at = self->heard_count = 0;
    self->has_failed = false;
    for (int i = 0; i < self->party_count; i++)
        memset(self->parties[i].is_heard, 0, sizeof self->parties[i].is_heard);
}

int sequence_number_of(const sequence *self, const char *channel)
{
    for (int i = 0; i < 2 * self->party_count; i++)
        if (strcmp(self->parties[i % self->party_count].channels[i / self->party_count], channel) ==
            0)
            return i;
    return -1;
}

bool sequence_is_heard(void *self, const char *channel)
{
    const sequence *of = self;
    int number = sequence_number_of(of, channel);
    return number >= 0 && of->parties[number % of->party_count].is_heard[number / of->party_count];
}

/* ---- The clock --------------------------------------------------------------------------------*/

int64_t clock_step_us(dice *chance, bool is_calm)
{
    int64_t which = dice_below(chance, 100);
    if (which < 8) return 0;
    if (which < (is_calm ? 85 : 50)) return dice_between(chance, 1, 900);
    if (which < (is_calm ? 97 : 88)) return dice_spread(chance, 1, 10000) * 1000;
    if (which < (is_calm ? 98 : 92)) return dice_between(chance, 1, 10000000);
    return -dice_spread(chance, 1, 10000) * 1000;
}

/* ---- What is asked ----------------------------------------------------------------------------*/

static int64_t some_arrival(sequence *self, const hold *it, int64_t now_us)
{
    int64_t which = dice_below(&self->chance, 100);
    if (which < 50) return 0;
    if (which < 85) return it->arrival_us;
    if (which < 86) return INT64_C(99999999999999);
    return now_us +
           dice_spread(&self->chance, 1, 20000000) * (dice_chance(&self->chance, 700) ? -1 : 1);
}

static int64_t some_hint(sequence *self, int64_t now_us)
{
    int64_t which = dice_below(&self->chance, 100);
    if (which < 75) return 0;
    if (which < 76) return INT64_C(5000000000000001);
    if (which < 85) return self->model.fence + dice_below(&self->chance, 3);
    return now_us + dice_spread(&self->chance, 1, 2000000);
}

/* Nearly always the last one. */
static int64_t some_known_fence(sequence *self, const hold *it)
{
    int64_t which = dice_below(&self->chance, 100);
    if (which < 70) return self->model.fence;
    if (which < 90) return it->fence;
    if (which < 95) return self->model.fence + 1;
    return 0;
}

static void ask_acquire(sequence *self, call *out, const hold *it, int64_t now_us)
{
    out->script = SCRIPT_ACQUIRE;
    out->arrival_us = some_arrival(self, it, now_us);
    out->fence = some_hint(self, now_us);
    if (dice_chance(&self->chance, 5)) out->ttl_ms = 0;
    if (dice_chance(&self->chance, 200)) out->inbox[0] = '\0';
}

static void ask_to_leave(sequence *self, call *out, enum script_id id)
{
    out->script = id;
    out->is_plain = dice_chance(&self->chance, 700);
    if (dice_chance(&self->chance, 300)) out->burial_ms = dice_spread(&self->chance, 1, 20000);
    if (id == SCRIPT_RELEASE && dice_chance(&self->chance, 300))
        out->fence = self->model.fence + dice_spread(&self->chance, 0, 3000000);
    if (id == SCRIPT_CANCEL && out->is_plain) out->burial_ms = 0;
}

static void ask_hold(sequence *self, call *out, const hold *it, enum script_id id)
{
    out->script = id;
    out->fence = some_known_fence(self, it);
    if (id == SCRIPT_RENEW) out->fence = dice_chance(&self->chance, 200) ? out->fence + 1000000 : 0;
}

/* Whoever holds or waits, most of the time. */
static hold *choose_hold(sequence *self)
{
    int by = (int)dice_below(&self->chance, self->party_count),
        at = (int)dice_below(&self->chance, HOLDS_EACH);
    if (dice_chance(&self->chance, 20)) make_hold(self, by, at);
    return &self->holds[by][at];
}

static hold *choose_holder(sequence *self)
{
    if (self->model.holder_count == 0 || dice_chance(&self->chance, 150)) return choose_hold(self);
    const char *member =
        self->model.holders[dice_below(&self->chance, self->model.holder_count)].who.member;
    for (int i = 0; i < self->party_count; i++)
        for (int j = 0; j < HOLDS_EACH; j++)
            if (strcmp(self->holds[i][j].holder, member) == 0) return &self->holds[i][j];
    return choose_hold(self);
}

static call call_for(sequence *self, const hold *it)
{
    call out = {.ttl_ms = dice_spread(&self->chance, 1, 30000),
                .grace_ms = self->grace_ms,
                .linger_ms = self->linger_ms};
    memcpy(out.holder, it->holder, sizeof out.holder);
    memcpy(out.mode, it->mode, sizeof out.mode);
    memcpy(out.inbox, it->inbox, sizeof out.inbox);
    /* By its new channel. */
    if (dice_chance(&self->chance, 80)) out.inbox[strlen(out.inbox) - 1] = '2';
    return out;
}

static call make_call(sequence *self, int64_t now_us)
{
    int64_t which = dice_below(&self->chance, 100);
    const hold *it = which < 45 ? choose_hold(self) : choose_holder(self);
    call out = call_for(self, it);
    if (which < 45) ask_acquire(self, &out, it, now_us);
    else if (which < 64) ask_to_leave(self, &out, SCRIPT_RELEASE);
    else if (which < 74) {
        it = dice_chance(&self->chance, 700) ? choose_hold(self) : it;
        out = call_for(self, it);
        ask_to_leave(self, &out, SCRIPT_CANCEL);
    } else if (which < 80) ask_hold(self, &out, it, SCRIPT_RENEW);
    else if (which < 87) ask_hold(self, &out, it, SCRIPT_UPGRADE);
    else if (which < 94) ask_hold(self, &out, it, SCRIPT_DOWNGRADE);
    else if (which < 97) ask_hold(self, &out, it, SCRIPT_FORCE);
    else out.script = SCRIPT_INSPECT;
    out.nonce = ++self->nonce;
    return out;
}

/* More were left: whoever is told so asks again at once. Others ask again, too, also very late. */
static bool repeats(sequence *self, call *out)
{
    if (self->at == 0) return false;
    const step *last = &self->steps[self->at - 1];
    int from = self->at - 1;
    if (!dice_chance(&self->chance, last->got.values[0] == 7 ? 800 : 50)) {
        if (!dice_chance(&self->chance, 60)) return false;
        from = (int)dice_below(&self->chance, self->at);
    }
    *out = self->steps[from].asked;
    return true;
}

void sequence_plan(sequence *self, int64_t now_us)
{
    step *out = &self->steps[self->at];
    *out = (step){.now_us = now_us, .toggled = -1};
    /* At first most begin to listen. */
    int permille = self->at < self->party_count ? 900 : 80;
    if (dice_chance(&self->chance, permille))
        out->toggled = self->at < self->party_count
                           ? self->at
                           : (int)dice_below(&self->chance, 2 * self->party_count);
    out->is_flushed = dice_chance(&self->chance, 10);
    if (!repeats(self, &out->asked)) out->asked = make_call(self, now_us);
}

void sequence_learn(sequence *self, const step *done)
{
    for (int i = 0; i < self->party_count * HOLDS_EACH; i++) {
        hold *it = &self->holds[i / HOLDS_EACH][i % HOLDS_EACH];
        if (strcmp(it->holder, done->asked.holder) != 0) continue;
        if (done->asked.script == SCRIPT_ACQUIRE && done->got.values[0] == 2)
            it->arrival_us = done->got.values[6];
        if (done->got.count == 6) it->fence = done->got.values[3];
        bool is_over = done->asked.script == SCRIPT_RELEASE || done->asked.script == SCRIPT_CANCEL;
        if (is_over && dice_chance(&self->chance, 400))
            make_hold(self, i / HOLDS_EACH, i % HOLDS_EACH);
    }
}
