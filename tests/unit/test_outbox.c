/* SPDX-License-Identifier: MIT
 * net/outbox: what was added comes out, in order, whatever the sizes; and how much memory that
 * takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/outbox.h"

typedef struct heap {
    size_t live, largest;
    int allowed; /* blocks until it is empty; -1: never */
} heap;

static heap blocks;
static memory from;
static outbox box;

static void *allocate(void *arg, size_t size)
{
    heap *self = arg;
    if (self->allowed == 0) return NULL;
    if (self->allowed > 0) self->allowed--;
    self->live++;
    if (size > self->largest) self->largest = size;
    return malloc(size);
}

static void release(void *arg, void *block)
{
    ((heap *)arg)->live--;
    free(block);
}

static int set_up(void **state)
{
    (void)state;
    blocks = (heap){.allowed = -1};
    from = (memory){.allocate = allocate, .release = release, .arg = &blocks};
    box = (outbox){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    outbox_free(&box, &from);
    return blocks.live != 0;
}

/* ---- A stream whose every byte is known by its place ---- */

static char byte_at(size_t place) { return (char)(place * 31 + place / 251); }

static void add(size_t *added, size_t length)
{
    char *bytes = malloc(length + 1);
    for (size_t i = 0; i < length; i++) bytes[i] = byte_at(*added + i);
    assert_true(outbox_add(&box, &from, bytes, length));
    *added += length;
    free(bytes);
}

/* Sends at most so much of the head. */
static void send_some(size_t *sent, size_t most)
{
    size_t length;
    const char *head = outbox_head(&box, &length);
    assert_true(length > 0);
    if (length > most) length = most;
    for (size_t i = 0; i < length; i++) assert_int_equal(head[i], byte_at(*sent + i));
    outbox_consume(&box, &from, length);
    *sent += length;
}

static void bytes_come_out_as_they_went_in(void **state)
{
    (void)state;
    uint32_t dice = 1;
    size_t added = 0, sent = 0;
    for (int round = 0; round < 4000; round++) {
        dice = dice * 1664525 + 1013904223;
        size_t size = (dice >> 16) % 300 + (round % 500 == 0 ? 200000 : 0);
        if (dice >> 31 == 0 || sent == added) add(&added, size);
        else send_some(&sent, size);
        assert_int_equal(outbox_is_empty(&box), sent == added);
    }
    while (sent < added) send_some(&sent, SIZE_MAX);
    assert_true(outbox_is_empty(&box));
}

static void what_is_added_lies_together(void **state)
{
    (void)state;
    size_t added = 0, length;
    add(&added, 100);
    add(&added, 3 * OUTBOX_CHUNK);
    (void)outbox_head(&box, &length);
    assert_int_equal(length, 100);
    outbox_consume(&box, &from, length);
    (void)outbox_head(&box, &length);
    assert_int_equal(length, 3 * OUTBOX_CHUNK);
}

static void a_small_batch_is_one_piece(void **state)
{
    (void)state;
    size_t added = 0, length;
    for (int i = 0; i < 100; i++) add(&added, 300);
    (void)outbox_head(&box, &length);
    assert_int_equal(length, added);
    assert_int_equal(blocks.live, 1);
}

static void a_few_bytes_take_little_memory_and_a_flood_takes_no_large_block(void **state)
{
    (void)state;
    size_t added = 0;
    add(&added, 10);
    assert_in_range(blocks.largest, 1, 1024);
    while (added < 40 * OUTBOX_CHUNK) add(&added, 250);
    assert_in_range(blocks.largest, 1, OUTBOX_CHUNK);
    assert_in_range(blocks.live, 40, 42);
}

/* Half full, sent and filled again for ever: it neither grows nor creeps. */
static void a_steady_stream_needs_one_chunk(void **state)
{
    (void)state;
    size_t added = 0, sent = 0;
    add(&added, 1000);
    for (int i = 0; i < 10000; i++) {
        add(&added, 70);
        send_some(&sent, 70);
    }
    assert_int_equal(blocks.live, 1);
    assert_in_range(blocks.largest, 1, 4096);
}

static void an_empty_one_keeps_at_most_a_chunk(void **state)
{
    (void)state;
    size_t added = 0, sent = 0;
    while (added < 10 * OUTBOX_CHUNK) add(&added, 250);
    while (sent < added) send_some(&sent, SIZE_MAX);
    assert_int_equal(blocks.live, 1);
    add(&added, 5 * OUTBOX_CHUNK);
    outbox_clear(&box, &from);
    assert_true(outbox_is_empty(&box));
    assert_in_range(blocks.live, 0, 1);
    sent = added;
    add(&added, 10);
    send_some(&sent, 10);
    add(&added, 5 * OUTBOX_CHUNK); /* beside the chunk that was kept, which has no room for it */
    assert_int_equal(blocks.live, 1);
    send_some(&sent, SIZE_MAX);
    assert_int_equal(sent, added);
}

static void without_memory_nothing_is_added(void **state)
{
    (void)state;
    size_t added = 0, sent = 0;
    blocks.allowed = 0;
    assert_false(outbox_add(&box, &from, "x", 1));
    assert_true(outbox_is_empty(&box));
    blocks.allowed = 1;
    add(&added, 400);
    char *more = calloc(1, 2 * OUTBOX_CHUNK);
    assert_false(outbox_add(&box, &from, more, 400));              /* to grow */
    assert_false(outbox_add(&box, &from, more, 2 * OUTBOX_CHUNK)); /* another chunk */
    free(more);
    blocks.allowed = -1;
    add(&added, 400);
    while (sent < added) send_some(&sent, SIZE_MAX);
}

static void an_absurd_length_is_refused(void **state)
{
    (void)state;
    assert_false(outbox_add(&box, &from, "x", SIZE_MAX));
    assert_false(outbox_add(&box, &from, "x", SIZE_MAX / 2));
    assert_int_equal(blocks.live, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_come_out_as_they_went_in),
        TEST(what_is_added_lies_together),
        TEST(a_small_batch_is_one_piece),
        TEST(a_few_bytes_take_little_memory_and_a_flood_takes_no_large_block),
        TEST(a_steady_stream_needs_one_chunk),
        TEST(an_empty_one_keeps_at_most_a_chunk),
        TEST(without_memory_nothing_is_added),
        TEST(an_absurd_length_is_refused),
    };
    return cmocka_run_group_tests_name("unit outbox", tests, NULL, NULL);
}
