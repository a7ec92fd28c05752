/* SPDX-License-Identifier: MIT
 * Two connections: one asks, one listens. A PING behind each write on the one that listens shows
 * that every message of the step has come. */
#include "model/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/small_scripts.h"
#include "support/server.h"

struct stage {
    server *server;
    redisContext *asking, *listening;
};

__attribute__((noreturn)) static void end_badly(const char *what, const redisContext *at)
{
    fprintf(stderr, "model: %s: %s\n", what, at != NULL ? at->errstr : "");
    exit(2);
}

static redisReply *next_reply(redisContext *from)
{
    void *reply = NULL;
    if (redisGetReply(from, &reply) != REDIS_OK) end_badly("the connection ended", from);
    return reply;
}

static redisContext *connect_to(stage *self)
{
    redisContext *made = redisConnectUnix(server_socket(self->server));
    if (made == NULL || made->err != 0) end_badly("cannot connect", made);
    return made;
}

static void load(stage *self, const script *from)
{
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        redisReply *reply =
            redisCommand(self->asking, "SCRIPT LOAD %b", from[i].source, from[i].source_length);
        if (reply == NULL || reply->type != REDIS_REPLY_STRING ||
            strcmp(reply->str, from[i].sha1) != 0)
            end_badly("a script cannot be loaded", self->asking);
        freeReplyObject(reply);
    }
}

/* Somebody else's pattern hears what no waiter does. */
stage *stage_open(void)
{
    stage *self = calloc(1, sizeof *self);
    if (self == NULL) exit(2);
    self->server = server_start_with_clock("--appendonly no");
    self->asking = connect_to(self);
    self->listening = connect_to(self);
    load(self, scripts);
    load(self, small_scripts);
    freeReplyObject(redisCommand(self->listening, "PSUBSCRIBE overheard:*"));
    return self;
}

void stage_close(stage *self)
{
    redisFree(self->asking);
    redisFree(self->listening);
    server_stop(self->server);
    free(self);
}

/* ---- Listening --------------------------------------------------------------------------------*/

static void keep_message(sequence *const *all, int count, const redisReply *reply)
{
    for (int i = 0; i < count; i++) {
        sequence *of = all[i];
        if (sequence_number_of(of, reply->element[1]->str) < 0 || of->heard_count == TOLD_MOST)
            continue;
        grant *heard = &of->heard[of->heard_count++];
        snprintf(heard->channel, sizeof heard->channel, "%s", reply->element[1]->str);
        snprintf(heard->text, sizeof heard->text, "%s", reply->element[2]->str);
    }
}

/* Reads until the PING is answered. */
static void listen_to_all(stage *self, sequence *const *all, int count)
{
    redisAppendCommand(self->listening, "PING end");
    for (bool is_over = false; !is_over;) {
        redisReply *reply = next_reply(self->listening);
        const char *word = reply->type == REDIS_REPLY_ARRAY ? reply->element[0]->str : "";
        is_over = strcmp(word, "pong") == 0;
        if (strcmp(word, "message") == 0 || strcmp(word, "smessage") == 0)
            keep_message(all, count, reply);
        freeReplyObject(reply);
    }
}

static void toggle(stage *self, sequence *of)
{
    int number = of->steps[of->at].toggled;
    if (number < 0) return;
    party *by = &of->parties[number % of->party_count];
    bool *is_heard = &by->is_heard[number / of->party_count];
    const char *channel = by->channels[number / of->party_count];
    *is_heard = !*is_heard;
    redisAppendCommand(self->listening, "%s%s %s", strchr(channel, '{') != NULL ? "S" : "",
                       *is_heard ? "SUBSCRIBE" : "UNSUBSCRIBE", channel);
}

void stage_clear(stage *self)
{
    redisAppendCommand(self->listening, "UNSUBSCRIBE");
    redisAppendCommand(self->listening, "SUNSUBSCRIBE");
    listen_to_all(self, NULL, 0);
    freeReplyObject(redisCommand(self->asking, "FLUSHALL"));
}

/* ---- Asking -----------------------------------------------------------------------------------*/

typedef struct words {
    const char *at[16];
    char numbers[12][24];
    int count, number_count;
} words;

static void add_word(words *to, const char *word) { to->at[to->count++] = word; }

static void add_number(words *to, int64_t number)
{
    char *text = to->numbers[to->number_count++];
    snprintf(text, sizeof to->numbers[0], "%lld", (long long)number);
    add_word(to, text);
}

