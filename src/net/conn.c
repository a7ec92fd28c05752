/* SPDX-License-Identifier: MIT
 * The life of a connection and of its calls. The state is changed by conn_move alone, and every way
 * to CLOSED is conn_close. */
#include "net/conn.h"

#include <assert.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/conn_internal.h"
#include "wire/answer.h"
#include "wire/text.h"

enum {
    BACKOFF_FIRST_US = 50 * 1000,
    BACKOFF_MOST_US = 2000 * 1000,
    BACKOFF_DOUBLINGS = 6, /* beyond it the most is reached */
    REOPEN_SPREAD_US = 10 * 1000,
    HURRY_US = 20 * 1000
};

/* ---- States ---------------------------------------------------------------------------------- */

#define TO(state) (1u << CONN_##state)

static const unsigned moves[] = {
    [CONN_CLOSED] = TO(RESOLVING) | TO(CONNECTING),
    [CONN_RESOLVING] = TO(CONNECTING) | TO(CLOSED),
    [CONN_CONNECTING] = TO(SECURING) | TO(GREETING) | TO(OPEN) | TO(CLOSED),
    [CONN_SECURING] = TO(GREETING) | TO(OPEN) | TO(CLOSED),
    [CONN_GREETING] = TO(OPEN) | TO(CLOSED),
    [CONN_OPEN] = TO(CLOSED),
};

static const char *const state_names[] = {
    [CONN_CLOSED] = "closed",     [CONN_RESOLVING] = "resolving", [CONN_CONNECTING] = "connecting",
    [CONN_SECURING] = "securing", [CONN_GREETING] = "greeting",   [CONN_OPEN] = "open",
};

enum { NAME_SIZE = 160 };

/* Of the server, for people. */
static const char *name_server(const conn *self, char out[NAME_SIZE])
{
    const endpoint *server = self->to->server;
    char host[NAME_SIZE - 16];
    text_escape(host, sizeof host, server->host, strlen(server->host));
    if (server->is_unix) snprintf(out, NAME_SIZE, "%s", host);
    else snprintf(out, NAME_SIZE, "%s port %u", host, (unsigned)server->port);
    return out;
}

static void trace(const conn *self, enum conn_state to)
{
    const event_log *log = self->config->log;
    if (log->level != REDLOCK_LOG_DEBUG) return;
    char name[NAME_SIZE];
    const char *why = to == CONN_CLOSED ? self->failure_detail.text : "";
    log_line(log, REDLOCK_LOG_DEBUG, "connection to %s: %s, was %s%s%s", name_server(self, name),
             state_names[to], state_names[self->state], why[0] != '\0' ? ": " : "", why);
}

/* An outage begins with a failure, and ends with a good answer. */
static void note_failure(const conn *self, int64_t now_us)
{
    char name[NAME_SIZE];
    outage_note_failure(&self->to->outage, self->config->log, name_server(self, name),
                        self->failure_detail.text, now_us);
}

static void note_service(conn *self, int64_t now_us)
{
    char name[NAME_SIZE];
    if (!self->has_served) conn_count(&self->to->served);
    self->has_served = true;
    self->failures = 0;
    if (!outage_is_on(&self->to->outage)) return;
    outage_end(&self->to->outage, self->config->log, name_server(self, name), now_us);
}

void conn_move(conn *self, enum conn_state to)
{
    (void)moves; /* without assertions nothing else reads it */
    assert((moves[self->state] & (1u << to)) != 0);
    trace(self, to);
    self->state = to;
}

/* ---- Life ------------------------------------------------------------------------------------ */

void conn_init(conn *self, const conn_config *config, node *to)
{
    *self = (conn){.config = config, .to = to, .fd = -1, .greeting.is_secret = true};
    /* Connections that share a configuration must not share their jitter. */
    uint64_t mixed = (config->jitter_seed + (uint64_t)(uintptr_t)self) *
                     UINT64_C(0x9e3779b97f4a7c15);
    self->jitter = (uint32_t)(mixed >> 32) | 1u;
}

