/* SPDX-License-Identifier: MIT
 * An acquisition whose server answers anything, in any order with messages, losses and the clock.
 * The input is a schedule: each step is a byte for its kind, and what it needs. Whatever is
 * believed never outlives its ttl, whatever may be left on the server is owed, and every
 * acquisition ends, once. */

/* Parses: engine/acquire.c engine/request.c engine/recheck.c engine/lease.c */
#include "reply_tree.h"

#include "engine/acquire.h"
#include "wire/answer.h"
#include "wire/mode.h"

static const char hold_id[] = "client.1";
static const int64_t started_us = 1000000000, timeout_us = 2000000, recheck_cap_us = 30000000,
                     server_offset_us = 1800000000000000;

typedef struct world {
    acquire op;
    int64_t now_us;
    bool inbox_is_open;
    bool was_heard_of; /* something was asked, or granted out of the blue */
    bool may_have_us;  /* something was asked and never denied */
    bool has_ghost;    /* something was asked, and may still arrive: its connection was cut ... */
    int64_t ghost_us;  /* ... when the latest of those was sent */
} world;

static bool asks(const world *self)
{
    return self->op.state == ACQUIRE_TRYING || self->op.state == ACQUIRE_ASKING;
}

static bool is_under_way(const world *self)
{
    return asks(self) && self->op.asks.state == REQUEST_SENT;
}

static acquire_terms take_terms(source *from)
{
    static const int64_t ttls_ms[] = {1, 3, 50, 2000, 30000, LEASE_MOST_MS};
    uint8_t choice = take_byte(from);
    int64_t ttl_ms = ttls_ms[choice % 6];
    int64_t wait_ms = take_number(from);
    bool waits_for_ever = wait_ms < 0 || wait_ms > LEASE_MOST_MS;
    int64_t wait_us = waits_for_ever ? 0 : wait_ms * US_PER_MS,
            longest_us = wait_us > timeout_us ? wait_us : timeout_us;

    return (acquire_terms){.hold_id = hold_id,
                           .hold_id_length = sizeof hold_id - 1,
                           .ttl_ms = ttl_ms,
                           .claim_ms = choice & 64 ? (ttl_ms + 1) / 2 : ttl_ms,
                           .wait_until_us = waits_for_ever ? NEVER : started_us + wait_us,
                           .deadline_us = waits_for_ever ? NEVER : started_us + longest_us,
                           .timeout_us = timeout_us,
                           .may_wait = (choice & 128) != 0,
                           .queues_first = take_byte(from) & 1,
                           .kind = choice & 32 ? KIND_SHARED : KIND_EXCLUSIVE,
                           .seed = take_byte(from)};
}

/* ---- Steps: what drive.c does, and what happens to it ---- */

static void cut_question(world *self, redlock_status why)
{
    self->has_ghost = true;
    self->ghost_us = self->op.asks.sent_us;
    request_cut(&self->op.asks, why, "cut", self->now_us);
    acquire_asked(&self->op, self->now_us);
}

static void pass_time(world *self, int64_t span_us)
{
    self->now_us += span_us;
    acquire_tick(&self->op, self->now_us);
    if (!asks(self)) return;
    if (is_under_way(self) && self->now_us >= request_attempt_deadline_us(&self->op.asks))
        cut_question(self, REDLOCK_ERR_TIMEOUT);
    request_tick(&self->op.asks, self->now_us);
    acquire_asked(&self->op, self->now_us);
}

/* An inbox that nobody hears is closed: see inbox_distrust. */
static void obey_distrust(world *self)
{
    if (!self->op.distrusts_inbox) return;
    self->op.distrusts_inbox = self->inbox_is_open = false;
    acquire_inbox_lost(&self->op, REDLOCK_ERR_UNAVAILABLE, "unheard", self->now_us);
    acquire_asked(&self->op, self->now_us);
}

static void send_question(world *self)
{
    obey_distrust(self);
    if (!asks(self) || self->op.asks.state != REQUEST_READY) return;
    self->was_heard_of = self->may_have_us = true;
    request_sent(&self->op.asks, self->now_us);
    acquire_asked(&self->op, self->now_us);
}

/* A deadlock leaves a place in the queue as it was. */
static bool denies(const world *self, const answer *from)
{
    if (from->kind != ANSWER_CODE) return false;
    return (from->code == ACQUIRE_BUSY && !acquire_queues(&self->op)) ||
           from->code == ACQUIRE_FULL || (from->code == ACQUIRE_DEADLOCK && !self->op.is_queued);
}

static void be_answered(world *self, const answer *from)
{
    if (!is_under_way(self)) return;
    if (denies(self, from)) self->may_have_us = self->has_ghost;
    request_answered(&self->op.asks, from, self->now_us);
    acquire_asked(&self->op, self->now_us);
}

static void be_answered_a_tree(world *self, source *from)
{
    reply tree;
    answer read;

    tree_build(&tree, from, 0);
    answer_read(&read, &tree);
    tree_free(&tree);
    be_answered(self, &read);
}

