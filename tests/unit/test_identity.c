/* SPDX-License-Identifier: MIT
 * wire/identity: what is written, that it can be read back, and that nothing else is taken for
 * it. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/identity.h"

static const uint8_t some_bytes[IDENTITY_RANDOM_BYTES] = {0,  16,  131, 16,  81,  135,
                                                          32, 146, 139, 255, 255, 255};

static identity made_of(const char *host, long pid, const char *name)
{
    identity self;

    identity_make(&self, some_bytes, host, pid, name);
    return self;
}

static void an_id_is_base64url_of_the_random_bytes(void **state)
{
    uint8_t high[IDENTITY_RANDOM_BYTES];
    identity self = made_of("h", 1, NULL);

    (void)state;
    assert_string_equal(self.id, "ABCDEFGHIJKL____");
    memset(high, 0xfb, sizeof high);
    identity_make(&self, high, "h", 1, NULL);
    assert_string_equal(self.id, "-_v7-_v7-_v7-_v7");
}

static void each_random_bit_changes_the_id(void **state)
{
    identity first = made_of("h", 1, NULL);

    (void)state;
    for (int bit = 0; bit < IDENTITY_RANDOM_BYTES * 8; bit++) {
        uint8_t bytes[IDENTITY_RANDOM_BYTES];
        identity other;

        memcpy(bytes, some_bytes, sizeof bytes);
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        identity_make(&other, bytes, "h", 1, NULL);
        assert_string_not_equal(first.id, other.id);
    }
}

static void who_is_host_pid_and_name(void **state)
{
    (void)state;
    assert_string_equal(made_of("web1.example", 4711, "billing").who, "web1.example:4711:billing");
    assert_string_equal(made_of("web1", 4711, NULL).who, "web1:4711:");
    assert_string_equal(made_of(NULL, 1, NULL).who, ":1:");
}

static void what_is_not_plain_becomes_an_underscore(void **state)
{
    (void)state;
    assert_string_equal(made_of("a b:c", 1, "x:y z\n\x7f\xc3\xa9~!").who, "a_b_c:1:x_y_z____~!");
}

static void long_hosts_and_names_are_cut(void **state)
{
    char name[100] = "";

    (void)state;
    memset(name, 'n', sizeof name - 1);
    identity self = made_of("0123456789abcdefXYZ", 7, name);
    assert_memory_equal(self.who, "0123456789abcdef:7:nnn", 22);
    assert_int_equal(strlen(self.who), 16 + 3 + 64);
}

static void the_longest_pid_stays_within_bounds(void **state)
{
    char name[100] = "";

    (void)state;
    memset(name, 'n', sizeof name - 1);
    identity self = made_of("0123456789abcdefXYZ", LONG_MIN, name);
    assert_true(strlen(self.who) < WHO_SIZE);
}

static void a_hold_id_counts_in_base_36(void **state)
{
    identity self = made_of("h", 1, NULL);
    char out[HOLD_ID_SIZE];

    (void)state;
    identity_hold_id(out, &self, 0);
    assert_string_equal(out, "ABCDEFGHIJKL____.0");
    identity_hold_id(out, &self, 35);
    assert_string_equal(out, "ABCDEFGHIJKL____.z");
    identity_hold_id(out, &self, 36);
    assert_string_equal(out, "ABCDEFGHIJKL____.10");
    identity_hold_id(out, &self, UINT64_MAX);
    assert_string_equal(out, "ABCDEFGHIJKL____.3w5e11264sgsf");
}

static void a_channel_is_prefix_client_and_number(void **state)
{
    identity self = made_of("h", 1, NULL);
    char out[CHANNEL_SIZE];

    (void)state;
    assert_int_equal(identity_channel(out, "redlock:", &self, 3),
                     strlen("redlock:inbox:ABCDEFGHIJKL____.3"));
    assert_string_equal(out, "redlock:inbox:ABCDEFGHIJKL____.3");
}

static void a_channel_has_no_space_though_the_prefix_has(void **state)
{
    identity self = made_of("h", 1, NULL);
    char out[CHANNEL_SIZE];

    (void)state;
    identity_channel(out, "my locks ", &self, 0);
    assert_string_equal(out, "my_locks_inbox:ABCDEFGHIJKL____.0");
}

static void the_longest_prefix_fits_and_a_longer_one_is_cut(void **state)
{
    identity self = made_of("h", 1, NULL);
    char prefix[401] = "";
    char out[CHANNEL_SIZE];

    (void)state;
    memset(prefix, 'p', 256);
    assert_int_equal(identity_channel(out, prefix, &self, UINT_MAX), 256 + 6 + 16 + 1 + 10);
    memset(prefix, 'p', 400);
    assert_int_equal(identity_channel(out, prefix, &self, UINT_MAX), CHANNEL_SIZE - 1);
    assert_int_equal(strlen(out), CHANNEL_SIZE - 1);
}

/* ---- The channels of slots ---- */