void conn_destroy(conn *self)
{
    conn_close(self, REDLOCK_OK, NULL, 0);
    codec_reader_free(self->reader);
    outbox_free(&self->greeting, self->config->memory);
    outbox_free(&self->out, self->config->memory);
    self->reader = NULL;
}

void conn_open(conn *self, int64_t now_us)
{
    if (self->state != CONN_CLOSED) return;
    self->state_deadline_us = now_us + self->config->connect_timeout_us;
    self->address_index = 0;
    self->tls_wants_write = false;
    self->has_received = false;
    self->has_answered = false;
    self->has_served = false;
    self->is_misplaced = false;
    self->is_crowded = false;
    self->greeting_due = 0;
    self->greets_again = self->has_greeted_again = false;
    conn_start_connecting(self, now_us);
}

void conn_opened(conn *self, int64_t now_us)
{
    assert(self->first == NULL || self->last != NULL);
    conn_move(self, CONN_OPEN);
    if (self->config->counters != NULL) conn_count(&self->config->counters->connections);
    conn_remember_address(self);
    conn_flush(self, now_us);
}

/* Uniform in [0, bound), by xorshift. */
static int64_t spread_below(conn *self, int64_t bound)
{
    uint32_t x = self->jitter;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    self->jitter = x;
    return (int64_t)(((uint64_t)x * (uint64_t)bound) >> 32);
}

/* So many connections to that server were served: whoever only accepts is no news. */
static uint64_t news(const conn *self)
{
    return atomic_load_explicit(&self->to->served, memory_order_relaxed);
}

int64_t conn_retry_us(const conn *self)
{
    assert(self->state == CONN_CLOSED);
    return news(self) == self->news_seen ? self->retry_at_us : INT64_MIN;
}

bool conn_may_hurry(const conn *self, int64_t now_us)
{
    int64_t tried_us = self->state_deadline_us - self->config->connect_timeout_us;
    return now_us >= tried_us + HURRY_US;
}

/* A connection that served us is opened again at once, but for a spread, since its server's other
 * clients lost theirs at the same instant. One that did not, even if it was accepted, backs off. */
static void schedule_retry(conn *self, int64_t now_us)
{
    self->news_seen = news(self);
    if (self->has_served) {
        self->retry_at_us = now_us + spread_below(self, REOPEN_SPREAD_US);
        return;
    }
    unsigned doublings = self->failures < BACKOFF_DOUBLINGS ? self->failures : BACKOFF_DOUBLINGS;
    int64_t bound = (int64_t)BACKOFF_FIRST_US << doublings;
    if (bound > BACKOFF_MOST_US) bound = BACKOFF_MOST_US;
    self->retry_at_us = now_us + spread_below(self, bound);
    self->failures++;
}

void conn_drop_descriptor(conn *self)
{
    int fd = self->lookup != NULL ? lookup_fd(self->lookup) : self->fd;
    if (fd >= 0 && self->on_closing != NULL) self->on_closing(self->closing_arg, self, fd);
    lookup_end(self->lookup);
    self->lookup = NULL;
    if (self->fd >= 0) close(self->fd);
    self->fd = -1;
}

static void give_socket_back(conn *self)
{
    tls_session_free(self->tls);
    self->tls = NULL;
    conn_drop_descriptor(self);
    outbox_free(&self->greeting, self->config->memory);
    outbox_clear(&self->out, self->config->memory);
}

/* To whom it matters, in portions: it may be ten thousand. */
static void tell_cut(conn *self, int most, int64_t now_us)
{
    for (int n = 0; n < most && self->cut != NULL; n++) {
        call *head = self->cut;
        self->cut = head->next;
        head->next = NULL;
        head->answered(head, NULL, now_us);
    }
}

static void cut_calls(conn *self)
{
    if (self->first == NULL) return;
    if (self->cut == NULL) self->cut = self->first;
    else self->cut_last->next = self->first;
    self->cut_last = self->last;
    self->first = self->last = NULL;
}