/* Half of the time the numbers are of the shape that our script gives. */
static void be_answered_a_code(world *self, source *from)
{
    answer read = {.kind = ANSWER_CODE,
                   .code = take_byte(from) % (CODE_MORE - CODE_FOREIGN + 2) + CODE_FOREIGN};
    bool is_granted = read.code == ACQUIRE_GRANTED;

    for (int i = 0; i < ANSWER_VALUES; i++) read.value[i] = take_number(from);
    uint8_t shape = take_byte(from);
    read.server_us = shape & 1 ? server_offset_us + self->now_us : take_number(from);
    if (shape & 2) read.value[1] = is_granted ? 1 + (shape & 4) / 4 : 1 + shape;
    if (shape & 8) read.value[3] = server_offset_us + self->now_us;
    if (shape & 16) read.value[2] = is_granted ? 5000 : self->op.terms.claim_ms;
    be_answered(self, &read);
}

static void be_cut(world *self, source *from)
{
    static const redlock_status whys[] = {REDLOCK_ERR_CONNECT, REDLOCK_ERR_TIMEOUT,
                                          REDLOCK_ERR_UNAVAILABLE, REDLOCK_ERR_DENIED,
                                          REDLOCK_ERR_MEMORY};
    redlock_status why = whys[take_byte(from) % 5];

    if (is_under_way(self)) {
        cut_question(self, why);
    } else if (asks(self) && self->op.asks.state == REQUEST_READY) {
        request_refused(&self->op.asks, why, NULL, self->now_us);
        acquire_asked(&self->op, self->now_us);
    }
}

static void turn_inbox(world *self, source *from)
{
    static const redlock_status whys[] = {REDLOCK_ERR_CONNECT, REDLOCK_ERR_DENIED,
                                          REDLOCK_ERR_UNAVAILABLE};
    uint8_t choice = take_byte(from);

    self->inbox_is_open = !self->inbox_is_open && choice < 192;
    if (self->inbox_is_open) acquire_inbox_opened(&self->op, self->now_us);
    else acquire_inbox_lost(&self->op, whys[choice % 3], "gone", self->now_us);
}

static void hear_any_message(world *self, source *from)
{
    size_t length;
    char *payload = take_text(from, &length);
    grant read;

    self->was_heard_of = true;
    if (grant_read(&read, payload, length)) acquire_granted(&self->op, &read, self->now_us);
    free(payload);
}

static void hear_a_grant(world *self, source *from)
{
    grant message = {.hold_id = hold_id, .hold_id_length = sizeof hold_id - 1};

    message.fence = (uint64_t)take_number(from);
    message.lease_ms = take_number(from);
    message.server_us = take_number(from);
    /* grant_read says no to what is outside of these. */
    if (message.fence == 0 || message.fence > (uint64_t)FENCE_MOST) return;
    if (message.lease_ms <= 0 || message.lease_ms > SPAN_MOST) return;
    if (message.server_us <= 0 || message.server_us > NUMBER_MOST) return;
    if (take_byte(from) & 1) message.server_us = server_offset_us + self->now_us;
    self->was_heard_of = true;
    acquire_granted(&self->op, &message, self->now_us);
}

static void step(world *self, source *from)
{
    switch (take_byte(from) % 11) {
    case 0: pass_time(self, take_byte(from)); break;
    case 1: pass_time(self, take_byte(from) * INT64_C(30000)); break;
    case 2: pass_time(self, take_number(from) & INT64_C(0xffffffff)); break;
    case 3: send_question(self); break;
    case 4: be_answered_a_tree(self, from); break;
    case 5: be_answered_a_code(self, from); break;
    case 6: be_cut(self, from); break;
    case 7: turn_inbox(self, from); break;
    case 8: hear_any_message(self, from); break;
    case 9: hear_a_grant(self, from); break;
    case 10:
        acquire_stop(&self->op, take_byte(from) & 1 ? REDLOCK_CANCELLED : REDLOCK_ERR_CLOSED,
                     self->now_us);
    }
}

/* ---- What must be so ---- */

static void check_lock(const world *self)
{
    const acquire *op = &self->op;

    must(!op->is_owed);
    must(op->held.fence > 0 && op->held.fence <= (uint64_t)FENCE_MOST);
    must(op->held.kind == KIND_EXCLUSIVE || op->held.kind == KIND_SHARED);
    must(op->held.lease_ms > 0 && op->held.lease_ms <= op->terms.ttl_ms);
    must(op->valid_until_us > self->now_us &&
         op->valid_until_us < self->now_us + op->terms.ttl_ms * US_PER_MS);
}

/* What may still be carried out is known by when it was sent, and what was never sent is not. */
static void check_unanswered(const world *self)
{
    int64_t unanswered_us = acquire_unanswered_us(&self->op);

    if (self->has_ghost) must(unanswered_us >= self->ghost_us);
    else if (!is_under_way(self) && self->op.state != ACQUIRE_DONE) must(unanswered_us == 0);
    if (unanswered_us > 0) must(unanswered_us <= self->now_us && self->was_heard_of);
}

