/* SPDX-License-Identifier: MIT
 * net/codec: commands to bytes, bytes to reply trees, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/codec.h"

typedef struct heap {
    size_t live, taken;
    int allowed; /* blocks until it is empty; -1: never */
} heap;

static void *allocate(void *arg, size_t size)
{
    heap *self = arg;
    if (self->allowed == 0) return NULL;
    if (self->allowed > 0) self->allowed--;
    void *block = malloc(size);
    if (block == NULL) return NULL;
    self->live++;
    self->taken += size;
    return memset(block, 0xa5, size);
}

static void release(void *arg, void *block)
{
    ((heap *)arg)->live--;
    free(block);
}

static heap blocks;
static memory from;
static codec_reader *reader;

static int set_up(void **state)
{
    (void)state;
    blocks = (heap){.allowed = -1};
    from = (memory){.allocate = allocate, .release = release, .arg = &blocks};
    reader = codec_reader_new(&from);
    return reader == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    codec_reader_free(reader);
    return blocks.live != 0;
}

static void feed(const char *text) { assert_true(codec_feed(reader, text, strlen(text))); }

static const reply *next_reply(void)
{
    const reply *out = NULL;
    assert_int_equal(codec_next(reader, &out), CODEC_REPLY);
    assert_non_null(out);
    return out;
}

static void assert_next(enum codec_result expected)
{
    const reply *out;
    assert_int_equal(codec_next(reader, &out), expected);
}

static void assert_refused(const char *text)
{
    assert_true(codec_reader_reset(reader));
    (void)codec_feed(reader, text, strlen(text));
    assert_next(CODEC_REFUSED);
    assert_false(codec_feed(reader, "+OK\r\n", 5));
    assert_next(CODEC_REFUSED);
}

/* ---- Commands -------------------------------------------------------------------------------- */

static void a_command_is_written_as_counted_strings(void **state)
{
    (void)state;
    static const char expected[] = "*3\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$0\r\n\r\n";
    command cmd;
    command_begin(&cmd, "SET");
    command_add(&cmd, "a\0b", 3);
    command_add(&cmd, "", 0);
    outbox out = {0};
    size_t length;
    assert_true(codec_write(&out, &from, &cmd));
    const char *bytes = outbox_head(&out, &length);
    assert_int_equal(length, sizeof expected - 1);
    assert_memory_equal(bytes, expected, sizeof expected - 1);
    outbox_free(&out, &from);
}

static void a_command_that_finds_no_memory_changes_nothing(void **state)
{
    (void)state;
    command cmd;
    command_begin(&cmd, "PING");
    outbox out = {0};
    size_t length;
    blocks.allowed = 0;
    assert_false(codec_write(&out, &from, &cmd));
    assert_true(outbox_is_empty(&out));
    blocks.allowed = -1;
    assert_true(codec_write(&out, &from, &cmd));
    (void)outbox_head(&out, &length);
    assert_int_equal(length, 14);
    outbox_free(&out, &from);
}

/* ---- Replies --------------------------------------------------------------------------------- */

static void nothing_fed_is_more_to_come(void **state)
{
    (void)state;
    assert_next(CODEC_MORE);
    feed("+O");
    assert_next(CODEC_MORE);
    assert_next(CODEC_MORE);
}

static void scalars_keep_their_kind_and_value(void **state)
{
    (void)state;
    feed("+OK\r\n-ERR "
         "no\r\n:-42\r\n:9223372036854775807\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n");
    const reply *out = next_reply();
    assert_int_equal(out->kind, REPLY_STATUS);
    assert_string_equal(out->text, "OK");
    out = next_reply();
    assert_int_equal(out->kind, REPLY_ERROR);
    assert_string_equal(out->text, "ERR no");
    assert_int_equal(next_reply()->integer, -42);
    assert_true(next_reply()->integer == INT64_MAX);
    out = next_reply();
    assert_int_equal(out->kind, REPLY_STRING);
    assert_int_equal(out->length, 5);
    assert_string_equal(out->text, "a\r\nbc");
    out = next_reply();
    assert_int_equal(out->length, 0);
    assert_string_equal(out->text, "");
    assert_int_equal(next_reply()->kind, REPLY_NIL);
    assert_int_equal(next_reply()->kind, REPLY_NIL);
    assert_next(CODEC_MORE);
}

