/* SPDX-License-Identifier: MIT
 * Who a client is, and the members that it writes. The rule: no field but the last contains a
 * space, whatever was handed in. Pure: randomness and the host's name are handed in. */
#include "wire/identity.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "wire/decimal.h"

enum { HOST_MAX = 16, NAME_MAX_LENGTH = 64 };

static void write_base64url(char *out, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    /* The length is a multiple of three, so nothing is padded. */
    for (size_t i = 0; i + 2 < length; i += 3) {
        unsigned group = (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | bytes[i + 2];

        for (int shift = 18; shift >= 0; shift -= 6) *out++ = digits[group >> shift & 63];
    }
    *out = '\0';
}

/* A part of `who`, at most `max` bytes of it: what would look like another field, or like nothing,
 * becomes '_'. */
static void write_part(char *out, size_t max, const char *text)
{
    size_t length = text == NULL ? 0 : strnlen(text, max);

    for (size_t i = 0; i < length; i++) {
        bool is_fit = text[i] > ' ' && text[i] <= '~' && text[i] != ':';

        out[i] = is_fit ? text[i] : '_';
    }
    out[length] = '\0';
}

void identity_make(identity *self, const uint8_t random[IDENTITY_RANDOM_BYTES], const char *host,
                   long pid, const char *name)
{
    char shown_host[HOST_MAX + 1];
    char shown_name[NAME_MAX_LENGTH + 1];

    write_part(shown_host, HOST_MAX, host);
    write_part(shown_name, NAME_MAX_LENGTH, name);
    write_base64url(self->id, random, IDENTITY_RANDOM_BYTES);
    snprintf(self->who, sizeof self->who, "%s:%ld:%s", shown_host, pid, shown_name);
}

void identity_hold_id(char out[HOLD_ID_SIZE], const identity *self, uint64_t counter)
{
    char digits[14]; /* 2^64 - 1 has 13 in base 36 */
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    do {
        digits[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[counter % 36];
        counter /= 36;
    } while (counter > 0);
    size_t id_length = strlen(self->id);
    memcpy(out, self->id, id_length);
    out[id_length] = '.';
    memcpy(out + id_length + 1, digits + at, sizeof digits - at);
}

/* What snprintf wrote, as opposed to what it would have written. */
static size_t written(int length, size_t size)
{
    if (length < 0) return 0;
    return (size_t)length < size ? (size_t)length : size - 1;
}

size_t identity_channel(char out[CHANNEL_SIZE], const char *prefix, const identity *self,
                        unsigned number)
{
    int length = snprintf(out, CHANNEL_SIZE, "%sinbox:%s.%u", prefix, self->id, number);

    /* A prefix may contain spaces; the channel is a field of the waiter's member and may not. */
    for (char *at = out; *at != '\0'; at++) {
        if (*at == ' ') *at = '_';
    }
    return written(length, CHANNEL_SIZE);
}

/* What a channel of that slot has behind it: "{tag}", or nothing. */
static const char *tag_behind(char out[SLOT_TAG_SIZE + 2], int slot)
{
    char tag[SLOT_TAG_SIZE];

    if (slot == NO_SLOT) return "";
    slot_tag_write(tag, (uint16_t)slot);
    snprintf(out, SLOT_TAG_SIZE + 2, "{%s}", tag);
    return out;
}

size_t channel_of_slot(char out[SLOT_CHANNEL_SIZE], const char *channel, int slot)
{
    char tag[SLOT_TAG_SIZE + 2];

    return written(snprintf(out, SLOT_CHANNEL_SIZE, "%s%s", channel, tag_behind(tag, slot)),
                   SLOT_CHANNEL_SIZE);
}

size_t holder_write(char out[HOLDER_SIZE], const char *owner_field, const char *hold_id,
                    const char *who)
{
    size_t owner_length = strnlen(owner_field, OWNER_FIELD_SIZE - 1);
    size_t id_length = strnlen(hold_id, HOLD_ID_SIZE - 1);
    size_t who_length = strnlen(who, WHO_SIZE - 1);

    size_t at = 0;
    memcpy(out, owner_field, owner_length);
    at += owner_length;
    out[at++] = ' ';
    memcpy(out + at, hold_id, id_length);
    at += id_length;
    out[at++] = ' ';
    memcpy(out + at, who, who_length);
    at += who_length;
    out[at] = '\0';
    return at;
}

size_t inbox_write(char out[INBOX_SIZE], int64_t claim_ms, const char *channel, int slot)
{
    char tag[SLOT_TAG_SIZE + 2];

    return written(
        snprintf(out, INBOX_SIZE, "%" PRId64 " %s%s", claim_ms, channel, tag_behind(tag, slot)),
        INBOX_SIZE);
}

/* Takes one field and the space that ends it off the front; false when it is empty or has no
 * end. */
static bool take_field(const char **at, size_t *left, const char **field, size_t *length)
{
    const char *space = *left > 0 ? memchr(*at, ' ', *left) : NULL;

    if (space == NULL || space == *at) return false;
    *field = *at;
    *length = (size_t)(space - *at);
    *left -= *length + 1;
    *at = space + 1;
    return true;
}

static bool read_holder(member_parts *parts, const char *member, size_t length)
{
    const char *owner;
    size_t owner_length;

    if (!take_field(&member, &length, &owner, &owner_length)) return false;
    if (owner[0] != '@' && !(owner[0] == '-' && owner_length == 1)) return false;
    parts->owner = owner + 1;
    parts->owner_length = owner_length - 1;
    if (owner[0] == '@' && parts->owner_length == 0) return false;
    if (!take_field(&member, &length, &parts->hold_id, &parts->hold_id_length)) return false;
    parts->who = member;
    parts->who_length = length;
    return length > 0 && memchr(member, ' ', length) == NULL;
}

_Bool holder_read(member_parts *parts, const char *member, size_t length)
{
    *parts = (member_parts){0};
    return read_holder(parts, member, length);
}

_Bool waiter_read(member_parts *parts, const char *member, size_t length)
{
    const char *claim, *field;
    size_t claim_length, field_length;
    uint64_t claim_ms;

    *parts = (member_parts){0};
    if (!take_field(&member, &length, &claim, &claim_length)) return false;
    if (!decimal_read(&claim_ms, claim, claim_length, INT64_MAX) || claim_ms == 0) return false;
    if (!take_field(&member, &length, &parts->channel, &parts->channel_length)) return false;
    if (!take_field(&member, &length, &field, &field_length)) return false;
    if (!mode_read(&parts->mode, field, field_length)) return false;
    parts->claim_ms = (int64_t)claim_ms;
    return read_holder(parts, member, length);
}
