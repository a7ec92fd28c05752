/* SPDX-License-Identifier: MIT
 * A server that does not know a script, and SCRIPT LOAD in front of the question that is asked
 * again. */
#include "lane/loading.h"

#include <stdatomic.h>

#include "wire/answer.h"
#include "wire/text.h"

/* What all connections to a server know of SCRIPT LOAD there, in its node.
 *
 *               cut                cut
 *   UNTRIED -----------> CUT_ONCE -----------> REFUSED
 *      |                    |                     ^
 *      | answered           | answered            | an error, from any of them
 *      +-----> WORKS <------+                     |
 *
 * A proxy may answer an unknown command by closing, but so looks a server that restarts: hence
 * twice, and the second one was sent when the first was known. A cut by our own side proves
 * nothing, nor does an error that passes. */
enum known { UNTRIED, CUT_ONCE, WORKS, REFUSED };

/* So often a question is asked again behind the source of another: once behind a SCRIPT LOAD, and
 * once more if that was refused or the script was forgotten anew. It would be more often only where
 * the servers behind one address share no scripts. */
enum { IN_VAIN_MOST = 2 };

/* ---- What is known ------------------------------------------------------------------------- */

static int known_of(const conn *on)
{
    return atomic_load_explicit(&on->to->loading, memory_order_relaxed);
}

/* Unless another connection was there first. */
static void learn(const conn *on, int from, int to)
{
    atomic_compare_exchange_strong_explicit(&on->to->loading, &from, to, memory_order_relaxed,
                                            memory_order_relaxed);
}

static void learn_refusal(const conn *on, const char *words, size_t length)
{
    if (known_of(on) == REFUSED) return;
    atomic_store_explicit(&on->to->loading, REFUSED, memory_order_relaxed);
    char text[160];
    text_escape(text, sizeof text, words, length);
    log_line(on->config->log, REDLOCK_LOG_INFO, "SCRIPT LOAD is refused, scripts go by EVAL: %s",
             text);
}

static void load_cut(const sent_source *self)
{
    redlock_status why = self->on->failure;
    if (why == REDLOCK_OK || why == REDLOCK_ERR_MEMORY) return;
    if (self->known == UNTRIED) learn(self->on, UNTRIED, CUT_ONCE);
    if (self->known == CUT_ONCE) learn(self->on, CUT_ONCE, REFUSED);
}

/* What may pass is no word about SCRIPT LOAD. */
static bool is_refused(const reply *from)
{
    return !answer_may_pass(answer_error_kind(from->text, from->length));
}

static void load_answered(call *back, const reply *from, int64_t now_us)
{
    sent_source *self = (sent_source *)back;
    (void)now_us;
    self->is_loading = false;
    if (from == NULL) {
        load_cut(self);
    } else if (from->kind != REPLY_ERROR) {
        learn(self->on, UNTRIED, WORKS);
        learn(self->on, CUT_ONCE, WORKS);
    } else if (is_refused(from)) {
        learn_refusal(self->on, from->text, from->length);
    }
}

/* ---- Sources ------------------------------------------------------------------------------- */

static bool is_on_its_way(const loading *self, const conn *on, enum script_id id)
{
    const sent_source *latest = &on->sources[id];
    return latest->generation == on->generation && (uint32_t)latest->number > self->behind;
}

static void note_source(conn *on, enum script_id id)
{
    on->sources[id].generation = on->generation;
    on->sources[id].number = ++on->sources_sent;
}

/* False when EVAL has to serve: SCRIPT LOAD is refused; or its last call is not told yet that it
 * was cut; or there is no memory. */
static bool load(conn *on, enum script_id id, int64_t deadline_us, int64_t now_us)
{
    sent_source *self = &on->sources[id];
    int known = known_of(on);
    if (known == REFUSED || self->is_loading) return false;
    command cmd;
    command_load_script(&cmd, id);
    self->on = on;
    self->known = known;
    self->load.answered = load_answered;
    self->load.deadline_us = deadline_us;
    self->is_loading = conn_submit(on, &self->load, &cmd, now_us);
    if (self->is_loading) note_source(on, id);
    return self->is_loading;
}

/* The source is wanted: true when it goes with the question itself. */
static bool goes_by_source(loading *self, conn *on, enum script_id id, int64_t deadline_us,
                           int64_t now_us)
{
    if (self->in_vain == IN_VAIN_MOST) return true;
    if (is_on_its_way(self, on, id)) {
        self->in_vain++;
        return false;
    }
    self->in_vain = IN_VAIN_MOST;
    return !load(on, id, deadline_us, now_us);
}

static bool submit_question(const loading *self, conn *on, call *asks, const command *cmd,
                            int64_t now_us)
{
    if (!self->is_asking) return conn_submit(on, asks, cmd, now_us);
    command asking;
    command_begin(&asking, "ASKING");
    return conn_submit_behind(on, asks, &asking, cmd, now_us);
}

bool loading_submit(loading *self, conn *on, call *asks, const question *about, bool *by_source,
                    int64_t now_us)
{
    if (!*by_source) self->in_vain = 0;
    else *by_source = goes_by_source(self, on, about->script, asks->deadline_us, now_us);
    command cmd;
    question_command(&cmd, about, *by_source);
    if (!submit_question(self, on, asks, &cmd, now_us)) return false;
    if (*by_source) note_source(on, about->script);
    self->behind = (uint32_t)on->sources_sent;
    return true;
}
