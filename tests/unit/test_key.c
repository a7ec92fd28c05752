/* SPDX-License-Identifier: MIT
 * wire/key: the escaping example by example, then its laws over nasty names: small ones
 * exhaustively, long ones from a seeded generator. The slots were told by redis-server 7.0.15
 * (CLUSTER KEYSLOT). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/key.h"

enum { ROOM = 400 };

typedef struct text {
    size_t length;
    char bytes[ROOM];
} text;

static text key_of(const char *prefix, const void *name, size_t length)
{
    text key;

    memset(&key, 0, sizeof key);
    key.length = key_write(key.bytes, sizeof key.bytes, prefix, name, length);
    assert_true(key.length < sizeof key.bytes);
    return key;
}

#define assert_key(name, expected)                                                                 \
    do {                                                                                           \
        text key_ = key_of("redlock:", (name), sizeof(name) - 1);                                  \
        assert_int_equal(key_.length, sizeof(expected) - 1);                                       \
        assert_memory_equal(key_.bytes, (expected), sizeof(expected) - 1);                         \
    } while (0)

static void a_plain_name_is_wrapped_into_a_tag(void **state)
{
    (void)state;
    assert_key("invoice:42", "redlock:{invoice:42}");
    assert_key("a", "redlock:{a}");
    assert_key("=", "redlock:{=}");
    assert_key(" \xc3\xa9~", "redlock:{ \xc3\xa9~}");
}

static void a_tag_is_kept_where_it_is(void **state)
{
    (void)state;
    assert_key("acct{7}x", "redlock:=acct{7}x");
    assert_key("{a}", "redlock:={a}");
}

static void a_kept_tag_is_not_changed(void **state)
{
    (void)state;
    assert_key("{%\0\x7f{}", "redlock:={%\0\x7f{}");
}

static void what_would_break_the_tag_is_escaped(void **state)
{
    (void)state;
    assert_key("a\0b", "redlock:{a%00b}");
    assert_key("\x01\x1f\x7f", "redlock:{%01%1F%7F}");
    assert_key("100%", "redlock:{100%25}");
    assert_key("%7B", "redlock:{%257B}");
}

static void braces_that_are_no_tag_are_escaped(void **state)
{
    (void)state;
    assert_key("{", "redlock:{%7B}");
    assert_key("}", "redlock:{%7D}");
    assert_key("{}", "redlock:{%7B%7D}");
    assert_key("}a{", "redlock:{%7Da%7B}");
    assert_key("a{}b{c}", "redlock:{a%7B%7Db%7Bc%7D}");
}

static void around_a_tag_everything_is_escaped(void **state)
{
    (void)state;
    assert_key("}%{t}{u}\n", "redlock:=%7D%25{t}%7Bu%7D%0A");
}

static void the_prefix_may_be_empty(void **state)
{
    text key = key_of("", "a", 1);

    (void)state;
    assert_int_equal(key.length, 3);
    assert_memory_equal(key.bytes, "{a}", 3);
}

static void a_name_has_1_to_65536_bytes(void **state)
{
    char *name = calloc(1, KEY_NAME_MAX + 1);

    (void)state;
    assert_non_null(name);
    assert_int_equal(key_write(NULL, 0, "redlock:", "", 0), 0);
    assert_int_equal(key_write(NULL, 0, "redlock:", NULL, 0), 0);
    assert_int_equal(key_write(NULL, 0, "redlock:", name, KEY_NAME_MAX), 8 + 2 + 3 * KEY_NAME_MAX);
    assert_int_equal(key_write(NULL, 0, "redlock:", name, KEY_NAME_MAX + 1), 0);
    free(name);
}

static void a_key_that_does_not_fit_writes_nothing_beyond_the_end(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 20; size++) {
        char out[24];

        memset(out, 'Z', sizeof out);
        assert_int_equal(key_write(out, size, "p:", "x\n{tag}\n", 8), 15);
        for (size_t i = size < 15 ? size : 15; i < sizeof out; i++) assert_int_equal(out[i], 'Z');
    }
}

static void a_prefix_has_no_braces_and_no_controls(void **state)
{
    const char *wrong[] = {"{", "}", "a{", "a\n", "\x7f", "\x1f"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(key_prefix_is_valid(wrong[i]));
    assert_true(key_prefix_is_valid(""));
    assert_true(key_prefix_is_valid("redlock:"));
    assert_true(key_prefix_is_valid("a b%=\xc3\xa9~"));
}

static void a_prefix_has_at_most_256_bytes(void **state)
{
    char prefix[KEY_PREFIX_MAX + 2];

    (void)state;
    memset(prefix, 'p', sizeof prefix);
    prefix[KEY_PREFIX_MAX] = '\0';
    assert_true(key_prefix_is_valid(prefix));
    prefix[KEY_PREFIX_MAX] = 'p';
    prefix[KEY_PREFIX_MAX + 1] = '\0';
    assert_false(key_prefix_is_valid(prefix));
}

/* ---- Laws ---- */

