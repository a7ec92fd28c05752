/* SPDX-License-Identifier: MIT
 * One key and the scripts that work on it, asked directly on a server of the test's own. Somebody
 * listens on inbox:1 to inbox:9 and on inbox:all, until a test says that one DIES. Rule: nothing
 * here waits for time to pass; a lease is over because END wrote an old score. */
#ifndef REDLOCK_TESTS_SCRIPT_STAGE_H
#define REDLOCK_TESTS_SCRIPT_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/server.h"
#include "wire/bands.h"
#include "wire/script.h"

#define KEY "redlock:{job}"
/* Each has a client of its own, so that what befalls one waiter befalls no other. */
#define OWNED(owner, n) owner " client" n ".1 web-17:4242:worker"
#define AS(n) OWNED("-", n)
#define INBOX(n) "2000 inbox:" n
#define WAITER(mode, n) INBOX(n) " " mode " " AS(n)
#define BURIED(n) "client" n ".1"
#define NOTE(n) "?client" n ".1"
enum { ARGUMENTS = 8, VALUES = 5 };

static server *the_server;
static redisContext *inbox;

static inline int start(void **state)
{
    (void)state;
    the_server = server_start(NULL);
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    server_stop(the_server);
    return 0;
}

static inline void tell(const char *command)
{
    redisReply *answer = server_command(the_server, command);
    if (answer->type == REDIS_REPLY_ERROR) fail_msg("%s: %s", command, answer->str);
    freeReplyObject(answer);
}

static inline int listen_anew(void)
{
    inbox = redisConnectUnix(server_socket(the_server));
    if (inbox == NULL || inbox->err) return -1;
    for (int n = 0; n <= 9; n++) {
        redisReply *answer = n > 0 ? redisCommand(inbox, "SUBSCRIBE inbox:%d", n)
                                   : redisCommand(inbox, "SUBSCRIBE inbox:all");
        if (answer == NULL) return -1;
        freeReplyObject(answer);
    }
    return 0;
}

static inline int empty(void **state)
{
    (void)state;
    tell("FLUSHALL");
    return listen_anew();
}

static inline int leave(void **state)
{
    (void)state;
    tell("CONFIG SET maxmemory 0");
    redisFree(inbox);
    return 0;
}

/* What the next message says; the caller frees the reply. */
static inline redisReply *next_message(void)
{
    void *reply = NULL;
    assert_int_equal(redisGetReply(inbox, &reply), REDIS_OK);
    redisReply *message = reply;
    assert_string_equal(message->element[0]->str, "message");
    return message;
}

/* Nobody listens there any more. */
static inline void unsubscribe(const char *channel)
{
    void *reply = NULL;
    bool is_done = false;
    assert_int_equal(redisAppendCommand(inbox, "UNSUBSCRIBE %s", channel), REDIS_OK);
    while (!is_done) {
        assert_int_equal(redisGetReply(inbox, &reply), REDIS_OK);
        is_done = strcmp(((redisReply *)reply)->element[0]->str, "unsubscribe") == 0;
        freeReplyObject(reply);
    }
}

/* ---- Asking -----------------------------------------------------------------------------------*/

typedef struct said {
    long long code, nonce, now_us;
    long long value[VALUES]; /* what follows; zero where nothing does */
    char error[160];
} said;

static inline said listen_to(redisReply *answer)
{
    said out = {.code = -99};
    assert_non_null(answer);
    if (answer->type == REDIS_REPLY_ERROR) snprintf(out.error, sizeof out.error, "%s", answer->str);
    for (size_t i = 0; answer->type == REDIS_REPLY_ARRAY && i < answer->elements; i++) {
        const redisReply *item = answer->element[i];
        if (item->type == REDIS_REPLY_ARRAY) continue;
        assert_int_equal(item->type, REDIS_REPLY_INTEGER);
        if (i == 0) out.code = item->integer;
        if (i == 1) out.nonce = item->integer;
        if (i == 2) out.now_us = item->integer;
        if (i >= 3 && i < 3 + VALUES) out.value[i - 3] = item->integer;
    }
    freeReplyObject(answer);
    return out;
}

static inline redisReply *eval(redisContext *on, const char *source, const char *key,
                               const char *const *arguments)
{
    const char *argv[4 + ARGUMENTS] = {"EVAL", source, "1", key};
    size_t lengths[4 + ARGUMENTS];
    int argc = 4;
    while (argc < 4 + ARGUMENTS && arguments[argc - 4] != NULL) {
        argv[argc] = arguments[argc - 4];
        argc++;
    }
    for (int i = 0; i < argc; i++) lengths[i] = strlen(argv[i]);
    return redisCommandArgv(on, argc, argv, lengths);
}

static inline redisReply *ask_raw(const char *source, const char *key, const char *const *arguments)
{
    redisContext *on = redisConnectUnix(server_socket(the_server));
    assert_non_null(on);
    redisReply *answer = eval(on, source, key, arguments);
    redisFree(on);
    return answer;
}

/* As a user who may do everything but what `rule` says. */
static inline said ask_restricted(const char *rule, enum script_id id, const char *const *arguments)
{
    freeReplyObject(
        server_command(the_server, "ACL SETUSER other reset on nopass ~* &* +@all %s", rule));
    redisContext *on = redisConnectUnix(server_socket(the_server));
    freeReplyObject(redisCommand(on, "AUTH other any"));
    said out = listen_to(eval(on, scripts[id].source, KEY, arguments));
    redisFree(on);
    tell("ACL DELUSER other");
    return out;
}

