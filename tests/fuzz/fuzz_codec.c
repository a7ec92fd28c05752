/* SPDX-License-Identifier: MIT
 * Hostile bytes in random pieces: every reply that comes out is walked to its last byte and within
 * the limits, the pieces make no difference to what comes out, and with too little memory less
 * comes out, but nothing else. */

/* Parses: net/codec.c net/outbox.c */
#include "fuzz.h"

#include "net/codec.h"

enum { MANY_COMMANDS = 150 };

/* What a stream came to: for each reply the sum of all that it says, then whether it was
 * refused. */
typedef struct outcome {
    uint64_t sum;
    size_t replies;
    bool is_refused;
} outcome;

static void mix(outcome *into, uint64_t what)
{
    into->sum = (into->sum ^ what) * UINT64_C(1099511628211);
}

static void walk(const reply *node, int arrays, size_t *elements, outcome *seen)
{
    must(node->kind >= REPLY_NIL && node->kind <= REPLY_ARRAY);
    mix(seen, (uint64_t)node->kind);
    mix(seen, (uint64_t)node->integer);
    if (node->text != NULL) {
        for (size_t i = 0; i < node->length; i++) mix(seen, (unsigned char)node->text[i]);
        must(node->text[node->length] == '\0');
    }
    if (node->kind != REPLY_ARRAY) {
        must(node->count == 0);
        return;
    }
    mix(seen, node->count);
    *elements += node->count;
    must(arrays < CODEC_DEPTH_MAX && *elements <= CODEC_ELEMENTS_MAX);
    for (size_t i = 0; i < node->count; i++) walk(&node->items[i], arrays + 1, elements, seen);
}

static enum codec_result drain(codec_reader *reader, outcome *seen)
{
    for (;;) {
        const reply *root = NULL;
        enum codec_result result = codec_next(reader, &root);
        must((result == CODEC_REPLY) == (root != NULL));
        if (result != CODEC_REPLY) return result;
        size_t elements = 0;
        walk(root, 0, &elements, seen);
        seen->replies++;
    }
}

/* Pieces of 1 to 16 bytes, by the nibbles of `seed` in turn; 0: all at once. */
static outcome read_in_pieces(codec_reader *reader, const uint8_t *bytes, size_t size,
                              uint64_t seed)
{
    outcome seen = {0};

    for (size_t at = 0; at < size && !seen.is_refused;) {
        size_t wanted = seed == 0 ? size : (size_t)(seed & 15) + 1;
        size_t length = size - at < wanted ? size - at : wanted;
        seen.is_refused = !codec_feed(reader, (const char *)bytes + at, length) ||
                          drain(reader, &seen) == CODEC_REFUSED;
        at += length;
        seed = seed >> 4 | seed << 60;
    }
    if (seen.is_refused)
        must(!codec_feed(reader, "+OK\r\n", 5) && drain(reader, &seen) == CODEC_REFUSED);
    return seen;
}

/* ---- Too little memory ---- */

static void *allocate(void *arg, size_t size)
{
    int *left = arg;

    return (*left)-- > 0 ? malloc(size) : NULL;
}

static void give_back(void *arg, void *block)
{
    (void)arg;
    free(block);
}

/* With memory for so many pieces only. */
static void check_starved(const uint8_t *bytes, size_t size, int pieces, const outcome *whole)
{
    const redlock_allocator hooks = {allocate, give_back, &pieces};
    const memory starved = memory_from(&hooks);
    outbox out = {0};
    command cmd;

    command_begin(&cmd, "PING");
    command_add(&cmd, (const char *)bytes, size);
    bool is_written = codec_write(&out, &starved, &cmd);
    must(is_written == !outbox_is_empty(&out));
    outbox_free(&out, &starved);
    codec_reader *reader = codec_reader_new(&starved);
    if (reader == NULL) return;
    outcome seen = read_in_pieces(reader, bytes, size, 0);
    must(seen.replies <= whole->replies && (seen.is_refused || seen.sum == whole->sum));
    codec_reader_free(reader);
}