static int by_bytes(const void *a, const void *b)
{
    const text *left = a, *right = b;

    if (left->length != right->length) return left->length < right->length ? -1 : 1;
    return memcmp(left->bytes, right->bytes, left->length);
}

/* The n-th name over an alphabet, counted in base `letters`, the empty name left out. */
static size_t nth_name(char *name, size_t n, const char *alphabet, size_t letters)
{
    size_t length = 0;

    for (n++; n > 0; n = (n - 1) / letters) name[length++] = alphabet[(n - 1) % letters];
    return length;
}

static void all_short_names_have_different_keys_over(const char *alphabet, size_t letters,
                                                     size_t names)
{
    text *keys = calloc(names, sizeof *keys);

    assert_non_null(keys);
    for (size_t n = 0; n < names; n++) {
        char name[16];

        keys[n] = key_of("", name, nth_name(name, n, alphabet, letters));
    }
    qsort(keys, names, sizeof *keys, by_bytes);
    for (size_t n = 1; n < names; n++) assert_int_not_equal(by_bytes(&keys[n - 1], &keys[n]), 0);
    free(keys);
}

static void two_different_names_never_have_the_same_key(void **state)
{
    (void)state;
    /* Up to five letters: 8 + 8^2 + ... + 8^5 names; then up to six of those that spell escapes. */
    all_short_names_have_different_keys_over("{}%a\0\x7f=\xc3", 8, 37448);
    all_short_names_have_different_keys_over("{}%7B", 5, 19530);
}

/* splitmix64: a name depends on the seed only. */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static text random_name(uint64_t *seed)
{
    static const char alphabet[] = "{{}}%a\0\x7f=\xc3\xa9"
                                   "07BD";
    text name = {.length = 1 + next_random(seed) % 60};

    for (size_t i = 0; i < name.length; i++) {
        name.bytes[i] = alphabet[next_random(seed) % (sizeof alphabet - 1)];
    }
    return name;
}

static int digit_of(char digit) { return digit <= '9' ? digit - '0' : digit - 'A' + 10; }

static void unescape(text *out, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char byte = bytes[i];

        if (byte == '%') {
            byte = (char)(digit_of(bytes[i + 1]) * 16 + digit_of(bytes[i + 2]));
            i += 2;
        }
        out->bytes[out->length++] = byte;
    }
}

/* Reads a key back as docs/protocol.md describes it, without a look at key.c. */
static text name_of(const text *key)
{
    text name = {.length = 0};

    if (key->bytes[0] == '{') {
        unescape(&name, key->bytes + 1, key->length - 2);
        return name;
    }
    size_t open = (size_t)((const char *)memchr(key->bytes, '{', key->length) - key->bytes);
    size_t close =
        (size_t)((const char *)memchr(key->bytes + open, '}', key->length - open) - key->bytes);

    unescape(&name, key->bytes + 1, open - 1);
    memcpy(name.bytes + name.length, key->bytes + open, close - open + 1);
    name.length += close - open + 1;
    unescape(&name, key->bytes + close + 1, key->length - close - 1);
    return name;
}

static void every_name_can_be_read_back_from_its_key(void **state)
{
    uint64_t seed = 42;

    (void)state;
    for (int round = 0; round < 100000; round++) {
        text name = random_name(&seed);
        text key = key_of("", name.bytes, name.length);
        text back = name_of(&key);

        assert_int_equal(by_bytes(&name, &back), 0);
    }
}

static bool has_tag(const text *name)
{
    const char *end = name->bytes + name->length;
    const char *open = memchr(name->bytes, '{', name->length);
    const char *close = open != NULL ? memchr(open, '}', (size_t)(end - open)) : NULL;

    return close != NULL && close > open + 1;
}