static void a_short_text_after_a_long_one_ends_where_it_ends(void **state)
{
    (void)state;
    feed("$8\r\nabcdefgh\r\n$2\r\nxy\r\n");
    assert_string_equal(next_reply()->text, "abcdefgh");
    assert_string_equal(next_reply()->text, "xy");
}

static void items_of_nested_arrays_are_found_by_index(void **state)
{
    (void)state;
    feed("*3\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n*0\r\n:7\r\n");
    const reply *out = next_reply();
    assert_int_equal(out->count, 3);
    assert_int_equal(out->items[0].count, 2);
    assert_int_equal(out->items[0].items[0].integer, 1);
    assert_string_equal(out->items[0].items[1].items[0].text, "x");
    assert_int_equal(out->items[1].kind, REPLY_ARRAY);
    assert_int_equal(out->items[1].count, 0);
    assert_int_equal(out->items[2].integer, 7);
}

static void bytes_that_come_singly_make_the_same_reply(void **state)
{
    (void)state;
    static const char stream[] = "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n*2\r\n:5\r\n+yes\r\n";
    for (size_t i = 0; i + 1 < sizeof stream; i++) {
        assert_next(CODEC_MORE);
        assert_true(codec_feed(reader, stream + i, 1));
    }
    const reply *out = next_reply();
    assert_string_equal(out->items[0].text, "message");
    assert_string_equal(out->items[1].text, "ch");
    assert_int_equal(out->items[2].items[0].integer, 5);
    assert_string_equal(out->items[2].items[1].text, "yes");
}

static void nodes_stay_where_they_are_while_a_long_reply_comes(void **state)
{
    (void)state;
    char item[64];
    feed("*2000\r\n");
    for (int i = 0; i < 2000; i++) {
        snprintf(item, sizeof item, "$20\r\n%020d\r\n", i);
        assert_next(CODEC_MORE);
        feed(item);
    }
    const reply *out = next_reply();
    for (int i = 0; i < 2000; i++) assert_int_equal(atoi(out->items[i].text), i);
}

static void an_ordinary_reply_takes_no_memory(void **state)
{
    (void)state;
    size_t before = blocks.taken;
    for (int i = 0; i < 1000; i++) {
        feed("*5\r\n:1\r\n:2\r\n:3\r\n:4\r\n$36\r\n0123456789abcdef0123456789abcdef0123\r\n");
        assert_int_equal(next_reply()->count, 5);
    }
    assert_int_equal(blocks.taken, before);
}

