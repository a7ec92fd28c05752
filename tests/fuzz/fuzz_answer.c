/* SPDX-License-Identifier: MIT
 * Any reply of a server as an answer. The bytes are read as a tree:
 *
 *     tree   kind (1 byte, modulo 6), then
 *     integer   8 bytes;  string, status, error   length (1 byte), bytes;  array   count (1 byte), trees
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH_MAX = 8, COUNT_MAX = 12, KINDS = REPLY_ARRAY + 1 };

typedef struct source {
    const uint8_t *at;
    size_t left;
} source;

static void must(bool is_so)
{
    if (!is_so) abort();
}

static size_t take(source *from, void *out, size_t size)
{
    size_t taken = size < from->left ? size : from->left;

    if (taken > 0) memcpy(out, from->at, taken);
    from->at += taken;
    from->left -= taken;
    return taken;
}

static uint8_t take_byte(source *from)
{
    uint8_t byte = 0;

    take(from, &byte, 1);
    return byte;
}

/* In a block of its exact size, so that a read beyond it is seen. */
static void build_text(reply *out, source *from)
{
    size_t asked = take_byte(from);
    size_t length = asked < from->left ? asked : from->left;
    char *text = calloc(1, length + 1);

    if (text == NULL) exit(1);
    out->length = take(from, text, length);
    out->text = text;
}

static void build(reply *out, source *from, int depth);

static void build_array(reply *out, source *from, int depth)
{
    out->count = depth == DEPTH_MAX ? 0 : take_byte(from) % COUNT_MAX;
    if (out->count == 0) return;

    reply *items = calloc(out->count, sizeof *items);

    if (items == NULL) exit(1);
    for (size_t i = 0; i < out->count; i++) build(&items[i], from, depth + 1);
    out->items = items;
}

static void build(reply *out, source *from, int depth)
{
    *out = (reply){.kind = (enum reply_kind)(take_byte(from) % KINDS)};
    if (out->kind == REPLY_INTEGER) take(from, &out->integer, sizeof out->integer);
    if (out->kind == REPLY_STRING || out->kind == REPLY_STATUS || out->kind == REPLY_ERROR) build_text(out, from);
    if (out->kind == REPLY_ARRAY) build_array(out, from, depth);
}

static void tear_down(const reply *from)
{
    for (size_t i = 0; i < from->count; i++) tear_down(&from->items[i]);
    free((void *)(uintptr_t)from->items);
    free((void *)(uintptr_t)from->text);
}

static bool has_integers(const reply *from, size_t count)
{
    if (from->kind != REPLY_ARRAY || from->count < count) return false;
    for (size_t i = 0; i < count; i++) {
        if (from->items[i].kind != REPLY_INTEGER) return false;
    }
    return true;
}

static void check(const answer *got, const reply *from)
{
    must(memchr(got->text, '\0', sizeof got->text) != NULL);
    for (const char *at = got->text; *at != '\0'; at++) must(*at >= ' ' && *at <= '~');
    must((got->kind == ANSWER_CODE) == has_integers(from, 2));
    if (got->kind == ANSWER_CODE) must(got->code == from->items[0].integer && got->nonce == from->items[1].integer);
    for (size_t i = 0; i < ANSWER_VALUES; i++) {
        must(got->value[i] == (has_integers(from, i + 3) ? from->items[i + 2].integer : 0));
    }
    must(from->kind == REPLY_ERROR || got->kind == ANSWER_CODE || got->kind == ANSWER_MALFORMED);
    must(from->kind != REPLY_ERROR || (got->kind != ANSWER_MALFORMED && got->kind != ANSWER_CUT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    source from = {data, size};
    reply tree;
    answer got;

    build(&tree, &from, 0);
    answer_read(&got, &tree);
    check(&got, &tree);
    tear_down(&tree);
    return 0;
}

#ifdef FUZZ_STANDALONE
static const char *const parts[] = {"\x05\x05\x01"
                                    "12345678"
                                    "\x01"
                                    "12345678"
                                    "\x01"
                                    "12345678"
                                    "\x01"
                                    "12345678"
                                    "\x01"
                                    "12345678",
                                    "\x04\x06NOPERM",
                                    "\x05\x02",
                                    "\x05\x03",
                                    "\x05\x05",
                                    "\x05\x01",
                                    "\x01\x01\x01\x01\x01\x01\x01\x01\x01",
                                    "\x01\xff\xff\xff\xff\xff\xff\xff\xff",
                                    "\x01\xff\xff\xff\xff\xff\xff\xff\x7f",
                                    "\x06",
                                    "\x02\x01x",
                                    "\x03\x02OK",
                                    "\x04\x08NOSCRIPT",
                                    "\x04\x0a-ERR x\r\n\xff\x01",
                                    "\x04\x14WRONGTYPE Operation ",
                                    "\x04\x10MOVED 1 [::1]:1 ",
                                    "\x04\x07LOADING",
                                    "\x04\023ERR Error NOPERM no",
                                    "\x04\xffOOM command",
                                    "\x04\x01",
                                    "\x05",
                                    "\x04",
                                    "\x02",
                                    "ERR ",
                                    "READONLY"};
#include "standalone.h"
#endif