static void a_tagged_name_stays_in_its_own_slot(void **state)
{
    uint64_t seed = 7;
    int tagged = 0;

    (void)state;
    for (int round = 0; round < 100000; round++) {
        text name = random_name(&seed);
        if (!has_tag(&name)) continue;

        text key = key_of("redlock:", name.bytes, name.length);

        tagged++;
        assert_int_equal(key_slot(key.bytes, key.length), key_slot(name.bytes, name.length));
    }
    assert_true(tagged > 1000);
}

static void the_slot_of_a_wrapped_name_is_that_of_its_escaped_bytes_alone(void **state)
{
    uint64_t seed = 11;

    (void)state;
    for (int round = 0; round < 100000; round++) {
        text name = random_name(&seed);
        if (has_tag(&name)) continue;

        text key = key_of("redlock:", name.bytes, name.length);

        assert_int_equal(key_slot(key.bytes, key.length), key_slot(key.bytes + 9, key.length - 10));
    }
}

#define assert_slot(key, slot) assert_int_equal(key_slot((key), sizeof(key) - 1), (slot))

static void slots_are_those_of_the_server(void **state)
{
    (void)state;
    assert_slot("", 0);
    assert_slot("123456789", 12739);
    assert_slot("foo", 12182);
    assert_slot("7", 1716);
    assert_slot("\xc3\xa9", 10180);
    assert_slot("redlock:{invoice:42}", 13368);
    assert_slot("redlock:=acct{7}x", 1716);
}

static void the_tag_is_what_the_server_takes_for_it(void **state)
{
    (void)state;
    assert_slot("{user1000}.following", 3443);
    assert_slot("foo{}{bar}", 8363);
    assert_slot("foo{{bar}}zap", 4015);
    assert_slot("foo{bar}{zap}", 5061);
    assert_slot("}a{b", 4079);
    assert_slot("{", 4092);
}

static void a_nul_does_not_end_a_key(void **state)
{
    (void)state;
    assert_slot("a\0b", 8383);
    assert_slot("x{\0y}z", 12222);
}

/* ---- Tags ---- */

static void every_slot_has_a_tag_of_its_own(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot < KEY_SLOTS; slot++) {
        char tag[SLOT_TAG_SIZE], channel[SLOT_TAG_SIZE + 8];

        slot_tag_write(tag, (uint16_t)slot);
        assert_int_equal(key_slot(tag, strlen(tag)), slot);
        snprintf(channel, sizeof channel, "7{%s}", tag);
        assert_int_equal(key_slot(channel, strlen(channel)), slot);
    }
}

/* All that their four free bits can say, so that no space, brace or control is among them. */
static void a_tag_is_four_characters_from_the_backquote_to_o(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot < KEY_SLOTS; slot++) {
        char tag[SLOT_TAG_SIZE + 1];

        memset(tag, '#', sizeof tag);
        slot_tag_write(tag, (uint16_t)slot);
        assert_int_equal(strspn(tag, "`abcdefghijklmno"), SLOT_TAG_SIZE - 1);
        assert_int_equal(tag[SLOT_TAG_SIZE - 1], '\0');
        assert_int_equal(tag[SLOT_TAG_SIZE], '#');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_name_is_wrapped_into_a_tag),
        cmocka_unit_test(a_tag_is_kept_where_it_is),
        cmocka_unit_test(a_kept_tag_is_not_changed),
        cmocka_unit_test(what_would_break_the_tag_is_escaped),
        cmocka_unit_test(braces_that_are_no_tag_are_escaped),
        cmocka_unit_test(around_a_tag_everything_is_escaped),
        cmocka_unit_test(the_prefix_may_be_empty),
        cmocka_unit_test(a_name_has_1_to_65536_bytes),
        cmocka_unit_test(a_key_that_does_not_fit_writes_nothing_beyond_the_end),
        cmocka_unit_test(a_prefix_has_no_braces_and_no_controls),
        cmocka_unit_test(a_prefix_has_at_most_256_bytes),
        cmocka_unit_test(two_different_names_never_have_the_same_key),
        cmocka_unit_test(every_name_can_be_read_back_from_its_key),
        cmocka_unit_test(a_tagged_name_stays_in_its_own_slot),
        cmocka_unit_test(the_slot_of_a_wrapped_name_is_that_of_its_escaped_bytes_alone),
        cmocka_unit_test(slots_are_those_of_the_server),
        cmocka_unit_test(the_tag_is_what_the_server_takes_for_it),
        cmocka_unit_test(a_nul_does_not_end_a_key),
        cmocka_unit_test(every_slot_has_a_tag_of_its_own),
        cmocka_unit_test(a_tag_is_four_characters_from_the_backquote_to_o),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