static void check_end(const world *self)
{
    const acquire *op = &self->op;

    check_unanswered(self);
    if (op->status == REDLOCK_OK) check_lock(self);
    else if (self->may_have_us) must(op->is_owed);
    if (op->is_owed) must(self->was_heard_of);
    must(acquire_wake_us(op) == NEVER && !acquire_wants_inbox(op) && !acquire_is_waiting(op));
}

/* The cap of a re-check, or until the server has forgotten a lease that came too late. */
static int64_t longest_recheck_us(const acquire *op)
{
    int64_t ttl_us = op->terms.ttl_ms * US_PER_MS;

    return ttl_us > recheck_cap_us ? ttl_us : recheck_cap_us;
}

static void check_going_on(const world *self)
{
    const acquire *op = &self->op;

    check_unanswered(self);
    must(acquire_wake_us(op) <=
         (op->was_answered ? op->terms.wait_until_us : op->terms.deadline_us));
    must(op->arrival_us == 0 || (op->arrival_us >= READER_BAND && op->arrival_us < WRITER_BAND));
    must(acquire_is_waiting(op) == (op->state == ACQUIRE_WAITING));
    must(acquire_queues(op) == (op->state == ACQUIRE_ASKING));
    if (op->state != ACQUIRE_TRYING) must(op->terms.may_wait && acquire_wants_inbox(op));
    if (op->state == ACQUIRE_WAITING) must(op->recheck_us <= self->now_us + longest_recheck_us(op));
    if (op->state == ACQUIRE_ASKING && !self->inbox_is_open) must(op->must_ask_again);
}

/* At its deadline it ends, when no answer comes any more. */
static void let_it_end(world *self)
{
    int64_t left_us = self->op.terms.deadline_us - self->now_us;

    if (self->op.terms.deadline_us == NEVER)
        acquire_stop(&self->op, REDLOCK_CANCELLED, self->now_us);
    pass_time(self, left_us > 0 && left_us < LEASE_MOST_MS * 2 * US_PER_MS ? left_us : 0);
    if (self->op.state != ACQUIRE_DONE) pass_time(self, 0); /* a grant was at hand, but stale */
    must(self->op.state == ACQUIRE_DONE);
    check_end(self);
}

/* Whatever still happens to it changes nothing. */
static void check_stays_ended(world *self, source *from)
{
    acquire ended = self->op;

    while (from->left > 0) step(self, from);
    must(self->op.state == ACQUIRE_DONE && self->op.status == ended.status &&
         self->op.is_owed == ended.is_owed);
    must(self->op.held.fence == ended.held.fence && self->op.held.kind == ended.held.kind);
    must(self->op.valid_until_us == ended.valid_until_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    source from = {data, size};
    acquire_terms terms = take_terms(&from);
    world self = {.now_us = started_us, .inbox_is_open = take_byte(&from) & 1};

    acquire_begin(&self.op, &terms, self.inbox_is_open, self.now_us);
    while (self.op.state != ACQUIRE_DONE && from.left > 0) {
        step(&self, &from);
        if (self.op.state == ACQUIRE_DONE) check_end(&self);
        else check_going_on(&self);
    }
    if (self.op.state != ACQUIRE_DONE) let_it_end(&self);
    check_stays_ended(&self, &from);
    return 0;
}

static const char *const parts[] = {
    "\x84\x64\x01\x01\x01\x03",
    "\x04\xff\x01\x01\x01\x03",
    "\x03\x05\x03\x87\x01\x64\x64\x19",
    "\x03\x05\x03\x87\x02\xc0\x1e\x64\x1f",
    "\x03\x05\x04\x64\x01\x64\x87\x19",
    "\x03\x05\x04\xc0\x1e\x01\x64\x87\x01",
    "\x03\x05\x02\xc0\x1e\x01\x01\x01\x01",
    "\x03\x05\x07\xc0\x1e\x01\x01\x01\x01",
    "\x03\x05\x09\x01\x01\x01\x01\x01",
    "\x03\x05\x05\x01\x01\x01\x01\x01",
    "\x03\x05\x06\x01\x01\x01\x01\x01",
    "\x03\x05\x08\x01\x01\x01\x01\x01",
    "\x03\x05\x00\x01\x01\x01\x01\x01",
    "\x82\xc0\x1e\x01\x03\x01\x03\x05\x07\x64\x01\x01\x01\x01\x03\x07\x01\x03\x05\x07"
    "\x64\x01\x01\x01\x01\x02\xdf\xff\x03\x07\x01\x03",
    "\x06\x01",
    "\x07\x01",
    "\x07\xc1",
    "\x09\x11\x64\x01\x01",
    "\x04\x04\x08NOSCRIPT",
    "\x04\x04\x07LOADING",
    "\x04\x04\x06NOPERM",
    "\x01\x01",
    "\x01\xff",
    "\x02\x91",
    "\x08\x33grant 17 5000 1800000001000000 - client.1 h:1:n key"};
#include "driver.h"
