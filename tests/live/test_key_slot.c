/* SPDX-License-Identifier: MIT
 * The slot of a key, as a real server in cluster mode computes it: thousands of random keys, NUL
 * bytes included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/server.h"
#include "wire/key.h"

enum { KEYS = 10000, BATCH = 500, KEY_MAX = 40 };

/* A server in cluster mode has a bus port even if it has no other. */
static int start(void **state)
{
    *state = server_start("--cluster-enabled yes --cluster-port {bus}");
    return 0;
}

static int stop(void **state)
{
    server_stop(*state);
    return 0;
}

typedef struct text {
    size_t length;
    char bytes[KEY_MAX];
} text;

/* splitmix64: the keys depend on the seed only. */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Half of the bytes are such as make or break a tag; the others are any. */
static text random_key(uint64_t *seed)
{
    static const char nasty[] = "{{}}%a\0\x7f=";
    text key = {.length = next_random(seed) % KEY_MAX};

    for (size_t i = 0; i < key.length; i++) {
        uint64_t dice = next_random(seed);

        key.bytes[i] = dice & 1 ? nasty[(dice >> 8) % (sizeof nasty - 1)] : (char)(dice >> 8 & 255);
    }
    return key;
}

static void ask_slot(redisContext *connection, const char *bytes, size_t length)
{
    const char *words[] = {"CLUSTER", "KEYSLOT", bytes};
    const size_t lengths[] = {7, 7, length};

    assert_int_equal(redisAppendCommandArgv(connection, 3, words, lengths), REDIS_OK);
}

static long long read_slot(redisContext *connection)
{
    redisReply *answer = NULL;

    assert_int_equal(redisGetReply(connection, (void **)&answer), REDIS_OK);
    assert_int_equal(answer->type, REDIS_REPLY_INTEGER);
    long long slot = answer->integer;
    freeReplyObject(answer);
    return slot;
}

static void compare_batch(redisContext *connection, uint64_t *seed, text (*next)(uint64_t *))
{
    static text keys[BATCH];

    for (int i = 0; i < BATCH; i++) {
        keys[i] = next(seed);
        ask_slot(connection, keys[i].bytes, keys[i].length);
    }
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(read_slot(connection), key_slot(keys[i].bytes, keys[i].length));
    }
}

static void compare(server *with, uint64_t seed, text (*next)(uint64_t *))
{
    redisContext *connection = redisConnectUnix(server_socket(with));

    assert_non_null(connection);
    assert_int_equal(connection->err, 0);
    for (int done = 0; done < KEYS; done += BATCH) compare_batch(connection, &seed, next);
    redisFree(connection);
}

static void the_server_and_we_agree_on_the_slot_of_any_key(void **state)
{
    compare(*state, 1, random_key);
}

/* The key of a random name, which key_write made. */
static text written_key(uint64_t *seed)
{
    text name = random_key(seed), key = {.length = 0};

    if (name.length == 0) return key;
    name.length = (name.length + 3) / 4;
    key.length = key_write(key.bytes, sizeof key.bytes, "p:", name.bytes, name.length);
    assert_true(key.length <= sizeof key.bytes);
    return key;
}

static void the_server_and_we_agree_on_the_slot_of_every_lock(void **state)
{
    compare(*state, 2, written_key);
}

/* Promise of docs/protocol.md: a tagged name lives where the user's own data with that tag do. */
static void a_tagged_lock_is_in_the_slot_of_its_name(void **state)
{
    const char name[] = "acct{7}x";
    text key = {.length = 0};

    key.length = key_write(key.bytes, sizeof key.bytes, "redlock:", name, sizeof name - 1);
    assert_int_equal(server_number(*state, "CLUSTER KEYSLOT %b", key.bytes, key.length),
                     server_number(*state, "CLUSTER KEYSLOT %s", name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_and_we_agree_on_the_slot_of_any_key),
        cmocka_unit_test(the_server_and_we_agree_on_the_slot_of_every_lock),
        cmocka_unit_test(a_tagged_lock_is_in_the_slot_of_its_name),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
