/* SPDX-License-Identifier: MIT
 * Any bytes as a message of an inbox, and as a member of a lock: what is accepted says, written out again,
 * exactly what was read. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/answer.h"
#include "wire/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
    if (!is_so) abort();
}

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
static void check_parts(const member_parts *parts, const char *holder, const char *end)
{
    size_t mode_length = check_mode(&parts->mode, holder);

    must(holder[mode_length] == ' ' && memchr(holder, ' ', mode_length) == NULL);
    must(parts->hold_id == holder + mode_length + 1 && parts->hold_id_length > 0);
    must(memchr(parts->hold_id, ' ', parts->hold_id_length) == NULL);
    must(parts->who == parts->hold_id + parts->hold_id_length + 1 && parts->who[-1] == ' ');
    must(parts->who_length > 0 && parts->who + parts->who_length == end);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_grant((const char *)data, size);
    check_members((const char *)data, size);
    return 0;
}

#ifdef FUZZ_STANDALONE
static const char *const parts[] = {"grant ",
                                    "grant id.1 ",
                                    "id.1 ",
                                    "17 ",
                                    "5 ",
                                    "6",
                                    "7",
                                    "0",
                                    "grant id.1 17 5 6",
                                    " ",
                                    "  ",
                                    "-1",
                                    "01",
                                    "18446744073709551615 ",
                                    "18446744073709551616 ",
                                    "9223372036854775807",
                                    "9223372036854775808",
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
                                    "\n",
                                    "\xff"};
#include "standalone.h"
#endif
