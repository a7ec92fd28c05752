/* SPDX-License-Identifier: MIT
 * lane/codec on hostile bytes. The first byte chooses the size of the pieces in which the rest is fed; every
 * reply that comes out is walked to its last byte, and must be within the limits.
 * With clang: -fsanitize=fuzzer,address. Without libFuzzer, FUZZ_STANDALONE gives a main that mangles
 * sound streams, from a seed and a number of rounds. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
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
static uint32_t state;

static uint32_t below(uint32_t bound)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % bound;
}

static size_t append(uint8_t *out, size_t at, size_t size)
{
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
    const char *part = parts[below(sizeof parts / sizeof *parts)];
    size_t length = strlen(part);
    if (at + length > size) return size;
    memcpy(out + at, part, length);
    return at + length;
}

int main(int argc, char **argv)
{
    state = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
    unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 20000;
    uint8_t bytes[512];
    for (unsigned long round = 0; round < rounds; round++) {
        size_t size = 2 + below(sizeof bytes - 2), at = 1;
        bytes[0] = (uint8_t)below(256);
        while (at < size) at = append(bytes, at, size);
        if (below(4) == 0) bytes[1 + below((uint32_t)size - 1)] = (uint8_t)below(256);
        LLVMFuzzerTestOneInput(bytes, size);
    }
    printf("%lu rounds\n", rounds);
    return 0;
}
#endif