/* What was asked here is asked again elsewhere, or undone: it must not be carried out after
 * that. */
static bool leaves_something_behind(const conn *self, redlock_status why)
{
    if (self->state != CONN_OPEN) return false;
    bool is_in_doubt = self->first != NULL && (why != REDLOCK_OK || conn_is_repeating(self));
    return is_in_doubt || conn_has_unsent(self);
}

void conn_close(conn *self, redlock_status why, const char *detail, int64_t now_us)
{
    bool is_by_owner = why == REDLOCK_OK;
    if (self->state == CONN_CLOSED) {
        if (is_by_owner) tell_cut(self, INT_MAX, now_us);
        return;
    }
    /* Copied first: it may be the TLS session's. */
    redlock_detail copy = {""};
    if (detail != NULL) snprintf(copy.text, sizeof copy.text, "%s", detail);
    self->failure = why;
    self->failure_detail = copy;
    if (is_by_owner) self->retry_at_us = now_us;
    else schedule_retry(self, now_us);
    if (!is_by_owner) note_failure(self, now_us);
    bool is_loss = !is_by_owner && self->state == CONN_OPEN;
    if (is_loss && self->config->counters != NULL)
        conn_count(&self->config->counters->connections_lost);

    if (leaves_something_behind(self, why)) conn_drop_undelivered(self);
    give_socket_back(self);
    cut_calls(self);
    self->generation++;
    conn_move(self, CONN_CLOSED);
    /* The answers may open it again. */
    tell_cut(self, is_by_owner ? INT_MAX : CONN_CUT_AT_ONCE, now_us);
}

/* The kernel sends the oldest again by itself; the answer to that would meet a closed socket, and
 * the reset which that answers with takes away what is behind. So a path that lost something takes
 * no undo. */
bool conn_close_behind(conn *self, const command *undo, int64_t now_us)
{
    assert(undo->argc > 0);
    unsigned generation = self->generation;
    bool may_write = self->state == CONN_OPEN && !conn_is_repeating(self);
    bool is_written = may_write && codec_write(&self->out, self->config->memory, undo);
    if (is_written) conn_transmit(self, now_us);
    if (self->generation != generation) return false; /* it broke on the way */
    bool has_left = is_written && !conn_has_unsent(self);
    if (has_left && self->config->counters != NULL) conn_count(&self->config->counters->commands);
    if (!has_left && self->state == CONN_OPEN) conn_drop_undelivered(self);
    conn_close(self, REDLOCK_OK, NULL, now_us);
    return has_left;
}

