/* SPDX-License-Identifier: MIT
 * One key and the scripts that work on it, asked directly on a server of the test's own.
 * Rule: nothing here waits for time to pass; a lease is over because EXPIRE wrote an old score. */
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
#include "wire/script.h"

#define KEY "redlock:{job}"
#define AS(mode, n) mode " abcdefghijklmnop." n " web-17:4242:worker" /* "x" writes, "s" reads */
#define QUEUED_AS(mode, n) "2000 inbox:" n " " AS(mode, n)
#define HOLDER(n) AS("x", n)
#define WAITER(n) QUEUED_AS("x", n)
enum { ARGUMENTS = 5, VALUES = 5 };

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

static inline int empty(void **state)
{
    (void)state;
    tell("FLUSHALL");
    inbox = redisConnectUnix(server_socket(the_server));
    return inbox == NULL || inbox->err;
}

static inline int leave(void **state)
{
    (void)state;
    tell("CONFIG SET maxmemory 0");
    redisFree(inbox);
    return 0;
}

/* ---- Asking -----------------------------------------------------------------------------------*/

typedef struct said {
    long long code, nonce;
    long long value[VALUES]; /* what follows the nonce; zero where nothing does */
    char error[128];
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
        if (i >= 2 && i < 2 + VALUES) out.value[i - 2] = item->integer;
    }
    freeReplyObject(answer);
    return out;
}

static inline redisReply *eval(redisContext *on, enum script_id id, const char *const *arguments)
{
    const char *argv[4 + ARGUMENTS] = {"EVAL", scripts[id].source, "1", KEY};
    size_t lengths[4 + ARGUMENTS];
    int argc = 4;
    while (argc < 4 + ARGUMENTS && arguments[argc - 4] != NULL) {
        argv[argc] = arguments[argc - 4];
        argc++;
    }
    for (int i = 0; i < argc; i++) lengths[i] = strlen(argv[i]);
    return redisCommandArgv(on, argc, argv, lengths);
}

static inline redisReply *ask_raw(enum script_id id, const char *const *arguments)
{
    redisContext *on = redisConnectUnix(server_socket(the_server));
    assert_non_null(on);
    redisReply *answer = eval(on, id, arguments);
    redisFree(on);
    return answer;
}

static inline said ask(enum script_id id, const char *const *arguments) { return listen_to(ask_raw(id, arguments)); }

#define ASK(id, ...) ask(SCRIPT_##id, (const char *const[ARGUMENTS + 1]){__VA_ARGS__})
#define TRY_AS(mode, n) ASK(ACQUIRE, AS(mode, n), "60000", "7000", "17", "")
#define JOIN_AS(mode, n) ASK(ACQUIRE, AS(mode, n), "60000", "7000", "17", QUEUED_AS(mode, n))
#define RELEASE_AS(mode, n) ASK(RELEASE, AS(mode, n), "5000", "7000", "18")
#define CANCEL_AS(mode, n) ASK(CANCEL, AS(mode, n), "5000", "7000", "19", QUEUED_AS(mode, n))
#define RENEW_AS(mode, n, ttl) ASK(RENEW, AS(mode, n), ttl, "7000", "20")
#define TRY(n) TRY_AS("x", n)
#define JOIN(n) JOIN_AS("x", n)
#define RELEASE(n) RELEASE_AS("x", n)
#define CANCEL(n) CANCEL_AS("x", n)
#define RENEW(n, ttl) RENEW_AS("x", n, ttl)
#define DOWNGRADE(n) ASK(DOWNGRADE, AS("x", n), "60000", "7000", "22", AS("s", n))
#define UPGRADE(n) ASK(UPGRADE, AS("s", n), "60000", "7000", "23", AS("x", n))
#define FORCE() ASK(FORCE, "", "5000", "7000", "24")
#define HOLDS(mode, n) (score_of(AS(mode, n)) != 0)
#define WAITS(mode, n) (score_of(QUEUED_AS(mode, n)) != 0)
#define SUBSCRIBE(n) subscribe("SUBSCRIBE inbox:" n)
#define EXPIRE(n) end_lease(HOLDER(n))

static inline void subscribe(const char *command)
{
    redisReply *answer = redisCommand(inbox, command);
    assert_non_null(answer);
    freeReplyObject(answer);
}

/* The lease is over, as the server's clock has it. */
static inline void end_lease(const char *holder)
{
    assert_int_equal(server_number(the_server, "ZADD " KEY " XX CH 1000 %s", holder), 1);
}

/* The same for a reader. */
static inline void end_reading(const char *holder)
{
    assert_int_equal(server_number(the_server, "ZADD " KEY " XX CH 20000000001000 %s", holder), 1);
}

static inline long long score_of(const char *member)
{
    redisReply *answer = server_command(the_server, "ZSCORE " KEY " %s", member);
    long long score = answer->type == REDIS_REPLY_STRING ? (long long)strtod(answer->str, NULL) : 0;
    freeReplyObject(answer);
    return score;
}

static inline long long members(void) { return server_number(the_server, "ZCARD " KEY); }

/* The expiry was set to `ms` a moment ago. */
static inline void assert_lives(long long ms)
{
    assert_in_range(server_number(the_server, "PTTL " KEY), ms - 4000, ms);
}

/* Another waiter for whom nobody listens, and so on. */
static inline void add_dead_waiters(int count)
{
    freeReplyObject(server_command(the_server, "EVAL %s 1 " KEY " %d",
                                   "for i = 1, ARGV[1] do redis.call('ZADD', KEYS[1], 100000000000000 + i,"
                                   "'2000 inbox:dead' .. i .. ' x dead.' .. i .. ' host:1:dead') end",
                                   count));
}

typedef struct picture {
    char bytes[8192];
    size_t length;
} picture;

static inline picture look(void)
{
    picture out = {.length = 0};
    redisReply *answer = server_command(the_server, "ZRANGE " KEY " 0 -1 WITHSCORES");
    for (size_t i = 0; i < answer->elements; i++)
        out.length +=
            (size_t)snprintf(out.bytes + out.length, sizeof out.bytes - out.length, "%s\n", answer->element[i]->str);
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
