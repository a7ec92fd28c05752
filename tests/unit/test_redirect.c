/* SPDX-License-Identifier: MIT
 * wire/redirect: what servers say, and everything that is none. The forms of an endpoint are those
 * of redis-server 7.0.15 with each cluster-preferred-endpoint-type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/redirect.h"

/* Reads it from a block of its exact size. */
static bool is_redirect(redirect *out, const char *text, size_t length)
{
    char *exact = malloc(length > 0 ? length : 1);

    assert_non_null(exact);
    memcpy(exact, text, length);
    memset(out, 0xa5, sizeof *out);
    bool is_one = redirect_read(out, exact, length);
    free(exact);
    return is_one;
}

static redirect led(const char *text)
{
    redirect out;
    bool is_one = is_redirect(&out, text, strlen(text));

    if (!is_one) print_error("refused: %s\n", text);
    assert_true(is_one);
    return out;
}

static void assert_no_redirect(const char *text, size_t length)
{
    static const redirect nothing;
    redirect out;
    bool is_one = is_redirect(&out, text, length);

    if (is_one) print_error("taken: %s\n", text);
    assert_false(is_one);
    assert_memory_equal(&out, &nothing, sizeof out);
}

static void assert_none(const char *const *text, size_t count)
{
    for (size_t i = 0; i < count; i++) assert_no_redirect(text[i], strlen(text[i]));
}

static void a_redirect_names_a_slot_a_host_and_a_port(void **state)
{
    redirect out = led("MOVED 12182 127.0.0.1:7971");

    (void)state;
    assert_int_equal(out.slot, 12182);
    assert_string_equal(out.host, "127.0.0.1");
    assert_int_equal(out.port, 7971);
}

static void moved_is_for_good_and_ask_is_for_once(void **state)
{
    redirect out = led("ASK 3999 10.0.0.1:6381");

    (void)state;
    assert_true(out.is_ask);
    assert_int_equal(out.slot, 3999);
    assert_string_equal(out.host, "10.0.0.1");
    assert_int_equal(out.port, 6381);
    assert_false(led("MOVED 3999 10.0.0.1:6381").is_ask);
}

static void a_host_may_be_a_name(void **state)
{
    (void)state;
    assert_string_equal(led("MOVED 1 a-1.b:7971").host, "a-1.b");
    assert_string_equal(led("MOVED 1 Redis_0.AZ.zone:7971").host, "Redis_0.AZ.zone");
}

static void an_address_ends_at_the_last_colon(void **state)
{
    redirect out = led("MOVED 12182 ::1:7971");

    (void)state;
    assert_string_equal(out.host, "::1");
    assert_int_equal(out.port, 7971);
    assert_string_equal(led("ASK 1 2001:db8::2:1").host, "2001:db8::2");
    assert_string_equal(led("ASK 1 ::ffff:10.0.0.1:1").host, "::ffff:10.0.0.1");
    assert_string_equal(led("ASK 1 fe80::1%eth0:1").host, "fe80::1%eth0");
}

static void an_address_may_have_brackets(void **state)
{
    redirect out = led("MOVED 1 [::1]:7000");

    (void)state;
    assert_string_equal(out.host, "::1");
    assert_int_equal(out.port, 7000);
    assert_string_equal(led("ASK 1 [fe80::1%eth0]:1").host, "fe80::1%eth0");
}

static void brackets_are_a_pair_around_something(void **state)
{
    const char *wrong[] = {"MOVED 1 []:1",      "MOVED 1 [::1:1",  "MOVED 1 ::1]:1",
                           "MOVED 1 [[::1]]:1", "MOVED 1 ]::1[:1", "MOVED 1 [::1]",
                           "MOVED 1 [::1]7:1",  "MOVED 1 [:1",     "MOVED 1 [?]:1"};

    (void)state;
    assert_none(wrong, sizeof wrong / sizeof *wrong);
}

static void no_host_is_whoever_said_so(void **state)
{
    redirect out = led("MOVED 12182 :7971");

    (void)state;
    assert_string_equal(out.host, "");
    assert_int_equal(out.slot, 12182);
    assert_int_equal(out.port, 7971);
}

static void an_unknown_host_leads_nowhere(void **state)
{
    const char *wrong[] = {"MOVED 12182 ?:7971", "ASK 12182 ?:7971"};

    (void)state;
    assert_none(wrong, sizeof wrong / sizeof *wrong);
}

static void a_slot_is_a_number_from_0_to_16383(void **state)
{
    const char *wrong[] = {"MOVED 16384 h:1", "MOVED 65536 h:1", "MOVED 18446744073709551616 h:1",
                           "MOVED -1 h:1",    "MOVED +1 h:1",    "MOVED 01 h:1",
                           "MOVED 0x1 h:1",   "MOVED x h:1",     "MOVED  h:1"};

    (void)state;
    assert_int_equal(led("MOVED 0 h:1").slot, 0);
    assert_int_equal(led("MOVED 16383 h:1").slot, 16383);
    assert_none(wrong, sizeof wrong / sizeof *wrong);
}