static inline said ask(enum script_id id, const char *const *arguments)
{
    return listen_to(ask_raw(scripts[id].source, KEY, arguments));
}

/* A number as an argument. */
static inline const char *text(long long number)
{
    static char texts[8][24];
    static unsigned next;
    char *out = texts[next++ % 8];
    snprintf(out, sizeof texts[0], "%lld", number);
    return out;
}

#define WORDS(...) ((const char *const[ARGUMENTS + 1]){__VA_ARGS__})
#define ASK(id, ...) ask(SCRIPT_##id, WORDS(__VA_ARGS__))
#define ASK_RESTRICTED(rule, id, ...) ask_restricted(rule, SCRIPT_##id, WORDS(__VA_ARGS__))
#define TRY_AS(mode, n) ASK(ACQUIRE, AS(n), "60000", "7000", "17", mode)
#define JOIN_AS(mode, n) ASK(ACQUIRE, AS(n), "60000", "7000", "17", mode, INBOX(n))
#define TRY(n) TRY_AS("x", n)
#define JOIN(n) JOIN_AS("x", n)
#define TRY_OWNED(mode, owner, n) ASK(ACQUIRE, OWNED(owner, n), "60000", "7000", "17", mode)
#define JOIN_OWNED(mode, owner, n)                                                                 \
    ASK(ACQUIRE, OWNED(owner, n), "60000", "7000", "17", mode, INBOX(n))
#define RETURN_AS(mode, n, arrival)                                                                \
    ASK(ACQUIRE, AS(n), "60000", "7000", "17", mode, INBOX(n), arrival)
#define RELEASE(n) ASK(RELEASE, AS(n), "5000", "7000", "18")
#define CANCEL_AS(mode, n) ASK(CANCEL, AS(n), "5000", "7000", "19", mode, INBOX(n))
#define CANCEL(n) CANCEL_AS("x", n)
#define RENEW(n, ttl) ASK(RENEW, AS(n), ttl, "7000", "20")
#define DOWNGRADE(n, fence) ASK(DOWNGRADE, AS(n), "60000", "7000", "22", text(fence))
#define UPGRADE(n, fence) ASK(UPGRADE, AS(n), "60000", "7000", "23", text(fence))
#define FORCE(fence) ASK(FORCE, "", "5000", "7000", "24", text(fence))
#define INSPECT() ASK(INSPECT, "100", "21")
#define DIES(n) unsubscribe("inbox:" n)
#define WRITES(n) (score_of(AS(n)) > 0 && score_of(AS(n)) < SHARED_BAND)
#define READS(n) (score_of(AS(n)) >= SHARED_BAND)
#define WAITS(mode, n) (score_of(WAITER(mode, n)) != 0)

/* ---- The key --------------------------------------------------------------------------------- */

static inline long long score_of(const char *member)
{
    redisReply *answer = server_command(the_server, "ZSCORE " KEY " %s", member);
    long long score = answer->type == REDIS_REPLY_STRING ? (long long)strtod(answer->str, NULL) : 0;
    freeReplyObject(answer);
    return score;
}

static inline long long last_fence(void) { return -score_of("f1") - FENCE_BAND; }

/* Writes what a clock that was ahead would have left. */
static inline void set_fence(long long fence)
{
    server_order(the_server, "ZADD " KEY " %lld f1", -(fence + FENCE_BAND));
}

static inline long long clock_us(void)
{
    redisReply *answer = server_command(the_server, "TIME");
    long long now_us = strtoll(answer->element[0]->str, NULL, 10) * 1000000 +
                       strtoll(answer->element[1]->str, NULL, 10);
    freeReplyObject(answer);
    return now_us;
}

/* The lease is over, as the server's clock has it. */
static inline void end_lease(const char *holder)
{
    long long old = score_of(holder) >= SHARED_BAND ? SHARED_BAND + 1000 : 1000;
    assert_int_equal(server_number(the_server, "ZADD " KEY " XX CH %lld %s", old, holder), 1);
}
#define END(n) end_lease(AS(n))

static inline long long members(void) { return server_number(the_server, "ZCARD " KEY); }

/* The expiry was set to `ms` a moment ago. */
static inline void assert_lives(long long ms)
{
    assert_in_range(server_number(the_server, "PTTL " KEY), ms - 4000, ms);
}

/* Waiters that came long ago; "%d" in the channel is their number. */
static inline void add_waiters(int count, const char *channel, const char *mode)
{
    server_order(
        the_server, "EVAL %s 1 " KEY " %d %s %s",
        "local band = string.sub(ARGV[3], 1, 1) == 'x' and 4e15 or 0 for i = 1, ARGV[1] do "
        "redis.call('ZADD', KEYS[1], string.format('%.0f', 1e14 + i + band), string.format("
        "'2000 ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' - crowd%d.1 host:1:crowd', i, i)) end",
        count, channel, mode);
}
#define ADD_DEAD(count) add_waiters(count, "inbox:dead%d", "x")

typedef struct picture {
    char bytes[8192];
    size_t length;
} picture;

static inline picture look(void)
{
    picture out = {.length = 0};
    redisReply *answer = server_command(the_server, "ZRANGE " KEY " 0 -1 WITHSCORES");
    for (size_t i = 0; i < answer->elements; i++)
        out.length += (size_t)snprintf(out.bytes + out.length, sizeof out.bytes - out.length,
                                       "%s\n", answer->element[i]->str);
    freeReplyObject(answer);
    return out;
}

static inline void assert_unchanged(const picture *before)
{
    picture now = look();
    assert_string_equal(now.bytes, before->bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, empty, leave)

#endif
