/* SPDX-License-Identifier: MIT
 * A server's reply as a tree of plain values. Pure; built by net/codec, read by wire/answer.
 * Nothing in it is to be trusted: type, count and length are what the server sent. */
#ifndef REDLOCK_WIRE_REPLY_H
#define REDLOCK_WIRE_REPLY_H

#include <stddef.h>
#include <stdint.h>

enum reply_kind { REPLY_NIL, REPLY_INTEGER, REPLY_STRING, REPLY_STATUS, REPLY_ERROR, REPLY_ARRAY };

typedef struct reply {
    enum reply_kind kind;
    int64_t integer;  /* REPLY_INTEGER */
    const char *text; /* STRING, STATUS, ERROR: `length` bytes and a NUL */
    size_t length;
    const struct reply *items; /* REPLY_ARRAY: `count` of them, contiguous */
    size_t count;
} reply;

#endif