static void a_port_is_a_number_from_1_to_65535(void **state)
{
    const char *wrong[] = {"MOVED 1 h:0",   "MOVED 1 h:65536", "MOVED 1 h:18446744073709551617",
                           "MOVED 1 h:-1",  "MOVED 1 h:+1",    "MOVED 1 h:01",
                           "MOVED 1 h:",    "MOVED 1 :",       "MOVED 1 h:x",
                           "MOVED 1 h:1:",  "MOVED 1 h",       "MOVED 1 h: 1",
                           "MOVED 1 h:1.0", "MOVED 1 :0"};

    (void)state;
    assert_int_equal(led("MOVED 1 h:1").port, 1);
    assert_int_equal(led("MOVED 1 h:65535").port, 65535);
    assert_none(wrong, sizeof wrong / sizeof *wrong);
}

static void nothing_follows_the_port(void **state)
{
    const char *wrong[] = {"MOVED 1 h:1 ",       "MOVED 1 h:1 h:1",  "MOVED 1 h:1\r\n",
                           "MOVED 1 h:1@10001",  "MOVED 1 h:1,name", "MOVED 1 h:1@10001,name",
                           "MOVED 1 h:1,name:1", "MOVED 1 h:1/0"};

    (void)state;
    assert_none(wrong, sizeof wrong / sizeof *wrong);
}

static void a_host_has_no_strange_bytes(void **state)
{
    static const char usual[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ-._:%";

    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char text[] = "MOVED 1 a.b:1";

        text[9] = (char)byte;
        if (byte == '\0' || strchr(usual, byte) == NULL) assert_no_redirect(text, sizeof text - 1);
        else assert_int_equal(led(text).host[1], byte);
    }
}

/* "MOVED 1 <before>hhh...<after>" */
static const char *with_long_host(const char *before, int length, const char *after)
{
    static char text[400];
    int at = snprintf(text, sizeof text, "MOVED 1 %s", before);

    memset(text + at, 'h', (size_t)length);
    snprintf(text + at + length, sizeof text - (size_t)(at + length), "%s", after);
    return text;
}

static void a_host_has_at_most_255_bytes(void **state)
{
    const char *text;

    (void)state;
    assert_int_equal(strlen(led(with_long_host("", 255, ":65535")).host), 255);
    assert_int_equal(strlen(led(with_long_host("[", 255, "]:65535")).host), 255);
    text = with_long_host("", 256, ":65535");
    assert_no_redirect(text, strlen(text));
    text = with_long_host("[", 256, "]:65535");
    assert_no_redirect(text, strlen(text));
}

static void other_errors_are_no_redirects(void **state)
{
    const char *wrong[] = {"",
                           "MOVED",
                           "MOVED ",
                           "MOVED 1",
                           "MOVED 1 ",
                           "MOVED h:1",
                           "MOVED 1:1",
                           "MOVED:1 1",
                           "ASK",
                           "ASK ",
                           "ASKING 1 h:1",
                           "MOVEDX 1 h:1",
                           "moved 1 h:1",
                           "Ask 1 h:1",
                           " MOVED 1 h:1",
                           "-MOVED 1 h:1",
                           "ASK MOVED 1 h:1",
                           "ERR MOVED 1 h:1",
                           "MOVED  1 h:1",
                           "MOVED\t1 h:1",
                           "MOVED 1  h:1",
                           "MOVED 1\th:1",
                           "1 h:1",
                           "TRYAGAIN Multiple keys request during rehashing of slot",
                           "CLUSTERDOWN Hash slot not served"};

    (void)state;
    assert_none(wrong, sizeof wrong / sizeof *wrong);
}

static void no_redirect_is_read_beyond_its_end(void **state)
{
    static const char text[] = "MOVED 3999 127.0.0.1:6381";
    static const int ports[] = {6, 63, 638, 6381};
    size_t port_at = sizeof text - 1 - 4;

    (void)state;
    for (size_t length = 0; length <= port_at; length++) assert_no_redirect(text, length);
    for (size_t digits = 1; digits <= 4; digits++) {
        redirect out;

        assert_true(is_redirect(&out, text, port_at + digits));
        assert_int_equal(out.port, ports[digits - 1]);
    }
}

static void what_leads_nowhere_leaves_no_host(void **state)
{
    char host[REDIRECT_HOST_SIZE];

    (void)state;
    strcpy(host, "known");
    assert_false(redirect_read_host(host, "a b", 3));
    assert_string_equal(host, "");
    strcpy(host, "known");
    assert_true(redirect_read_host(host, "", 0));
    assert_string_equal(host, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_redirect_names_a_slot_a_host_and_a_port),
        cmocka_unit_test(moved_is_for_good_and_ask_is_for_once),
        cmocka_unit_test(a_host_may_be_a_name),
        cmocka_unit_test(an_address_ends_at_the_last_colon),
        cmocka_unit_test(an_address_may_have_brackets),
        cmocka_unit_test(brackets_are_a_pair_around_something),
        cmocka_unit_test(no_host_is_whoever_said_so),
        cmocka_unit_test(an_unknown_host_leads_nowhere),
        cmocka_unit_test(a_slot_is_a_number_from_0_to_16383),
        cmocka_unit_test(a_port_is_a_number_from_1_to_65535),
        cmocka_unit_test(nothing_follows_the_port),
        cmocka_unit_test(a_host_has_no_strange_bytes),
        cmocka_unit_test(a_host_has_at_most_255_bytes),
        cmocka_unit_test(other_errors_are_no_redirects),
        cmocka_unit_test(no_redirect_is_read_beyond_its_end),
        cmocka_unit_test(what_leads_nowhere_leaves_no_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