static void a_slot_has_a_channel_in_itself_and_no_slot_that_of_the_client(void **state)
{
    const int slots[] = {0, 1, 8191, 15495, KEY_SLOTS - 1};
    char out[SLOT_CHANNEL_SIZE];

    (void)state;
    assert_int_equal(channel_of_slot(out, "p:inbox:c.7", NO_SLOT), 11);
    assert_string_equal(out, "p:inbox:c.7");
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        assert_int_equal(channel_of_slot(out, "p:inbox:c.7", slots[i]), 17);
        assert_int_equal(strlen(out), 17);
        assert_memory_equal(out, "p:inbox:c.7{", 12);
        assert_int_equal(out[16], '}');
        assert_int_equal(key_slot(out, 17), slots[i]);
    }
}

static void the_longest_channel_fits_with_its_tag(void **state)
{
    char channel[CHANNEL_SIZE], out[SLOT_CHANNEL_SIZE + 1];

    (void)state;
    memset(channel, 'x', sizeof channel);
    channel[CHANNEL_SIZE - 1] = '\0';
    memset(out, '#', sizeof out);
    assert_int_equal(channel_of_slot(out, channel, KEY_SLOTS - 1), SLOT_CHANNEL_SIZE - 1);
    assert_int_equal(out[SLOT_CHANNEL_SIZE - 2], '}');
    assert_int_equal(out[SLOT_CHANNEL_SIZE - 1], '\0');
    assert_int_equal(out[SLOT_CHANNEL_SIZE], '#');
    assert_int_equal(key_slot(out, SLOT_CHANNEL_SIZE - 1), KEY_SLOTS - 1);
    assert_int_equal(channel_of_slot(out, channel, NO_SLOT), CHANNEL_SIZE - 1);
    assert_string_equal(out, channel);
}

static void a_holder_is_owner_id_and_who(void **state)
{
    char out[HOLDER_SIZE];

    (void)state;
    assert_int_equal(holder_write(out, "-", "id.1", "h:1:n"), 12);
    assert_string_equal(out, "- id.1 h:1:n");
    assert_int_equal(holder_write(out, "@txn-77", "id.1", "h:1:n"), 18);
    assert_string_equal(out, "@txn-77 id.1 h:1:n");
}

static void the_longest_holder_fits(void **state)
{
    char owner_field[OWNER_FIELD_SIZE] = "", hold_id[HOLD_ID_SIZE] = "", who[WHO_SIZE] = "";
    char holder[HOLDER_SIZE];

    (void)state;
    memset(owner_field, 'o', OWNER_FIELD_SIZE - 1);
    memset(hold_id, 'i', HOLD_ID_SIZE - 1);
    memset(who, 'w', WHO_SIZE - 1);
    assert_int_equal(holder_write(holder, owner_field, hold_id, who), HOLDER_SIZE - 1);
    assert_int_equal(strlen(holder), HOLDER_SIZE - 1);
    assert_memory_equal(holder + HOLDER_SIZE - WHO_SIZE, who, WHO_SIZE);
}

