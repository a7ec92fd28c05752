/* SPDX-License-Identifier: MIT
 * RESP by hiredis: the only file that includes its headers, and the only thing we use of it is
 * redisFormatCommandArgv and redisReader with functions of our own, so that replies are built in
 * our memory within our limits. Runs on hiredis 0.14.1 and 1.x. Owns no socket. */
#ifndef REDLOCK_NET_CODEC_H
#define REDLOCK_NET_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "host/memory.h"
#include "net/outbox.h"
#include "wire/command.h"
#include "wire/reply.h"

/* Is the hiredis of this process one that we can use? */
bool codec_is_known(void);

/* Appends the command's bytes, or changes nothing and answers false (out of memory). */
bool codec_write(outbox *out, const memory *from, const command *cmd);

/* Limits of a reply; beyond them the stream is refused. */
enum { CODEC_DEPTH_MAX = 4, CODEC_ELEMENTS_MAX = 8192, CODEC_REPLY_BYTES_MAX = 1 << 22 };

typedef struct codec_reader codec_reader;
codec_reader *codec_reader_new(const memory *from);
void codec_reader_free(codec_reader *reader); /* NULL is allowed */
/* Forgets everything, for a new connection. False when out of memory. */
bool codec_reader_reset(codec_reader *reader);

/* False once the stream is refused (malformed, over a limit, out of memory). */
bool codec_feed(codec_reader *reader, const char *bytes, size_t length);

/* Was the stream refused for want of memory, and not for what it says? */
bool codec_lacks_memory(const codec_reader *reader);

/* Replies of so many elements are borne from now on, CODEC_ELEMENTS_MAX or more; within a reply, it
 * ends where it has more by then. */
void codec_reader_allow(codec_reader *reader, size_t elements_most);

enum codec_result { CODEC_REPLY, CODEC_MORE, CODEC_REFUSED };

/* The next whole reply, valid until the next call on this reader. */
enum codec_result codec_next(codec_reader *reader, const reply **out);

#endif
