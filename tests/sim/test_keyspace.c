/* SPDX-License-Identifier: MIT
 * The simulator's keyspace against a real server, command by command, with random commands from a
 * printed seed. Rule: expiry is compared by what PTTL says, to within the time that the commands
 * themselves take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/dice.h"
#include "sim/server/keyspace.h"
#include "support/server.h"

enum { COMMANDS = 40000, WORDS_MOST = 12, WORD_SIZE = 40, TTL_TOLERANCE_MS = 5000 };

static server *the_server;
static redisContext *on;
static keyspace ours;
static outcome answer;

static int start(void **state)
{
    (void)state;
    the_server = server_start(NULL);
    on = redisConnectUnix(server_socket(the_server));
    return on == NULL || on->err;
}

static int stop(void **state)
{
    (void)state;
    redisFree(on);
    server_stop(the_server);
    return 0;
}

/* ---- Random commands ------------------------------------------------------------------------- */

typedef struct sentence {
    int count;
    char text[WORDS_MOST][WORD_SIZE];
} sentence;

static void say(sentence *out, const char *word)
{
    snprintf(out->text[out->count++], WORD_SIZE, "%s", word);
}

static void say_key(sentence *out, dice *chance)
{
    say(out, dice_below(chance, 3) == 0 ? "b" : "a");
}

static void say_member(sentence *out, dice *chance)
{
    static const char *const members[] = {
        "f1", "- 1.a me", "- 2.a you", "@o 3.b he", "?3.b", "9 c s 3 he", "x", "", "z z", "F"};
    say(out, members[dice_below(chance, 10)]);
}

/* Scores of every band, close together and far apart, and a few that are none. */
static void say_score(sentence *out, dice *chance)
{
    static const char *const odd[] = {"0",    "-0", "1.5", "-1800000000000123", "1e3", "inf",
                                      "-inf", "x",  "",    "1800000000123456",  " 1",  "nan"};
    static const char *const bands[] = {
        "180000000000%d",  "2018000000000%d0", "180000000000000%d",  "580000000000000%d",
        "-180000000000%d", "-21800000000%d00", "-580000000000000%d", "%d"};
    if (dice_below(chance, 6) == 0) say(out, odd[dice_below(chance, 12)]);
    else
        snprintf(out->text[out->count++], WORD_SIZE, bands[dice_below(chance, 8)],
                 (int)dice_below(chance, 10));
}

static void say_bound(sentence *out, dice *chance)
{
    int at = out->count;
    say_score(out, chance);
    if (dice_below(chance, 3) != 0 || strlen(out->text[at]) > 30) return;
    memmove(out->text[at] + 1, out->text[at], strlen(out->text[at]) + 1);
    out->text[at][0] = '(';
}

static void say_rank(sentence *out, dice *chance)
{
    static const char *const ranks[] = {"0",   "1", "2",   "-1", "-2", "5", "-7",
                                        "100", "x", "1.0", "",   "+1", "01"};
    say(out, ranks[dice_below(chance, dice_below(chance, 4) == 0 ? 13 : 8)]);
}

static void say_selection(sentence *out, dice *chance)
{
    if (dice_below(chance, 2) == 0)
        say(out, dice_below(chance, 9) == 0 ? "withscore" : "WITHSCORES");
    if (dice_below(chance, 2) != 0) return;
    say(out, "LIMIT");
    say_rank(out, chance);
    if (dice_below(chance, 20) != 0) say_rank(out, chance);
}

static void say_zadd(sentence *out, dice *chance)
{
    say_key(out, chance);
    static const char *const options[] = {"NX", "XX", "LT", "GT", "CH"};
    for (int64_t some = dice_below(chance, 4) - 1; some > 0; some--)
        say(out, options[dice_below(chance, 5)]);
    for (int64_t pairs = dice_between(chance, 1, 3); pairs > 0; pairs--) {
        say_score(out, chance);
        if (dice_below(chance, 50) != 0) say_member(out, chance);
    }
}

static void say_pexpire(sentence *out, dice *chance)
{
    static const char *const spans[] = {"60000",      "7000000", "0", "-5",
                                        "2592000000", "1.5",     "x", "100000"};
    say_key(out, chance);
    say(out, spans[dice_below(chance, 8)]);
}

