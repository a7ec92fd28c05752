/* SPDX-License-Identifier: MIT
 * lane/codec on hostile bytes. The first byte chooses the size of the pieces in which the rest is fed; every
 * reply that comes out is walked to its last byte, and must be within the limits.
 * With clang: -fsanitize=fuzzer,address. Without libFuzzer: standalone.h. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lane/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile unsigned char sink;

static void require(bool holds)
{
    if (!holds) abort();
}

static void walk(const reply *node, int arrays, size_t *elements)
{
    require(node->kind >= REPLY_NIL && node->kind <= REPLY_ARRAY);
    if (node->text != NULL) {
        for (size_t i = 0; i < node->length; i++) sink = (unsigned char)node->text[i];
        require(node->text[node->length] == '\0');
    }
    if (node->kind != REPLY_ARRAY) {
        require(node->count == 0);
        return;
    }
    *elements += node->count;
    require(arrays < CODEC_DEPTH_MAX && *elements <= CODEC_ELEMENTS_MAX);
    for (size_t i = 0; i < node->count; i++) walk(&node->items[i], arrays + 1, elements);
}

static enum codec_result drain(codec_reader *reader)
{
    for (;;) {
        const reply *root = NULL;
        enum codec_result result = codec_next(reader, &root);
        require((result == CODEC_REPLY) == (root != NULL));
        if (result != CODEC_REPLY) return result;
        size_t elements = 0;
        walk(root, 0, &elements);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1) return 0;
    const memory from = memory_from(NULL);
    codec_reader *reader = codec_reader_new(&from);
    if (reader == NULL) return 0;
    size_t piece = (size_t)bytes[0] + 1;
    for (size_t at = 1; at < size; at += piece) {
        size_t length = size - at < piece ? size - at : piece;
        if (!codec_feed(reader, (const char *)bytes + at, length)) break;
        if (drain(reader) == CODEC_REFUSED) break;
    }
    codec_reader_free(reader);
    return 0;
}

#ifdef FUZZ_STANDALONE
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
                                    "2147483648\r\n",
                                    "*9223372036854775807\r\n",
                                    "$9223372036854775807\r\n",
                                    "$4194304\r\n",
                                    "x",
                                    "message",
                                    "(1\r\n",
                                    "=5\r\ntxt:a\r\n"};
#include "standalone.h"
#endif
