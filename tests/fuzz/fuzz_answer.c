/* SPDX-License-Identifier: MIT
 * Any reply of a server as an answer: it is what the reply says, or malformed, and fit to print. */

/* Parses: wire/answer.c wire/text.c */
#include "reply_tree.h"

#include "wire/answer.h"
#include "wire/mode.h"
#include "wire/text.h"

static bool has_integers(const reply *from, size_t count)
{
    if (from->kind != REPLY_ARRAY || from->count < count) return false;
    for (size_t i = 0; i < count; i++) {
        if (from->items[i].kind != REPLY_INTEGER) return false;
    }
    return true;
}

static int64_t integer_at(const reply *from, size_t at)
{
    return has_integers(from, at + 1) ? from->items[at].integer : 0;
}

static void check_integers(const answer *got, const reply *from)
{
    must((got->kind == ANSWER_CODE) == has_integers(from, 3));
    if (got->kind != ANSWER_CODE) return;
    must(got->code == from->items[0].integer && got->nonce == from->items[1].integer);
    must(got->server_us == from->items[2].integer);
    for (size_t i = 0; i < ANSWER_VALUES; i++) must(got->value[i] == integer_at(from, i + 3));
}

/* What no answer said is no number of ours; and what is told of a hold is what was said, within the
 * limits. */
static void check_values(const answer *got)
{
    standing held;
    bool is_one = standing_read(&held, got->value);

    if (got->kind != ANSWER_CODE)
        for (size_t i = 0; i < ANSWER_VALUES; i++) must(got->value[i] == 0);
    must(is_one == (got->value[0] > 0 && got->value[0] <= FENCE_MOST &&
                    (got->value[1] == 1 || got->value[1] == 2) && got->value[2] > 0 &&
                    got->value[2] <= SPAN_MOST));
    if (!is_one) return;
    must(held.fence == (uint64_t)got->value[0] && held.lease_ms == got->value[2]);
    must(held.kind == (got->value[1] == 1 ? KIND_EXCLUSIVE : KIND_SHARED));
}

static void check(const answer *got, const reply *from)
{
    must(memchr(got->text, '\0', sizeof got->text) != NULL);
    for (const char *at = got->text; *at != '\0'; at++) must(*at >= ' ' && *at <= '~');
    must((from->kind == REPLY_ERROR && from->length > 0) == (got->text[0] != '\0'));
    check_integers(got, from);
    check_values(got);
    must(from->kind == REPLY_ERROR || got->kind == ANSWER_CODE || got->kind == ANSWER_MALFORMED);
    must(from->kind != REPLY_ERROR || (got->kind != ANSWER_MALFORMED && got->kind != ANSWER_CUT));
}

/* A code is a whole word, and whatever follows it changes nothing. */
static void check_words(const reply *from)
{
    if (from->kind != REPLY_ERROR) return;

    char *longer = calloc(1, from->length + sizeof " words");

    if (longer == NULL) exit(1);
    memcpy(longer, from->text, from->length);
    memcpy(longer + from->length, " words", sizeof " words");
    enum answer_kind kind = answer_error_kind(from->text, from->length);
    if (kind != ANSWER_ERROR)
        must(answer_error_kind(longer, from->length + sizeof " words" - 1) == kind);
    free(longer);
}

/* What is escaped fits, however little room there is, and begins as it does with more. */
static void check_escape(const reply *from)
{
    char whole[4 * 256 + 1], cut[24];

    text_escape(whole, sizeof whole, from->text, from->length);
    for (size_t room = 1; room <= sizeof cut; room++) {
        must(text_escape(cut, room, from->text, from->length) == cut);
        must(strlen(cut) < room && strncmp(cut, whole, strlen(cut)) == 0);
    }
    must(text_escape(cut, 0, from->text, from->length) == cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    source from = {data, size};
    reply tree;
    answer got, again;

    memset(&again, 0x55, sizeof again);
    tree_build(&tree, &from, 0);
    answer_read(&got, &tree);
    answer_read(&again, &tree);
    must(got.kind == again.kind && strcmp(got.text, again.text) == 0);
    check(&got, &tree);
    check_words(&tree);
    if (tree.text != NULL) check_escape(&tree);
    tree_free(&tree);
    return 0;
}

static const char *const parts[] = {
    "\x05\x06\x01\x01\x01\x02\x01\x87\x01\x87\x01\x01\x01\x64",
    "\x05\x06\x01\x01\x01\x02\x01\x87\x01\x87\x01\x02\x01\x9b",
    "\x05\x07\x01\x02\x01\x02\x01\x87\x01\x64\x01\x01\x01\x64\x01\x87",
    "\x05\x03\x01\x01\x01\x07\x01\x64",
    "\x05\x02\x01\x01\x01\x07",
    "\x05\x07\x01\x01\x01\x07\x01\x87\x01\x87\x01\x01\x01\x02\x05\x02\x02\x01x\x01\x90",
    "\x04\x06NOPERM",
    "\x05\x02",
    "\x05\x03",
    "\x05\x05",
    "\x05\x01",
    "\x01\x01",
    "\x01\xff\xff\xff\xff\xff\xff\xff\xff",
    "\x01\xff\xff\xff\xff\xff\xff\xff\x7f",
    "\x06",
    "\x02\x01x",
    "\x03\x02OK",
    "\x04\x08NOSCRIPT",
    "\x04\x0a-ERR x\r\n\xff\x01",
    "\x04\x14WRONGTYPE Operation ",
    "\x04\x10MOVED 1 [::1]:1 ",
    "\x04\017ASK 1 [::1]:1 x",
    "\x04\x07LOADING",
    "\x04\x07TRYAGAIN",
    "\x04\x07MISCONF",
    "\x04\013CLUSTERDOWN",
    "\x04\x0aMASTERDOWN",
    "\x04\x0aNOREPLICAS",
    "\x04\x06NOAUTH",
    "\x04\x09WRONGPASS",
    "\x04\006DENIED",
    "\x04\024ERR invalid password",
    "\x04\x1fThe user executing the script x",
    "\x04\043ERR The user executing the script x",
    "\x04\017ERR x: -OOM com",
    "\x04\017ERR x: BUSY com",
    "\x04\023ERR Error NOPERM no",
    "\x04\xffOOM command",
    "\x04\x01",
    "\x05",
    "\x04",
    "\x02",
    "ERR ",
    ": ",
    " -",
    "BUSY",
    "READONLY"};
#include "driver.h"