static void a_large_reply_gives_its_memory_back(void **state)
{
    (void)state;
    static char text[100000];
    memset(text, 'x', sizeof text);
    size_t before = blocks.live;
    feed("$100000\r\n");
    assert_true(codec_feed(reader, text, sizeof text));
    feed("\r\n:1\r\n");
    assert_int_equal(next_reply()->length, sizeof text);
    assert_int_equal(blocks.live, before + 1);
    assert_int_equal(next_reply()->integer, 1);
    assert_int_equal(blocks.live, before);
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void malformed_streams_are_refused(void **state)
{
    (void)state;
    assert_refused("HTTP/1.1 400\r\n");
    assert_refused("$-2\r\n");
    assert_refused("*-2\r\n");
    assert_refused(":12x\r\n");
    assert_refused(":9223372036854775808\r\n");
    assert_refused("*1\r\n?\r\n");
    assert_refused("\r\n");
}

static void types_of_the_newer_protocol_are_refused(void **state)
{
    (void)state;
    assert_refused("%1\r\n+a\r\n:1\r\n");
    assert_refused("~1\r\n:1\r\n");
    assert_refused(">3\r\n+a\r\n+b\r\n+c\r\n");
    assert_refused("#t\r\n");
    assert_refused(",1.5\r\n");
    assert_refused("(12345678901234567890\r\n");
    assert_refused("=5\r\ntxt:a\r\n");
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    feed("*1\r\n*1\r\n*1\r\n*1\r\n:9\r\n");
    assert_int_equal(next_reply()->items[0].items[0].items[0].items[0].integer, 9);
    assert_refused("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:9\r\n");
}

static void arrays_have_a_limit_before_their_memory_is_taken(void **state)
{
    (void)state;
    size_t before = blocks.taken;
    assert_refused("*8193\r\n");
    assert_refused("*2147483647\r\n");
    assert_refused("*4294967296\r\n");
    assert_refused("*9223372036854775807\r\n");
    assert_int_equal(blocks.taken, before);
    assert_true(codec_reader_reset(reader));
    feed("*8192\r\n");
    assert_next(CODEC_MORE);
}

static void arrays_within_arrays_share_the_limit(void **state)
{
    (void)state;
    feed("*2\r\n*8000\r\n");
    assert_next(CODEC_MORE);
    assert_refused("*2\r\n*191\r\n*8000\r\n");
    assert_refused("*2\r\n*0\r\n*8191\r\n");
}

/* As CLUSTER SLOTS answers: arrays of arrays, and many of them. */
static void feed_table(size_t ranges)
{
    char head[32];
    snprintf(head, sizeof head, "*%zu\r\n", ranges);
    feed(head);
    for (size_t i = 0; i < ranges; i++) feed("*3\r\n:1\r\n:1\r\n*2\r\n$1\r\na\r\n:1\r\n");
}

enum { RANGE_ELEMENTS = 6, RANGES = 16384 };

static void more_elements_pass_where_they_are_allowed(void **state)
{
    (void)state;
    codec_reader_allow(reader, RANGE_ELEMENTS * RANGES);
    for (int i = 0; i < 2; i++) { /* they are those of one reply */
        feed_table(RANGES);
        const reply *table = next_reply();
        assert_int_equal(table->count, RANGES);
        assert_int_equal(table->items[RANGES - 1].items[2].items[1].integer, 1);
    }
}

static void beyond_what_is_allowed_a_reply_is_refused(void **state)
{
    (void)state;
    codec_reader_allow(reader, RANGE_ELEMENTS * RANGES - 1);
    feed_table(RANGES - 1);
    assert_int_equal(next_reply()->count, RANGES - 1);
    feed_table(RANGES);
    assert_next(CODEC_REFUSED);
    assert_refused("*98304\r\n");
    assert_false(codec_lacks_memory(reader));
}

static void what_was_allowed_for_one_reply_ends_with_it(void **state)
{
    (void)state;
    codec_reader_allow(reader, RANGE_ELEMENTS * RANGES);
    feed_table(RANGES);
    feed("*8193\r\n");
    assert_int_equal(next_reply()->count, RANGES);
    codec_reader_allow(reader, CODEC_ELEMENTS_MAX);
    assert_next(CODEC_REFUSED);
    assert_true(codec_reader_reset(reader));
    feed_table(CODEC_ELEMENTS_MAX / RANGE_ELEMENTS);
    assert_int_equal(next_reply()->count, CODEC_ELEMENTS_MAX / RANGE_ELEMENTS);
}

/* Whoever asked for it may hear late that its connection ended, and another reply is coming. */
static void a_reply_that_has_more_when_less_is_allowed_ends(void **state)
{
    (void)state;
    codec_reader_allow(reader, RANGE_ELEMENTS * RANGES);
    feed("*9000\r\n");
    assert_next(CODEC_MORE);
    codec_reader_allow(reader, CODEC_ELEMENTS_MAX);
    feed(":1\r\n");
    assert_next(CODEC_MORE);
    size_t before = blocks.taken;
    feed("*100000\r\n");
    assert_next(CODEC_REFUSED);
    assert_int_equal(blocks.taken, before);
}

static void an_endless_string_is_refused(void **state)
{
    (void)state;
    static char text[1 << 16];
    memset(text, 'x', sizeof text);
    feed("$4000000000\r\n");
    size_t fed = 13;
    const reply *out;
    while (codec_next(reader, &out) == CODEC_MORE) {
        assert_in_range(fed, 0, CODEC_REPLY_BYTES_MAX);
        assert_true(codec_feed(reader, text, sizeof text));
        fed += sizeof text;
    }
    assert_in_range(fed, CODEC_REPLY_BYTES_MAX, CODEC_REPLY_BYTES_MAX + sizeof text);
}

static void an_array_that_drips_for_ever_is_refused(void **state)
{
    (void)state;
    static char item[4096 + 16];
    int start = snprintf(item, sizeof item, "$4096\r\n");
    memset(item + start, 'x', 4096);
    memcpy(item + start + 4096, "\r\n", 3);
    feed("*8000\r\n");
    int items = 0;
    const reply *out;
    for (; codec_next(reader, &out) == CODEC_MORE; items++) feed(item);
    assert_in_range(items, 1000, 1024);
}

static void many_small_replies_are_never_too_much(void **state)
{
    (void)state;
    static char text[1 << 16];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 100; i++) {
        feed("$65536\r\n");
        assert_true(codec_feed(reader, text, sizeof text));
        feed("\r\n");
        assert_int_equal(next_reply()->length, sizeof text);
        assert_next(CODEC_MORE);
    }
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void a_reader_that_was_reset_begins_anew(void **state)
{
    (void)state;
    feed("*3\r\n:1\r\n$10\r\nabc");
    assert_next(CODEC_MORE);
    assert_true(codec_reader_reset(reader));
    feed("+OK\r\n");
    assert_string_equal(next_reply()->text, "OK");
}

static void a_reader_without_memory_is_none(void **state)
{
    (void)state;
    for (int allowed = 0; allowed < 2; allowed++) {
        blocks.allowed = allowed;
        assert_null(codec_reader_new(&from));
    }
    blocks.allowed = -1;
}

static void a_reply_without_memory_is_refused(void **state)
{
    (void)state;
    blocks.allowed = 0;
    feed("*1000\r\n");
    assert_next(CODEC_REFUSED);
    blocks.allowed = -1;
    assert_true(codec_reader_reset(reader));
    feed(":1\r\n");
    assert_int_equal(next_reply()->integer, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_is_written_as_counted_strings),
        TEST(a_command_that_finds_no_memory_changes_nothing),
        TEST(nothing_fed_is_more_to_come),
        TEST(scalars_keep_their_kind_and_value),
        TEST(a_short_text_after_a_long_one_ends_where_it_ends),
        TEST(items_of_nested_arrays_are_found_by_index),
        TEST(bytes_that_come_singly_make_the_same_reply),
        TEST(nodes_stay_where_they_are_while_a_long_reply_comes),
        TEST(an_ordinary_reply_takes_no_memory),
        TEST(a_large_reply_gives_its_memory_back),
        TEST(malformed_streams_are_refused),
        TEST(types_of_the_newer_protocol_are_refused),
        TEST(nesting_has_a_limit),
        TEST(arrays_have_a_limit_before_their_memory_is_taken),
        TEST(arrays_within_arrays_share_the_limit),
        TEST(more_elements_pass_where_they_are_allowed),
        TEST(beyond_what_is_allowed_a_reply_is_refused),
        TEST(what_was_allowed_for_one_reply_ends_with_it),
        TEST(a_reply_that_has_more_when_less_is_allowed_ends),
        TEST(an_endless_string_is_refused),
        TEST(an_array_that_drips_for_ever_is_refused),
        TEST(many_small_replies_are_never_too_much),
        TEST(a_reader_that_was_reset_begins_anew),
        TEST(a_reader_without_memory_is_none),
        TEST(a_reply_without_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
