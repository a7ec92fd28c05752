/* SPDX-License-Identifier: MIT
 * Any bytes as a message of an inbox, and as a member of a lock: what is accepted says, written out again,
 * exactly what was read. And any bytes as the parts of a member: what was written is read back. */

/* Parses: wire/answer.c wire/identity.c wire/mode.c wire/decimal.h */
#include <inttypes.h>
#include <stdio.h>

#include "fuzz.h"

#include "wire/answer.h"
#include "wire/identity.h"

static void check_grant(const char *bytes, size_t size)
{
    grant got;
    char again[200];

    if (!grant_read(&got, bytes, size)) return;
    must(got.fence > 0 && got.lease_ms > 0 && got.server_us >= 0 && got.hold_id_length < HOLD_ID_SIZE);
    int length = snprintf(again, sizeof again, "grant %.*s %" PRIu64 " %" PRId64 " %" PRId64, (int)got.hold_id_length,
                          got.hold_id, got.fence, got.lease_ms, got.server_us);
    must((size_t)length == size && memcmp(again, bytes, size) == 0);
}

/* A mode says, written out again, what was read: an encoded owner is not encoded anew. */
static size_t check_mode(const mode *got, const char *holder)
{
    char again[MODE_SIZE];
    mode bare = *got;

    bare.owner_length = 0;
    size_t length = mode_write(again, &bare);
    must(memcmp(holder, again, length) == 0);
    if (got->owner_length == 0) return length;
    must(holder[length] == '@' && got->owner == holder + length + 1);
    return length + 1 + got->owner_length;
}

/* The holder's part of a member begins with the mode and ends with the member. */
static void check_parts(const member_parts *parts_of, const char *holder, const char *end)
{
    size_t mode_length = check_mode(&parts_of->mode, holder);

    must(holder[mode_length] == ' ' && memchr(holder, ' ', mode_length) == NULL);
    must(parts_of->hold_id == holder + mode_length + 1 && parts_of->hold_id_length > 0);
    must(memchr(parts_of->hold_id, ' ', parts_of->hold_id_length) == NULL);
    must(parts_of->who == parts_of->hold_id + parts_of->hold_id_length + 1 && parts_of->who[-1] == ' ');
    must(parts_of->who_length > 0 && parts_of->who + parts_of->who_length == end);
}

static void check_members(const char *bytes, size_t size)
{
    member_parts holder, waiter;
    char claim[32];
    bool is_holder = holder_read(&holder, bytes, size);
    bool is_waiter = waiter_read(&waiter, bytes, size);

    must(!(is_holder && is_waiter));
    if (is_holder) check_parts(&holder, bytes, bytes + size);
    if (!is_waiter) return;
    int length = snprintf(claim, sizeof claim, "%" PRId64 " ", waiter.claim_ms);
    must(waiter.claim_ms > 0 && memcmp(bytes, claim, (size_t)length) == 0);
    must(waiter.channel == bytes + length && waiter.channel_length > 0);
    check_parts(&waiter, waiter.channel + waiter.channel_length + 1, bytes + size);
}

/* ---- What we write ---- */

static bool is_text(const char *bytes, size_t length, const char *text)
{
    return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

/* An owner is read as it was encoded, and the encoding can be undone. */
static void check_owner(const mode *wanted, const mode *got)
{
    must((wanted->owner_length == 0) == (got->owner_length == 0));
    if (got->owner_length == 0) return;

    const char *at = got->owner, *end = got->owner + got->owner_length;

    for (size_t i = 0; i < wanted->owner_length; i++) {
        unsigned byte = (unsigned char)*at++;

        if (byte == '%') {
            must(end - at >= 2 && sscanf(at, "%2X", &byte) == 1);
            at += 2;
        }
        must(byte == (unsigned char)wanted->owner[i]);
    }
    must(at == end);
}

static mode take_mode(source *from, char *owner, size_t owner_length)
{
    static const char policies[] = {POLICY_READERS, POLICY_FAIR, POLICY_WRITERS};
    uint8_t choice = take_byte(from);

    return (mode){.kind = choice & 1 ? KIND_EXCLUSIVE : KIND_SHARED,
                  .policy = policies[choice / 2 % 3],
                  .permits = (uint32_t)take_number(from),
                  .owner = owner,
                  .owner_length = owner_length > MODE_OWNER_MAX ? MODE_OWNER_MAX : owner_length};
}

static void check_written(const identity *self, const mode *wanted, const char *prefix, source *from)
{
    char field[MODE_SIZE], hold_id[HOLD_ID_SIZE], holder[HOLDER_SIZE], channel[CHANNEL_SIZE], waiter[WAITER_SIZE];
    member_parts got;
    int64_t claim_ms = 1 + (take_number(from) & INT64_C(0xffffffffff));

    mode_write(field, wanted);
    identity_hold_id(hold_id, self, (uint64_t)take_number(from));
    size_t holder_length = holder_write(holder, field, hold_id, self->who);
    must(holder_read(&got, holder, holder_length));
    must(got.mode.kind == wanted->kind && got.mode.policy == wanted->policy && got.mode.permits == wanted->permits);
    must(is_text(got.hold_id, got.hold_id_length, hold_id) && is_text(got.who, got.who_length, self->who));
    check_owner(wanted, &got.mode);
    size_t channel_length = identity_channel(channel, prefix, self, take_byte(from));
    must(strlen(channel) == channel_length && strchr(channel, ' ') == NULL);
    size_t waiter_length = waiter_write(waiter, claim_ms, channel, holder);
    must(waiter_read(&got, waiter, waiter_length) && got.claim_ms == claim_ms);
    must(is_text(got.channel, got.channel_length, channel) && is_text(got.who, got.who_length, self->who));
}

static void check_own_members(source from)
{
    uint8_t random[IDENTITY_RANDOM_BYTES];
    identity self;
    size_t length, owner_length;

    take(&from, random, sizeof random);
    char *host = take_text(&from, &length), *name = take_text(&from, &length), *prefix = take_text(&from, &length);
    char *owner = take_text(&from, &owner_length);
    identity_make(&self, random, host, (long)take_number(&from), take_byte(&from) & 1 ? name : NULL);
    for (const char *at = self.who; *at != '\0'; at++) must(*at > ' ' && *at <= '~');
    must(strlen(self.id) == IDENTITY_ID_SIZE - 1);
    mode wanted = take_mode(&from, owner, owner_length);
    check_written(&self, &wanted, prefix, &from);
    free(host), free(name), free(prefix), free(owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_grant((const char *)data, size);
    check_members((const char *)data, size);
    check_own_members((source){data, size});
    return 0;
}

static const char *const parts[] = {"grant ",
                                    "grant id.1 ",
                                    "id.1 ",
                                    "17 ",
                                    "5 ",
                                    "2000 ",
                                    "redlock:inbox:id.0 ",
                                    "x ",
                                    "s ",
                                    "xf ",
                                    "sf/3@txn%20 ",
                                    "s/",
                                    "/3",
                                    "/0",
                                    "@",
                                    "@a",
                                    "f",
                                    "w",
                                    "h:1:n",
                                    "x id.1 h:1:n",
                                    "sw/2@o id.2 h:1:my job",
                                    "2000 c x id.1 h:1:n",
                                    "grant id.1 17 5 1800000000000000",
                                    "grant id.1 18446744073709551615 9223372036854775807 9223372036854775807",
                                    "\n",
                                    "\xff"};
#include "driver.h"
