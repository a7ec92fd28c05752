/* SPDX-License-Identifier: MIT
 * Any bytes as a message of an inbox, and as a member of a lock: what is accepted says, written out
 * again, exactly what was read. And any bytes as the parts of a member: what was written is read
 * back. */

/* Parses: wire/answer.c wire/identity.c wire/mode.c wire/decimal.h */
#include <inttypes.h>
#include <stdio.h>

#include "fuzz.h"

#include "wire/answer.h"
#include "wire/identity.h"

static void check_printable(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) must(bytes[i] > ' ' && bytes[i] <= '~');
}

/* The holder's three fields, and a space behind them. */
static void check_grant_holder(const grant *got)
{
    size_t owner_length = (size_t)(got->hold_id - 1 - got->holder);
    const char *who = got->hold_id + got->hold_id_length + 1,
               *end = got->holder + got->holder_length;

    must(got->holder[0] == '-' || got->holder[0] == '@');
    must(owner_length < OWNER_FIELD_SIZE && got->holder[owner_length] == ' ' && who[-1] == ' ');
    check_printable(got->holder, owner_length);
    check_printable(got->hold_id, got->hold_id_length);
    must(got->hold_id_length > 0 && got->hold_id_length < HOLD_ID_SIZE);
    must(end > who && end < who + WHO_SIZE && memchr(who, ' ', (size_t)(end - who)) == NULL);
    must(*end == ' ' && got->key == end + 1);
}

static void check_grant(const char *bytes, size_t size)
{
    grant got;
    char again[100];

    if (!grant_read(&got, bytes, size)) return;
    must(got.fence > 0 && got.fence <= (uint64_t)FENCE_MOST && got.lease_ms > 0 &&
         got.lease_ms <= SPAN_MOST);
    must(got.server_us > 0 && got.server_us <= NUMBER_MOST);
    int length = snprintf(again, sizeof again, "grant %" PRIu64 " %" PRId64 " %" PRId64 " ",
                          got.fence, got.lease_ms, got.server_us);
    must(got.holder == bytes + length && memcmp(again, bytes, (size_t)length) == 0);
    check_grant_holder(&got);
    must(got.key_length > 0 && got.key + got.key_length == bytes + size);
}

/* The holder's part of a member begins with the owner and ends with the member. */
static void check_parts(const member_parts *got, const char *holder, const char *end)
{
    must(holder[0] == '@' ? got->owner_length > 0 : holder[0] == '-' && got->owner_length == 0);
    must(got->owner == holder + 1 && got->owner[got->owner_length] == ' ');
    must(memchr(holder, ' ', got->owner_length + 1) == NULL);
    must(got->hold_id == got->owner + got->owner_length + 1 && got->hold_id_length > 0);
    must(memchr(got->hold_id, ' ', got->hold_id_length) == NULL);
    must(got->who == got->hold_id + got->hold_id_length + 1 && got->who[-1] == ' ');
    must(got->who_length > 0 && got->who + got->who_length == end);
    must(memchr(got->who, ' ', got->who_length) == NULL);
}

/* A mode says, written out again, what was read. */
static size_t check_mode(const mode *got, const char *field)
{
    char again[MODE_SIZE];
    size_t length = mode_write(again, got);

    must(memcmp(field, again, length) == 0 && field[length] == ' ');
    return length;
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
    const char *field = waiter.channel + waiter.channel_length + 1;
    check_parts(&waiter, field + check_mode(&waiter.mode, field) + 1, bytes + size);
}

/* ---- What we write ---- */