/* At most so many bytes of what was written go over to the reader. */
static void send_some(outbox *out, const memory *from, codec_reader *reader, size_t most)
{
    size_t length;
    const char *head = outbox_head(out, &length);

    must(length > 0);
    if (length > most) length = most;
    must(codec_feed(reader, head, length));
    outbox_consume(out, from, length);
}

static void check_echo(codec_reader *reader, const uint8_t *bytes, size_t size)
{
    const reply *root;

    must(codec_next(reader, &root) == CODEC_REPLY && root->kind == REPLY_ARRAY && root->count == 3);
    must(root->items[1].kind == REPLY_STRING && root->items[1].length == size);
    must(size == 0 || memcmp(root->items[1].text, bytes, size) == 0);
}

/* Commands are written, and sent in between, so that they read back as arrays of their own
 * words. */
static void check_commands(const memory *from, codec_reader *reader, const uint8_t *bytes,
                           size_t size, int copies)
{
    outbox out = {0};
    command cmd;
    const reply *root;

    command_begin(&cmd, "EVALSHA");
    command_add(&cmd, (const char *)bytes, size);
    command_add_number(&cmd, (int64_t)size - 7);
    must(codec_reader_reset(reader));
    for (int i = 0; i < copies; i++) {
        must(codec_write(&out, from, &cmd));
        if (i % 3 == 1) send_some(&out, from, reader, size / 2 + 1);
    }
    while (!outbox_is_empty(&out)) send_some(&out, from, reader, SIZE_MAX);
    for (int i = 0; i < copies; i++) check_echo(reader, bytes, size);
    must(codec_next(reader, &root) == CODEC_MORE);
    outbox_clear(&out, from);
    outbox_free(&out, from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    outcome chance = {.sum = UINT64_C(14695981039346656037)};
    const memory plain = memory_from(NULL);
    codec_reader *reader = codec_reader_new(&plain);

    if (reader == NULL) return 0;
    for (size_t i = 0; i < size; i++) mix(&chance, data[i]);
    outcome at_once = read_in_pieces(reader, data, size, 0);
    must(codec_reader_reset(reader));
    outcome in_pieces = read_in_pieces(reader, data, size, chance.sum | 1);
    must(at_once.sum == in_pieces.sum && at_once.replies == in_pieces.replies);
    must(at_once.is_refused == in_pieces.is_refused);
    check_starved(data, size, (int)(chance.sum / 16 % 8), &at_once);
    check_commands(&plain, reader, data, size, chance.sum % 64 == 0 ? MANY_COMMANDS : 2);
    codec_reader_free(reader);
    return 0;
}

static const char *const parts[] = {"*",
                                    "$",
                                    ":",
                                    "+",
                                    "-",
                                    "%",
                                    "~",
                                    ">",
                                    "#t\r\n",
                                    ",1.5\r\n",
                                    "_\r\n",
                                    "\r\n",
                                    "\r",
                                    "\n",
                                    "0",
                                    "-1",
                                    "1\r\n",
                                    "2\r\n",
                                    "*2\r\n",
                                    "*1\r\n",
                                    "*3\r\n",
                                    "*0\r\n",
                                    "*-1\r\n",
                                    "$-1\r\n",
                                    "$1\r\nx\r\n",
                                    "$3\r\nabc\r\n",
                                    ":7\r\n",
                                    "+OK\r\n",
                                    "-ERR no\r\n",
                                    "8192\r\n",
                                    "*8192\r\n",
                                    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:7\r\n",
                                    "2147483648\r\n",
                                    "*9223372036854775807\r\n",
                                    "$9223372036854775807\r\n",
                                    "$4194304\r\n",
                                    "x",
                                    "message",
                                    "(1\r\n",
                                    "=5\r\ntxt:a\r\n"};
#include "driver.h"