static void add_optional(words *to, const call *asked)
{
    switch (asked->script) {
    case SCRIPT_ACQUIRE:
        add_word(to, asked->mode);
        add_word(to, asked->inbox);
        add_number(to, asked->arrival_us);
        add_number(to, asked->fence);
        break;
    case SCRIPT_CANCEL:
        add_word(to, asked->mode);
        add_word(to, asked->inbox);
        if (!asked->is_plain) add_number(to, asked->burial_ms);
        break;
    case SCRIPT_RELEASE:
        if (asked->is_plain) break;
        add_number(to, asked->burial_ms);
        add_number(to, asked->fence);
        break;
    default: add_number(to, asked->fence); break;
    }
}

static bool lingers(enum script_id id)
{
    return id == SCRIPT_RELEASE || id == SCRIPT_CANCEL || id == SCRIPT_FORCE;
}

static void ask(redisContext *on, const sequence *of)
{
    const call *asked = &of->steps[of->at].asked;
    words line = {.count = 0};
    add_word(&line, "EVALSHA");
    add_word(&line, (of->is_small ? small_scripts : scripts)[asked->script].sha1);
    add_word(&line, "1");
    add_word(&line, of->key);
    if (asked->script == SCRIPT_INSPECT) add_word(&line, "100");
    else {
        add_word(&line, asked->holder);
        add_number(&line, lingers(asked->script) ? asked->linger_ms : asked->ttl_ms);
        add_number(&line, asked->grace_ms);
    }
    add_number(&line, asked->nonce);
    if (asked->script != SCRIPT_INSPECT) add_optional(&line, asked);
    redisAppendCommandArgv(on, line.count, line.at, NULL);
}

static void send_step(stage *self, const sequence *of)
{
    if (of->steps[of->at].is_flushed) redisAppendCommand(self->asking, "DEL %s", of->key);
    ask(self->asking, of);
    redisAppendCommand(self->asking, "ZRANGE %s 0 -1 WITHSCORES", of->key);
    redisAppendCommand(self->asking, "PEXPIRETIME %s", of->key);
}

/* ---- What came back ---------------------------------------------------------------------------*/

static int64_t score_of(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_INTEGER ? reply->integer : (int64_t)strtod(reply->str, NULL);
}

static int read_members(member *out, const redisReply *reply)
{
    int count = 0;
    if (reply->elements > 2 * MEMBERS_MOST) end_badly("the set is too large", NULL);
    for (size_t i = 0; i + 1 < reply->elements; i += 2, count++) {
        snprintf(out[count].name, sizeof out[count].name, "%s", reply->element[i]->str);
        out[count].score = score_of(reply->element[i + 1]);
    }
    return count;
}

static void read_answer(answer *out, picture *shown, const redisReply *reply)
{
    *out = (answer){.count = 0};
    shown->listed_count = 0;
    shown->error[0] = '\0';
    if (reply->type == REDIS_REPLY_ERROR)
        snprintf(shown->error, sizeof shown->error, "%s", reply->str);
    for (size_t i = 0; i < reply->elements && out->count < ANSWER_MOST; i++) {
        const redisReply *item = reply->element[i];
        if (item->type == REDIS_REPLY_ARRAY)
            shown->listed_count = read_members(shown->listed, item);
        else if (item->type == REDIS_REPLY_INTEGER) out->values[out->count++] = item->integer;
        else snprintf(shown->error, sizeof shown->error, "the answer has what is no integer");
    }
}

static void receive_step(stage *self, sequence *of, picture *shown)
{
    step *now = &of->steps[of->at];
    if (now->is_flushed) freeReplyObject(next_reply(self->asking));
    redisReply *reply = next_reply(self->asking);
    read_answer(&now->got, shown, reply);
    freeReplyObject(reply);
    reply = next_reply(self->asking);
    shown->count = read_members(shown->members, reply);
    freeReplyObject(reply);
    reply = next_reply(self->asking);
    shown->expires_ms = reply->integer;
    freeReplyObject(reply);
}

void stage_play(stage *self, sequence *const *all, int count, picture *pictures)
{
    bool is_toggled = false;
    for (int i = 0; i < count; i++) {
        all[i]->heard_count = 0;
        is_toggled = is_toggled || all[i]->steps[all[i]->at].toggled >= 0;
        toggle(self, all[i]);
    }
    if (is_toggled) listen_to_all(self, all, count);
    if (count > 0) server_stop_clock(self->server, all[0]->steps[all[0]->at].now_us);
    for (int i = 0; i < count; i++) send_step(self, all[i]);
    for (int i = 0; i < count; i++) receive_step(self, all[i], &pictures[i]);
    listen_to_all(self, all, count);
}
