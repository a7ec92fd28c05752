/* SPDX-License-Identifier: MIT
 * Who a client is, and the members that it writes (docs/protocol.md, "The key"). Pure: randomness
 * and the host's name are handed in. */
#ifndef REDLOCK_WIRE_IDENTITY_H
#define REDLOCK_WIRE_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#include "wire/key.h"
#include "wire/mode.h"

enum {
    IDENTITY_RANDOM_BYTES = 12, /* 96 bits: 16 characters of base64url */
    IDENTITY_ID_SIZE = 17,
    HOLD_ID_SIZE = 32,  /* client id, '.', counter in base 36, NUL */
    WHO_SIZE = 100,     /* host (16), ':', pid, ':', name (64), NUL */
    CHANNEL_SIZE = 300, /* key prefix, "inbox:", client id, '.', inbox number, NUL */
    SLOT_CHANNEL_SIZE = CHANNEL_SIZE + SLOT_TAG_SIZE + 1, /* and "{tag}" */
    HOLDER_SIZE = OWNER_FIELD_SIZE + HOLD_ID_SIZE + WHO_SIZE,
    INBOX_SIZE = SLOT_CHANNEL_SIZE + 24 /* claim ms, ' ', channel, NUL */
};

typedef struct identity {
    char id[IDENTITY_ID_SIZE]; /* unique to this client: random, never from pid or pointers */
    char who[WHO_SIZE]; /* "host:pid:name"; what is not printable ASCII, and the space, is '_' */
} identity;

/* `name` may be NULL. */
void identity_make(identity *self, const uint8_t random[IDENTITY_RANDOM_BYTES], const char *host,
                   long pid, const char *name);

/* "<client id>.<counter in base 36>" */
void identity_hold_id(char out[HOLD_ID_SIZE], const identity *self, uint64_t counter);

/* "<prefix>inbox:<client id>.<number>"; returns the length. */
size_t identity_channel(char out[CHANNEL_SIZE], const char *prefix, const identity *self,
                        unsigned number);

/* The channel of one slot, "<channel>{<tag>}", from that; or, for NO_SLOT, the channel itself. */
enum { NO_SLOT = -1 };
size_t channel_of_slot(char out[SLOT_CHANNEL_SIZE], const char *channel, int slot);

/* "<owner> <hold id> <who>"; returns the length. */
size_t holder_write(char out[HOLDER_SIZE], const char *owner_field, const char *hold_id,
                    const char *who);

/* "<claim ms> <channel>", the channel being that of the slot: where a waiter is told, and what
 * begins its member; returns the length. */
size_t inbox_write(char out[INBOX_SIZE], int64_t claim_ms, const char *channel, int slot);

/* The parts of a member as read back from a server. The pointers go into the member. */
typedef struct member_parts {
    int64_t claim_ms;    /* waiters */
    const char *channel; /* waiters */
    size_t channel_length;
    mode mode;         /* waiters */
    const char *owner; /* percent-encoded; length 0 for none */
    size_t owner_length;
    const char *hold_id;
    size_t hold_id_length;
    const char *who;
    size_t who_length;
} member_parts;

/* "<owner> <hold id> <who>" and "<claim ms> <channel> <mode> <holder>": false when the bytes are no
 * such member. */
_Bool holder_read(member_parts *parts, const char *member, size_t length);
_Bool waiter_read(member_parts *parts, const char *member, size_t length);

#endif