static void an_inbox_is_claim_and_channel(void **state)
{
    char out[INBOX_SIZE];

    (void)state;
    assert_int_equal(inbox_write(out, 2000, "inbox:c.0", NO_SLOT), 14);
    assert_string_equal(out, "2000 inbox:c.0");
    char channel[SLOT_CHANNEL_SIZE], expected[INBOX_SIZE];
    channel_of_slot(channel, "inbox:c.0", 3999);
    snprintf(expected, sizeof expected, "2000 %s", channel);
    assert_int_equal(inbox_write(out, 2000, "inbox:c.0", 3999), 14 + SLOT_TAG_SIZE + 1);
    assert_string_equal(out, expected);
}

static void the_longest_inbox_fits(void **state)
{
    char channel[CHANNEL_SIZE] = "", inbox[INBOX_SIZE];

    (void)state;
    memset(channel, 'c', CHANNEL_SIZE - 1);
    assert_int_equal(inbox_write(inbox, INT64_MAX, channel, NO_SLOT), 19 + 1 + CHANNEL_SIZE - 1);
    assert_int_equal(strlen(inbox), 19 + 1 + CHANNEL_SIZE - 1);
    assert_string_equal(inbox + 20, channel);
}

static void what_is_too_long_is_cut_and_its_length_told(void **state)
{
    char longest[2000] = "";
    char holder[HOLDER_SIZE];
    char inbox[INBOX_SIZE];

    (void)state;
    memset(longest, 'l', sizeof longest - 1);
    assert_int_equal(holder_write(holder, "-", longest, longest),
                     1 + 1 + HOLD_ID_SIZE - 1 + 1 + WHO_SIZE - 1);
    assert_int_equal(holder_write(holder, longest, longest, longest), HOLDER_SIZE - 1);
    assert_int_equal(strlen(holder), HOLDER_SIZE - 1);
    assert_int_equal(inbox_write(inbox, INT64_MIN, longest, NO_SLOT), INBOX_SIZE - 1);
    assert_int_equal(strlen(inbox), INBOX_SIZE - 1);
}

static void assert_part(const char *part, size_t length, const char *expected)
{
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(part, expected, length);
}

static void a_holder_can_be_read_back(void **state)
{
    member_parts parts;

    (void)state;
    assert_true(holder_read(&parts, "- id.1 h:1:n", 12));
    assert_int_equal(parts.owner_length, 0);
    assert_part(parts.hold_id, parts.hold_id_length, "id.1");
    assert_part(parts.who, parts.who_length, "h:1:n");
    assert_int_equal(parts.channel_length, 0);
    assert_int_equal(parts.claim_ms, 0);
}

static void a_holder_s_owner_is_read_back_as_it_was_encoded(void **state)
{
    member_parts parts;

    (void)state;
    assert_true(holder_read(&parts, "@t%20@- id.1 h:1:n", 18));
    assert_part(parts.owner, parts.owner_length, "t%20@-");
    assert_part(parts.hold_id, parts.hold_id_length, "id.1");
    assert_part(parts.who, parts.who_length, "h:1:n");
}

static void a_waiter_can_be_read_back(void **state)
{
    member_parts parts;

    (void)state;
    assert_true(waiter_read(&parts, "2000 inbox:c.0 sw/3 @t%20 id.1 h:1:n", 36));
    assert_int_equal(parts.claim_ms, 2000);
    assert_part(parts.channel, parts.channel_length, "inbox:c.0");
    assert_int_equal(parts.mode.kind, KIND_SHARED);
    assert_int_equal(parts.mode.policy, POLICY_WRITERS);
    assert_int_equal(parts.mode.permits, 3);
    assert_part(parts.owner, parts.owner_length, "t%20");
    assert_part(parts.hold_id, parts.hold_id_length, "id.1");
    assert_part(parts.who, parts.who_length, "h:1:n");
}

static void a_waiter_s_member_ends_with_the_holder_that_it_becomes(void **state)
{
    static const char waiter[] = "2000 inbox:c.0 x - id.1 h:1:n";
    member_parts as_waiter, as_holder;

    (void)state;
    assert_true(waiter_read(&as_waiter, waiter, sizeof waiter - 1));
    assert_true(holder_read(&as_holder, waiter + 17, sizeof waiter - 1 - 17));
    assert_int_equal(as_waiter.mode.kind, KIND_EXCLUSIVE);
    assert_int_equal(as_waiter.owner_length, 0);
    assert_ptr_equal(as_waiter.hold_id, as_holder.hold_id);
    assert_ptr_equal(as_waiter.who, as_holder.who);
}

