/* SPDX-License-Identifier: MIT
 * The greeting: AUTH, CLIENT SETNAME and SELECT as far as they are configured, in one write; calls
 * follow when all of it was answered.
 *
 *     us       AUTH, SETNAME, SELECT                                 AUTH, SETNAME, SELECT
 *     server                          WRONGPASS, NOAUTH, NOAUTH                            OK, ...
 *     callback ^ asked                                               ^ asked once more */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "net/conn_internal.h"
#include "wire/answer.h"
#include "wire/text.h"

/* In the order in which they are sent and answered. */
enum { STEP_AUTH = 1, STEP_NAME = 2, STEP_SELECT = 4 };

/* ---- Asking ---------------------------------------------------------------------------------- */

static bool write_step(conn *self, unsigned step, const command *cmd)
{
    if (!codec_write(&self->greeting, self->config->memory, cmd)) return false;
    self->greeting_due |= step;
    if (self->config->counters != NULL) conn_count(&self->config->counters->commands);
    return true;
}

static bool is_empty(const char *text) { return text == NULL || text[0] == '\0'; }

/* A user without a password is that user, or refused; and never the default one. */
static bool write_auth_as(conn *self, const char *user, const char *password)
{
    if (is_empty(user) && is_empty(password)) return true;
    command cmd;
    command_begin(&cmd, "AUTH");
    if (!is_empty(user)) command_add_text(&cmd, user);
    command_add_text(&cmd, is_empty(password) ? "" : password);
    return write_step(self, STEP_AUTH, &cmd);
}

static redlock_status status_of_write(bool is_written)
{
    return is_written ? REDLOCK_OK : REDLOCK_ERR_MEMORY;
}

static redlock_status write_auth(conn *self, redlock_detail *why)
{
    const conn_config *config = self->config;
    if (config->credentials.ask == NULL)
        return status_of_write(write_auth_as(self, config->user, config->password));
    redlock_credentials given;
    bool was_refused = self->has_greeted_again;
    redlock_status status =
        credentials_ask(&given, &config->credentials, was_refused, config->memory, why);
    const char *user = given.user != NULL ? given.user : config->user;
    if (status == REDLOCK_OK) status = status_of_write(write_auth_as(self, user, given.password));
    credentials_drop(&given);
    return status;
}

static bool write_name(conn *self)
{
    if (self->config->client_name == NULL) return true;
    command cmd;
    command_begin(&cmd, "CLIENT");
    command_add_text(&cmd, "SETNAME");
    command_add_text(&cmd, self->config->client_name);
    return write_step(self, STEP_NAME, &cmd);
}

static bool write_select(conn *self)
{
    if (self->to->server->database == 0) return true;
    command cmd;
    command_begin(&cmd, "SELECT");
    command_add_number(&cmd, self->to->server->database);
    return write_step(self, STEP_SELECT, &cmd);
}

static bool has_reader(conn *self)
{
    if (self->reader == NULL) self->reader = codec_reader_new(self->config->memory);
    return self->reader != NULL;
}

static redlock_status write_greeting(conn *self, redlock_detail *why)
{
    if (!has_reader(self)) return REDLOCK_ERR_MEMORY;
    redlock_status status = write_auth(self, why);
    if (status != REDLOCK_OK) return status;
    return status_of_write(write_name(self) && write_select(self));
}

void conn_greet(conn *self, int64_t now_us)
{
    redlock_detail why = {""};
    redlock_status status = write_greeting(self, &why);
    if (status != REDLOCK_OK) {
        conn_close(self, status, why.text, now_us);
    } else if (self->greeting_due == 0) {
        conn_opened(self, now_us);
    } else {
        if (self->state != CONN_GREETING) conn_move(self, CONN_GREETING);
        conn_transmit(self, now_us);
    }
}

static void greet_again(conn *self, int64_t now_us)
{
    assert(self->state == CONN_GREETING);
    self->greets_again = false;
    self->has_greeted_again = true;
    conn_greet(self, now_us);
}

/* ---- The answers ----------------------------------------------------------------------------- */

static bool begins_with(const reply *from, const char *text)
{
    size_t length = strlen(text);
    return from->length >= length && memcmp(from->text, text, length) == 0;
}

/* What a server says to any client before it reads a byte: it has too many, or is in protected
 * mode. */
static bool is_turned_away(const reply *from)
{
    return from->kind == REPLY_ERROR &&
           (begins_with(from, "ERR max number of clients") || begins_with(from, "DENIED "));
}

static redlock_status refusal(const reply *from, redlock_status otherwise)
{
    if (is_turned_away(from))
        return begins_with(from, "DENIED ") ? REDLOCK_ERR_DENIED : REDLOCK_ERR_UNAVAILABLE;
    enum answer_kind kind = answer_error_kind(from->text, from->length);
    if (kind == ANSWER_DENIED) return REDLOCK_ERR_DENIED;
    /* An error without a code is about what was asked. */
    return kind != ANSWER_ERROR && answer_may_pass(kind) ? REDLOCK_ERR_UNAVAILABLE : otherwise;
}

static void close_refused(conn *self, const reply *from, redlock_status why, const char *what,
                          int64_t now_us)
{
    char text[160], detail[200];
    text_escape(text, sizeof text, from->text, from->length);
    snprintf(detail, sizeof detail, "%s%s", what, text);
    conn_close(self, why, detail, now_us);
}

bool conn_closed_by_refusal(conn *self, const reply *from, int64_t now_us)
{
    if (!is_turned_away(from)) return false;
    self->is_crowded = !begins_with(from, "DENIED ");
    unsigned generation = self->generation;
    if (self->is_crowded && self->first != NULL) conn_answer_first(self, from, now_us);
    if (self->generation == generation)
        close_refused(self, from, refusal(from, REDLOCK_ERR_SERVER), "", now_us);
    return true;
}

/* Whoever gave these credentials may have others by now. What else was said in the same write is
 * refused, too, or done by another user: it is said again. */
static bool is_worth_another(const conn *self, unsigned step, const reply *from)
{
    if (self->greets_again) return true;
    bool is_refused = step == STEP_AUTH && from->kind == REPLY_ERROR &&
                      refusal(from, REDLOCK_ERR_DENIED) == REDLOCK_ERR_DENIED;
    return is_refused && self->config->credentials.ask != NULL && !self->has_greeted_again;
}

/* True when the greeting may go on. */
static bool accept_step(conn *self, unsigned step, const reply *from, int64_t now_us)
{
    if (conn_closed_by_refusal(self, from, now_us)) return false;
    self->greets_again = is_worth_another(self, step, from);
    if (self->greets_again || step == STEP_NAME) return true;
    if (from->kind == REPLY_STATUS) return true;
    if (from->kind != REPLY_ERROR) {
        conn_close(self, REDLOCK_ERR_PROTOCOL,
                   "the answer to AUTH or SELECT is neither OK nor an error", now_us);
        return false;
    }
    if (step == STEP_AUTH)
        close_refused(self, from, refusal(from, REDLOCK_ERR_DENIED), "AUTH: ", now_us);
    else close_refused(self, from, refusal(from, REDLOCK_ERR_SERVER), "SELECT: ", now_us);
    return false;
}

void conn_greeting_answered(conn *self, const reply *from, int64_t now_us)
{
    assert(self->state == CONN_GREETING);
    unsigned step = self->greeting_due & (~self->greeting_due + 1); /* the lowest bit */
    if (!accept_step(self, step, from, now_us)) return;
    self->greeting_due &= ~step;
    if (self->greeting_due != 0) return;
    if (self->greets_again) greet_again(self, now_us);
    else conn_opened(self, now_us);
}
