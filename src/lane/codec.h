/* SPDX-License-Identifier: MIT
 * RESP by hiredis: the only file that includes its headers, and the only thing we use of it is
 * redisFormatCommandArgv and redisReader with functions of our own, so that replies are built in our
 * memory within our limits. Runs on hiredis 0.14.1 and 1.x. Owns no socket. */
#ifndef REDLOCK_LANE_CODEC_H
#define REDLOCK_LANE_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "host/memory.h"
#include "wire/command.h"
#include "wire/reply.h"

/* A byte queue: written at the end, consumed at the start. */
typedef struct buffer {
    char *bytes;
    size_t start, end, size;
} buffer;

/* Room for `size` more bytes at the end, or false (out of memory). */
bool buffer_reserve(buffer *self, const memory *from, size_t size);
void buffer_free(buffer *self, const memory *from);
static inline size_t buffer_length(const buffer *self) { return self->end - self->start; }

/* Appends the command's bytes, or changes nothing and answers false (out of memory). */
bool codec_write(buffer *out, const memory *from, const command *cmd);

/* Limits of a reply; beyond them the stream is refused. */
enum { CODEC_DEPTH_MAX = 4, CODEC_ELEMENTS_MAX = 8192, CODEC_REPLY_BYTES_MAX = 1 << 22 };

typedef struct codec_reader codec_reader;
codec_reader *codec_reader_new(const memory *from);
void codec_reader_free(codec_reader *reader); /* NULL is allowed */
/* Forgets everything, for a new connection. False when out of memory. */
bool codec_reader_reset(codec_reader *reader);

/* False once the stream is refused (malformed, over a limit, out of memory). */
bool codec_feed(codec_reader *reader, const char *bytes, size_t length);

enum codec_result { CODEC_REPLY, CODEC_MORE, CODEC_REFUSED };

/* The next whole reply, valid until the next call on this reader. */
enum codec_result codec_next(codec_reader *reader, const reply **out);

#endif