void conn_fail_system(conn *self, redlock_status why, const char *what, int error, int64_t now_us)
{
    char reason[96], detail[128];
#ifdef __GLIBC__
    const char *text = strerror_r(error, reason, sizeof reason);
#else
    const char *text = strerror_r(error, reason, sizeof reason) == 0 ? reason : "unknown error";
#endif
    snprintf(detail, sizeof detail, "%s: %s", what, text);
    conn_close(self, why, detail, now_us);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

bool conn_submit(conn *self, call *submitted, const command *cmd, int64_t now_us)
{
    if (self->state == CONN_CLOSED) return false;
    if (!codec_write(&self->out, self->config->memory, cmd)) return false;
    /* So that a queue that nobody flushed is polled for. */
    self->tls_wants_write = self->tls != NULL;
    submitted->next = NULL;
    submitted->has_forerunner = false;
    submitted->sent_us = now_us;
    bool is_soonest = self->first == NULL || submitted->deadline_us < self->silent_us;
    if (is_soonest) self->silent_us = submitted->deadline_us;
    if (self->last == NULL) self->first = submitted;
    else self->last->next = submitted;
    self->last = submitted;
    if (self->config->counters != NULL) conn_count(&self->config->counters->commands);
    return true;
}

bool conn_submit_behind(conn *self, call *submitted, const command *first, const command *cmd,
                        int64_t now_us)
{
    if (self->state == CONN_CLOSED) return false;
    if (!codec_write(&self->out, self->config->memory, first)) return false;
    if (!conn_submit(self, submitted, cmd, now_us)) {
        conn_close(self, REDLOCK_ERR_MEMORY, "out of memory", now_us); /* with half of it */
        return false;
    }
    submitted->has_forerunner = true;
    if (self->config->counters != NULL) conn_count(&self->config->counters->commands);
    return true;
}

void conn_flush(conn *self, int64_t now_us)
{
    if (self->state == CONN_OPEN && conn_has_unsent(self)) conn_transmit(self, now_us);
}

static bool has_text(const reply *from, const char *text)
{
    return from->kind == REPLY_STRING && from->length == strlen(text) &&
           memcmp(from->text, text, from->length) == 0;
}

static bool is_push(const reply *from, const char *kind)
{
    return from->kind == REPLY_ARRAY && from->count == 3 && has_text(&from->items[0], kind) &&
           from->items[1].kind == REPLY_STRING;
}

/* What a channel publishes to its subscribers, in RESP2. */
static bool is_message(const reply *from)
{
    return (is_push(from, "message") || is_push(from, "smessage")) &&
           from->items[2].kind == REPLY_STRING;
}

/* True: it was what nobody asked for, and is expected all the same. */
static bool was_pushed(conn *self, const reply *from, int64_t now_us)
{
    if (self->on_message == NULL) return false;
    if (is_message(from)) {
        self->on_message(self, &from->items[1], &from->items[2], now_us);
        return true;
    }
    if (!is_push(from, "sunsubscribe")) return false;
    self->on_unsubscribed(self, &from->items[1], now_us);
    return true;
}

/* The words are kept for when it is closed, a little later. */
static void note_error(conn *self, const reply *from)
{
    if (answer_error_kind(from->text, from->length) != ANSWER_MISPLACED) return;
    self->is_misplaced = true;
    text_escape(self->failure_detail.text, sizeof self->failure_detail.text, from->text,
                from->length);
}

bool conn_closed_as_misplaced(conn *self, int64_t now_us)
{
    if (!self->is_misplaced) return false;
    conn_close(self, REDLOCK_ERR_UNAVAILABLE, self->failure_detail.text, now_us);
    return true;
}

void conn_answer_first(conn *self, const reply *from, int64_t now_us)
{
    call *head = self->first;
    assert(head != NULL);
    self->first = head->next;
    if (self->first == NULL) self->last = NULL;
    head->next = NULL;
    head->answered(head, from, now_us);
}

void conn_accept(conn *self, const reply *from, int64_t now_us)
{
    assert(self->state == CONN_GREETING || self->state == CONN_OPEN);
    if (self->state == CONN_GREETING) {
        conn_greeting_answered(self, from, now_us);
        return;
    }
    if (!self->has_answered && conn_closed_by_refusal(self, from, now_us)) return;
    if (was_pushed(self, from, now_us)) return;
    call *head = self->first;
    if (head == NULL) {
        conn_close(self, REDLOCK_ERR_PROTOCOL, "the server sent a reply that nobody asked for",
                   now_us);
        return;
    }
    self->has_answered = true;
    self->answer_us += (now_us - head->sent_us - self->answer_us) /
                       8; /* over about eight answers */
    if (from->kind == REPLY_ERROR) note_error(self, from);
    else note_service(self, now_us);
    if (head->has_forerunner) head->has_forerunner = false;
    else conn_answer_first(self, from, now_us);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

int conn_poll_fd(const conn *self)
{
    return self->state == CONN_RESOLVING ? lookup_fd(self->lookup) : self->fd;
}

short conn_poll_events(const conn *self)
{
    switch (self->state) {
    case CONN_CLOSED: return 0;
    case CONN_RESOLVING: return POLLIN;
    case CONN_CONNECTING: return POLLOUT;
    case CONN_SECURING: return self->tls_wants_write ? POLLOUT : POLLIN;
    case CONN_GREETING:
    case CONN_OPEN: break;
    }
    /* A TLS write may have to wait until something was read: polling for room would then spin. */
    bool wants_write = self->tls == NULL ? conn_has_unsent(self) : self->tls_wants_write;
    return wants_write ? POLLIN | POLLOUT : POLLIN;
}

bool conn_has_pending(const conn *self)
{
    bool has_decrypted = self->tls != NULL && self->state >= CONN_GREETING &&
                         tls_has_pending(self->tls);
    return has_decrypted || self->cut != NULL;
}

int64_t conn_wake_us(const conn *self)
{
    int64_t wake_us = INT64_MAX;
    if (self->state == CONN_CLOSED) return wake_us;
    if (self->state != CONN_OPEN) wake_us = self->state_deadline_us;
    if (self->state == CONN_CONNECTING && self->address_deadline_us < wake_us)
        wake_us = self->address_deadline_us;
    if (self->first != NULL && self->silent_us < wake_us) wake_us = self->silent_us;
    return wake_us;
}

void conn_ready(conn *self, short revents, int64_t now_us)
{
    tell_cut(self, CONN_CUT_AT_ONCE, now_us);
    unsigned generation = self->generation;
    switch (self->state) {
    case CONN_CLOSED: return;
    case CONN_RESOLVING:
        if (revents != 0) conn_addresses_ready(self, now_us);
        return;
    case CONN_CONNECTING:
        if (revents != 0) conn_connect_ready(self, now_us);
        return;
    case CONN_SECURING: conn_secure(self, now_us); return;
    case CONN_GREETING:
    case CONN_OPEN: break;
    }
    if (self->tls != NULL || (revents & ~POLLOUT) != 0) conn_receive(self, now_us);
    if (self->generation == generation && conn_has_unsent(self)) conn_transmit(self, now_us);
}

/* What it means that the time is up in this state. */
static void close_for_lateness(conn *self, int64_t now_us)
{
    switch (self->state) {
    case CONN_CLOSED: return;
    case CONN_RESOLVING:
        conn_close(self, REDLOCK_ERR_RESOLVE, "the name was not resolved in time", now_us);
        return;
    case CONN_CONNECTING:
        conn_close(self, REDLOCK_ERR_CONNECT, "the connection was not accepted in time", now_us);
        return;
    case CONN_SECURING:
        conn_close(self, REDLOCK_ERR_TIMEOUT, "the TLS handshake was not answered in time", now_us);
        return;
    case CONN_GREETING:
        conn_close(self, REDLOCK_ERR_TIMEOUT,
                   "AUTH, CLIENT SETNAME or SELECT was not answered in time", now_us);
        return;
    case CONN_OPEN:
        conn_close(self, REDLOCK_ERR_TIMEOUT, "a command was not answered in time", now_us);
        return;
    }
}

/* Until when the owner of the call bears the silence. */
static int64_t patience_ends_us(const conn *self, const call *which)
{
    int64_t came_us = self->received_us;
    bool has_come = came_us > which->sent_us && which->deadline_us != INT64_MAX;
    return has_come ? came_us + (which->deadline_us - which->sent_us) : which->deadline_us;
}

static bool has_been_silent(conn *self, int64_t now_us)
{
    if (self->first == NULL || now_us < self->silent_us) return false;
    self->silent_us = INT64_MAX;
    for (const call *each = self->first; each != NULL; each = each->next) {
        int64_t ends_us = patience_ends_us(self, each);
        if (ends_us < self->silent_us) self->silent_us = ends_us;
    }
    return now_us >= self->silent_us;
}

void conn_tick(conn *self, int64_t now_us)
{
    bool is_late = self->state != CONN_OPEN && now_us >= self->state_deadline_us;
    if (has_been_silent(self, now_us)) {
        is_late = true;
        /* It would have taken longer, at the least. */
        int64_t waited_us = now_us - self->first->sent_us;
        if (waited_us > self->answer_us) self->answer_us = waited_us;
    }
    if (is_late) close_for_lateness(self, now_us);
    else if (self->state == CONN_CONNECTING) conn_connect_tick(self, now_us);
}