static void make(sentence *out, dice *chance)
{
    static const char *const verbs[] = {"ZADD",
                                        "ZADD",
                                        "ZADD",
                                        "ZREM",
                                        "ZCARD",
                                        "ZCOUNT",
                                        "ZSCORE",
                                        "ZRANK",
                                        "ZRANGE",
                                        "ZRANGEBYSCORE",
                                        "ZREVRANGEBYSCORE",
                                        "ZREMRANGEBYRANK",
                                        "ZREMRANGEBYSCORE",
                                        "DEL",
                                        "PEXPIRE",
                                        "PTTL",
                                        "zadd"};
    const char *verb = verbs[dice_below(chance, 17)];
    out->count = 0;
    say(out, verb);
    if (strcmp(verb, "ZADD") == 0 || strcmp(verb, "zadd") == 0) {
        say_zadd(out, chance);
    } else if (strcmp(verb, "PEXPIRE") == 0) {
        say_pexpire(out, chance);
    } else {
        say_key(out, chance);
        bool takes_member = strcmp(verb, "ZREM") == 0 || strcmp(verb, "ZSCORE") == 0 ||
                            strcmp(verb, "ZRANK") == 0;
        bool takes_ranks = strcmp(verb, "ZRANGE") == 0 || strcmp(verb, "ZREMRANGEBYRANK") == 0;
        bool takes_scores = strcmp(verb, "ZCOUNT") == 0 || strstr(verb, "BYSCORE") != NULL;
        if (takes_member) say_member(out, chance);
        for (int i = 0; i < 2 && takes_ranks; i++) say_rank(out, chance);
        for (int i = 0; i < 2 && takes_scores; i++) say_bound(out, chance);
        if (strcmp(verb, "ZRANGE") == 0 && dice_below(chance, 2) == 0) say(out, "WITHSCORES");
        if (strcmp(verb, "ZRANGEBYSCORE") == 0 || strcmp(verb, "ZREVRANGEBYSCORE") == 0)
            say_selection(out, chance);
    }
    if (dice_below(chance, 200) == 0) out->count--;
}

/* ---- Comparison ------------------------------------------------------------------------------ */

static const char *spell(const sentence *what)
{
    static char text[WORDS_MOST * (WORD_SIZE + 3)];
    text[0] = '\0';
    for (int i = 0; i < what->count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "[%s] ", what->text[i]);
    return text;
}

static void compare_text(const sentence *what, words a, const redisReply *b)
{
    if (a.length != b->len || memcmp(a.at, b->str, b->len) != 0)
        fail_msg("%s: ours is %.*s, the server's %s", spell(what), (int)a.length, a.at, b->str);
}

static void compare_kind(const sentence *what, const redisReply *theirs)
{
    static const int kinds[] = {REDIS_REPLY_INTEGER, REDIS_REPLY_STRING, REDIS_REPLY_NIL,
                                REDIS_REPLY_ARRAY, REDIS_REPLY_ERROR};
    if (theirs->type != kinds[answer.kind])
        fail_msg("%s: ours is of kind %d, the server's %d %s", spell(what), (int)answer.kind,
                 theirs->type, theirs->type == REDIS_REPLY_ERROR ? theirs->str : "");
}

static void compare(const sentence *what, const redisReply *theirs)
{
    compare_kind(what, theirs);
    bool is_time = strcmp(what->text[0], "PTTL") == 0 && answer.integer > 0;
    if (answer.kind == OUTCOME_BULK) compare_text(what, answer.text, theirs);
    if (answer.kind == OUTCOME_INTEGER && is_time) {
        assert_in_range(answer.integer, theirs->integer, theirs->integer + TTL_TOLERANCE_MS);
    } else if (answer.kind == OUTCOME_INTEGER && answer.integer != theirs->integer) {
        fail_msg("%s: ours is %lld, the server's %lld", spell(what), (long long)answer.integer,
                 theirs->integer);
    }
    if (answer.kind != OUTCOME_ARRAY) return;
    if (answer.count != theirs->elements)
        fail_msg("%s: %zu and %zu elements", spell(what), answer.count, theirs->elements);
    for (size_t i = 0; i < answer.count; i++)
        compare_text(what, answer.items[i], theirs->element[i]);
}

static void run_both(const sentence *what)
{
    const char *argv[WORDS_MOST];
    size_t lengths[WORDS_MOST];
    words given[WORDS_MOST];
    for (int i = 0; i < what->count; i++) {
        argv[i] = what->text[i];
        lengths[i] = strlen(argv[i]);
        given[i] = (words){argv[i], lengths[i]};
    }
    redisReply *theirs = redisCommandArgv(on, what->count, argv, lengths);
    assert_non_null(theirs);
    keyspace_run(&ours, &answer, what->count, given);
    compare(what, theirs);
    freeReplyObject(theirs);
}

static void every_command_answers_what_a_server_answers(void **state)
{
    (void)state;
    const char *given = getenv("REDLOCK_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 7;
    print_message("REDLOCK_SEED=%llu\n", (unsigned long long)seed);
    dice chance = dice_for(seed, 0);
    sentence what;
    keyspace_empty(&ours);
    ours.time_us = INT64_C(1800000000000000);
    for (int i = 0; i < COMMANDS; i++) {
        make(&what, &chance);
        run_both(&what);
    }
}

static void a_key_is_gone_after_the_millisecond_of_its_expiry(void **state)
{
    (void)state;
    words add[] = {{"ZADD", 4}, {"k", 1}, {"1", 1}, {"m", 1}},
          expire[] = {{"PEXPIRE", 7}, {"k", 1}, {"10", 2}};
    words card[] = {{"ZCARD", 5}, {"k", 1}};
    keyspace_empty(&ours);
    ours.time_us = 1000000;
    keyspace_run(&ours, &answer, 4, add);
    keyspace_run(&ours, &answer, 3, expire);
    ours.time_us = 1010999;
    keyspace_run(&ours, &answer, 2, card);
    assert_int_equal(answer.integer, 1);
    ours.time_us = 1011000;
    keyspace_run(&ours, &answer, 2, card);
    assert_int_equal(answer.integer, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_answers_what_a_server_answers),
        cmocka_unit_test(a_key_is_gone_after_the_millisecond_of_its_expiry),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