/* Each is copied to a block of its exact size, so that a sanitizer sees a read beyond it. */
static bool is_read(_Bool (*read)(member_parts *, const char *, size_t), const char *text,
                    size_t length)
{
    member_parts parts;
    char *exact = malloc(length > 0 ? length : 1);

    assert_non_null(exact);
    if (length > 0) memcpy(exact, text, length);
    bool done = read(&parts, exact, length);
    free(exact);
    return done;
}

static void what_is_no_holder_is_refused(void **state)
{
    const char *wrong[] = {
        "",           "f1",          "-",         "- ",          "- id",
        "- id ",      "-  who",      " id who",   "x id who",    "s id who",
        "-- id who",  "-@ id who",   "@ id who",  "?id who now", "txn id who",
        "- id who x", "- id my job", "- id who ", "-x id who",   "2000 c x - id who"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(is_read(holder_read, wrong[i], strlen(wrong[i])));
    }
    assert_true(is_read(holder_read, "@- id who", 9));
}

static void what_is_no_waiter_is_refused(void **state)
{
    const char *wrong[] = {"",
                           "f1",
                           "- id who",
                           "x - id who",
                           "0 c x - id who",
                           "-1 c x - id who",
                           "01 c x - id who",
                           "+1 c x - id who",
                           "1x c x - id who",
                           "1  x - id who",
                           "1 c  - id who",
                           "1 c x  id who",
                           "1 c x - id ",
                           "1 c x - id",
                           "1 c x id who",
                           "1 c xy - id who",
                           "1 c s/0 - id who",
                           "1 c s@a - id who",
                           "1 c s @ id who",
                           "1 c x - id my job",
                           "9223372036854775808 c x - id who"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(is_read(waiter_read, wrong[i], strlen(wrong[i])));
    }
    assert_true(is_read(waiter_read, "9223372036854775807 c x - id who", 32));
}

static void a_member_is_read_only_when_its_last_field_has_begun(void **state)
{
    const char whole[] = "2000 inbox:c.0 x @o id.1 h";

    (void)state;
    for (size_t length = 0; length < sizeof whole - 1; length++) {
        assert_false(is_read(waiter_read, whole, length));
    }
    assert_true(is_read(waiter_read, whole, sizeof whole - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_base64url_of_the_random_bytes),
        cmocka_unit_test(each_random_bit_changes_the_id),
        cmocka_unit_test(who_is_host_pid_and_name),
        cmocka_unit_test(what_is_not_plain_becomes_an_underscore),
        cmocka_unit_test(long_hosts_and_names_are_cut),
        cmocka_unit_test(the_longest_pid_stays_within_bounds),
        cmocka_unit_test(a_hold_id_counts_in_base_36),
        cmocka_unit_test(a_channel_is_prefix_client_and_number),
        cmocka_unit_test(a_channel_has_no_space_though_the_prefix_has),
        cmocka_unit_test(the_longest_prefix_fits_and_a_longer_one_is_cut),
        cmocka_unit_test(a_slot_has_a_channel_in_itself_and_no_slot_that_of_the_client),
        cmocka_unit_test(the_longest_channel_fits_with_its_tag),
        cmocka_unit_test(a_holder_is_owner_id_and_who),
        cmocka_unit_test(the_longest_holder_fits),
        cmocka_unit_test(an_inbox_is_claim_and_channel),
        cmocka_unit_test(the_longest_inbox_fits),
        cmocka_unit_test(what_is_too_long_is_cut_and_its_length_told),
        cmocka_unit_test(a_holder_can_be_read_back),
        cmocka_unit_test(a_holder_s_owner_is_read_back_as_it_was_encoded),
        cmocka_unit_test(a_waiter_can_be_read_back),
        cmocka_unit_test(a_waiter_s_member_ends_with_the_holder_that_it_becomes),
        cmocka_unit_test(what_is_no_holder_is_refused),
        cmocka_unit_test(what_is_no_waiter_is_refused),
        cmocka_unit_test(a_member_is_read_only_when_its_last_field_has_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
