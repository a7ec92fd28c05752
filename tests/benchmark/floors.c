/* SPDX-License-Identifier: MIT
 * The floors: the least that anybody could send, on raw blocking hiredis. Commands are given as
 * counted strings, so that no time goes into parsing a format. */
#include "floors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stopwatch.h"

static const char compare_and_delete[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
static const char token[] = "0123456789abcdef0123456789abcdef";

redisContext *floor_connect(const route *by)
{
    redisContext *link = by->socket != NULL ? redisConnectUnix(by->socket)
                                            : redisConnect("127.0.0.1", by->port);
    if (link != NULL && link->err == 0) return link;
    fprintf(stderr, "bench: no connection over %s: %s\n", by->name,
            link != NULL ? link->errstr : "out of memory");
    if (link != NULL) redisFree(link);
    return NULL;
}

/* Consumes the reply, and says whether it was what the floor needs. */
static bool expect(redisReply *reply, bool is_right, const char *what)
{
    if (!is_right) {
        fprintf(stderr, "bench: the floor's %s failed: %s\n", what,
                reply == NULL        ? "no answer"
                : reply->str != NULL ? reply->str
                                     : "an unexpected answer");
    }
    if (reply != NULL) freeReplyObject(reply);
    return is_right;
}

bool naive_open(naive_lock *self, const route *by, const char *key)
{
    self->link = floor_connect(by);
    if (self->link == NULL) return false;
    snprintf(self->key, sizeof self->key, "%s", key);
    redisReply *reply = redisCommand(self->link, "SCRIPT LOAD %s", compare_and_delete);
    const bool is_loaded = reply != NULL && reply->type == REDIS_REPLY_STRING;
    if (is_loaded) snprintf(self->sha1, sizeof self->sha1, "%s", reply->str);
    return expect(reply, is_loaded, "SCRIPT LOAD");
}

bool naive_acquire(naive_lock *self)
{
    const char *argv[] = {"SET", self->key, token, "NX", "PX", "10000"};
    const size_t lengths[] = {3, strlen(self->key), sizeof token - 1, 2, 2, 5};
    redisReply *reply = redisCommandArgv(self->link, 6, argv, lengths);
    return expect(reply, reply != NULL && reply->type == REDIS_REPLY_STATUS, "SET NX");
}

bool naive_release(naive_lock *self)
{
    const char *argv[] = {"EVALSHA", self->sha1, "1", self->key, token};
    const size_t lengths[] = {7, 40, 1, strlen(self->key), sizeof token - 1};
    redisReply *reply = redisCommandArgv(self->link, 5, argv, lengths);
    return expect(reply, reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1,
                  "compare-and-delete");
}

void naive_close(naive_lock *self)
{
    if (self->link != NULL) redisFree(self->link);
    self->link = NULL;
}

double naive_pairs_per_second(naive_lock *self, int64_t slice_ns)
{
    const int64_t began = now_ns();
    int64_t elapsed = 0;
    int64_t pairs = 0;
    while (elapsed < slice_ns) {
        if (!naive_acquire(self) || !naive_release(self)) return 0;
        pairs++;
        elapsed = now_ns() - began;
    }
    return (double)pairs * 1e9 / (double)elapsed;
}

bool floor_subscribe(redisContext *link, const char *channel)
{
    redisReply *reply = redisCommand(link, "SUBSCRIBE %s", channel);
    return expect(reply, reply != NULL && reply->type == REDIS_REPLY_ARRAY, "SUBSCRIBE");
}

bool floor_await_message(redisContext *link)
{
    void *reply = NULL;
    const bool has_come = redisGetReply(link, &reply) == REDIS_OK;
    return expect(reply, has_come, "message");
}

bool floor_publish(redisContext *link, const char *channel, const char *payload)
{
    const char *argv[] = {"PUBLISH", channel, payload};
    const size_t lengths[] = {7, strlen(channel), strlen(payload)};
    redisReply *reply = redisCommandArgv(link, 3, argv, lengths);
    return expect(reply, reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1,
                  "PUBLISH");
}

/* One line of INFO commandstats: "cmdstat_evalsha:calls=12,usec=34,...". */
static floor_scripts calls_of(const char *statistics, const char *command)
{
    char needle[64];
    floor_scripts read = {0};
    snprintf(needle, sizeof needle, "cmdstat_%s:calls=", command);
    const char *found = strstr(statistics, needle);
    if (found == NULL) return read;
    char *end;
    read.calls = strtoll(found + strlen(needle), &end, 10);
    if (strncmp(end, ",usec=", 6) == 0) read.spent_us = strtoll(end + 6, NULL, 10);
    return read;
}

int64_t floor_commands_sent(redisContext *link)
{
    static const char *const sent_by_clients[] = {
        "evalsha", "eval", "subscribe", "unsubscribe", "ssubscribe", "sunsubscribe", "script|load",
    };
    redisReply *reply = redisCommand(link, "INFO commandstats");
    const bool is_text = reply != NULL && reply->str != NULL && reply->type != REDIS_REPLY_ERROR;
    int64_t calls = 0;
    for (size_t i = 0; is_text && i < sizeof sent_by_clients / sizeof *sent_by_clients; i++) {
        calls += calls_of(reply->str, sent_by_clients[i]).calls;
    }
    return expect(reply, is_text, "INFO") ? calls : -1;
}

bool floor_scripts_run(redisContext *link, floor_scripts *out)
{
    redisReply *reply = redisCommand(link, "INFO commandstats");
    const bool is_text = reply != NULL && reply->str != NULL && reply->type != REDIS_REPLY_ERROR;
    *out = is_text ? calls_of(reply->str, "evalsha") : (floor_scripts){0};
    return expect(reply, is_text, "INFO");
}