static bool is_text(const char *bytes, size_t length, const char *text)
{
    return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

typedef struct owner {
    char *bytes;
    size_t length;
} owner;

/* An owner is read as it was encoded, and the encoding can be undone. */
static void check_owner(const owner *wanted, const member_parts *got)
{
    const char *at = got->owner, *end = got->owner + got->owner_length;

    must((wanted->length == 0) == (got->owner_length == 0));
    for (size_t i = 0; i < wanted->length; i++) {
        unsigned byte = (unsigned char)*at++;

        if (byte == '%') {
            must(end - at >= 2 && sscanf(at, "%2X", &byte) == 1);
            at += 2;
        }
        must(byte == (unsigned char)wanted->bytes[i]);
    }
    must(at == end);
}

static owner take_owner(source *from)
{
    owner taken;

    taken.bytes = take_text(from, &taken.length);
    if (taken.length > MODE_OWNER_MAX) taken.length = MODE_OWNER_MAX;
    return taken;
}

static mode take_mode(source *from)
{
    static const char policies[] = {POLICY_READERS, POLICY_FAIR, POLICY_WRITERS};
    uint8_t choice = take_byte(from);

    return (mode){.kind = choice & 1 ? KIND_EXCLUSIVE : KIND_SHARED,
                  .policy = policies[choice / 2 % 3],
                  .permits = (uint32_t)take_number(from)};
}

/* "<inbox> <mode> <holder>", as the script makes it. */
static void check_waiter(const char *inbox, const mode *wanted, const char *holder)
{
    char field[MODE_SIZE], waiter[INBOX_SIZE + MODE_SIZE + HOLDER_SIZE];
    member_parts got;

    mode_write(field, wanted);
    int length = snprintf(waiter, sizeof waiter, "%s %s %s", inbox, field, holder);
    must(waiter_read(&got, waiter, (size_t)length));
    must(got.mode.kind == wanted->kind && got.mode.policy == wanted->policy &&
         got.mode.permits == wanted->permits);
    must(snprintf(waiter, sizeof waiter, "%" PRId64 " %.*s", got.claim_ms, (int)got.channel_length,
                  got.channel) > 0);
    must(strcmp(waiter, inbox) == 0);
}

/* The message that makes a holder of it, for a key of any bytes. */
static void check_message(const char *holder, const char *hold_id, source *from)
{
    char message[HOLDER_SIZE + 400] = "grant 7 5 3 ";
    size_t key_length, at = strlen(message), holder_length = strlen(holder);
    char *key = take_text(from, &key_length);
    grant got;

    memcpy(message + at, holder, holder_length);
    message[at + holder_length] = ' ';
    memcpy(message + at + holder_length + 1, key, key_length);
    must(grant_read(&got, message, at + holder_length + 1 + key_length) == (key_length > 0));
    if (key_length > 0) {
        must(is_text(got.holder, got.holder_length, holder) &&
             is_text(got.hold_id, got.hold_id_length, hold_id));
        must(got.key_length == key_length && memcmp(got.key, key, key_length) == 0);
    }
    free(key);
}

static void check_written(const identity *self, const owner *whose, const char *prefix,
                          source *from)
{
    char field[OWNER_FIELD_SIZE], hold_id[HOLD_ID_SIZE], holder[HOLDER_SIZE], channel[CHANNEL_SIZE],
        inbox[INBOX_SIZE];
    member_parts got;
    int64_t claim_ms = 1 + (take_number(from) & INT64_C(0xffffffffff));
    mode wanted = take_mode(from);

    must(owner_write(field, whose->bytes, whose->length) == strlen(field));
    identity_hold_id(hold_id, self, (uint64_t)take_number(from));
    size_t holder_length = holder_write(holder, field, hold_id, self->who);
    must(holder_read(&got, holder, holder_length));
    must(is_text(got.hold_id, got.hold_id_length, hold_id) &&
         is_text(got.who, got.who_length, self->who));
    check_owner(whose, &got);
    size_t channel_length = identity_channel(channel, prefix, self, take_byte(from));
    must(strlen(channel) == channel_length && strchr(channel, ' ') == NULL);
    must(inbox_write(inbox, claim_ms, channel, NO_SLOT) == strlen(inbox));
    check_waiter(inbox, &wanted, holder);
    check_message(holder, hold_id, from);
}

static void check_own_members(source from)
{
    uint8_t random[IDENTITY_RANDOM_BYTES];
    identity self;
    size_t length;

    take(&from, random, sizeof random);
    char *host = take_text(&from, &length), *name = take_text(&from, &length),
         *prefix = take_text(&from, &length);
    owner whose = take_owner(&from);
    identity_make(&self, random, host, (long)take_number(&from),
                  take_byte(&from) & 1 ? name : NULL);
    check_printable(self.who, strlen(self.who));
    must(strlen(self.id) == IDENTITY_ID_SIZE - 1);
    check_written(&self, &whose, prefix, &from);
    free(host), free(name), free(prefix), free(whose.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_grant((const char *)data, size);
    check_members((const char *)data, size);
    check_own_members((source){data, size});
    return 0;
}

static const char *const parts[] = {
    "grant ",
    "grant 17 5 1800000000000000 ",
    "- id.1 h:1:n",
    "- ",
    "@txn%20 ",
    "@ ",
    "id.1 ",
    "17 ",
    "5 ",
    "2000 ",
    "redlock:inbox:id.0 ",
    "x ",
    "s ",
    "xf ",
    "sf/3 ",
    "s/",
    "/3",
    "/0",
    "@a",
    "f1",
    "?id.1",
    "h:1:n",
    " redlock:{a}",
    "@o id.2 h:1:n",
    "2000 c x - id.1 h:1:n",
    "2000 c sw/2 @o id.1 h:1:n",
    "grant 17 5 1800000000000000 - id.1 h:1:n redlock:{a}",
    "grant 5000000000000000 2592000000 9007199254740991 @o id.1 h:1:n a b",
    "grant 5000000000000001 2592000001 9007199254740992 - id.1 h:1:n k",
    "\n",
    "\xff"};
#include "driver.h"
