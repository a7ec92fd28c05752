/* SPDX-License-Identifier: MIT
 * topology/endpoint: the forms of a URI, everything that is refused, and that no complaint tells a
 * secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "topology/endpoint.h"

static endpoint_login login; /* what was parsed last */

static const endpoint_list *parsed_list(const char *uri)
{
    static endpoint_list out;
    redlock_detail detail;

    memset(&out, 0xa5, sizeof out);
    memset(&login, 0xa5, sizeof login);
    memset(&detail, 0xa5, sizeof detail);
    redlock_status st = endpoint_parse(&out, &login, uri, &detail);
    if (st != REDLOCK_OK) print_error("%s: %s\n", uri, detail.text);
    assert_int_equal(st, REDLOCK_OK);
    assert_string_equal(detail.text, "");
    return &out;
}

static void assert_nothing_beyond(const endpoint_list *list, size_t count)
{
    static const endpoint nothing;

    assert_int_equal(list->count, count);
    for (size_t i = count; i < ENDPOINTS_MOST; i++)
        assert_memory_equal(&list->at[i], &nothing, sizeof nothing);
}

static endpoint parsed(const char *uri)
{
    const endpoint_list *list = parsed_list(uri);

    assert_int_equal(list->kind, TOPOLOGY_SINGLE);
    assert_nothing_beyond(list, 1);
    return list->at[0];
}

static const endpoint_list *parsed_cluster(const char *uri, size_t count)
{
    const endpoint_list *list = parsed_list(uri);

    assert_int_equal(list->kind, TOPOLOGY_CLUSTER);
    assert_nothing_beyond(list, count);
    for (size_t i = 0; i < count; i++) {
        assert_false(list->at[i].is_unix);
        assert_int_equal(list->at[i].database, 0);
    }
    return list;
}

static void a_host_alone_has_the_default_port_and_database(void **state)
{
    endpoint out = parsed("redis://localhost");

    (void)state;
    assert_string_equal(out.host, "localhost");
    assert_int_equal(out.port, 6379);
    assert_int_equal(out.database, 0);
    assert_false(out.is_unix);
    assert_false(out.use_tls);
    assert_string_equal(login.user, "");
    assert_string_equal(login.password, "");
}

static void all_parts_of_a_tcp_uri_are_read(void **state)
{
    endpoint out = parsed("redis://bob:secret@cache-1.my_net.example:65535/2147483647");

    (void)state;
    assert_string_equal(login.user, "bob");
    assert_string_equal(login.password, "secret");
    assert_string_equal(out.host, "cache-1.my_net.example");
    assert_int_equal(out.port, 65535);
    assert_int_equal(out.database, 2147483647);
}

static void rediss_is_the_same_over_tls(void **state)
{
    endpoint out = parsed("rediss://h:1/0");

    (void)state;
    assert_true(out.use_tls);
    assert_false(out.is_unix);
    assert_string_equal(out.host, "h");
    assert_int_equal(out.port, 1);
}

static void valkey_is_another_word_for_redis(void **state)
{
    endpoint out = parsed("valkey://bob:secret@h:1/2");

    (void)state;
    assert_false(out.use_tls);
    assert_false(out.is_unix);
    assert_string_equal(login.user, "bob");
    assert_string_equal(login.password, "secret");
    assert_string_equal(out.host, "h");
    assert_int_equal(out.port, 1);
    assert_int_equal(out.database, 2);
    assert_false(parsed("valkey://h").use_tls);
    assert_true(parsed("valkeys://h").use_tls);
    assert_int_equal(parsed("valkeys://h").port, 6379);
}

static void a_slash_without_a_database_means_the_first(void **state)
{
    (void)state;
    assert_int_equal(parsed("redis://h/").database, 0);
}

static void a_password_needs_no_user(void **state)
{
    (void)state;
    parsed("redis://:pw@h");
    assert_string_equal(login.user, "");
    assert_string_equal(login.password, "pw");
}

static void user_and_password_are_percent_decoded(void **state)
{
    (void)state;
    parsed("redis://a%3Ab:%40%2f%3f%25%c3%A9%01@h");
    assert_string_equal(login.user, "a:b");
    assert_string_equal(login.password, "@/?%\xc3\xa9\x01");
}

static void colons_and_at_signs_may_stand_in_a_password(void **state)
{
    endpoint out = parsed("redis://u:p@s:s@h");

    (void)state;
    assert_string_equal(login.user, "u");
    assert_string_equal(login.password, "p@s:s");
    assert_string_equal(out.host, "h");
}

static void an_ipv6_address_stands_in_brackets(void **state)
{
    (void)state;
    assert_string_equal(parsed("redis://[::1]").host, "::1");
    assert_string_equal(parsed("redis://[::ffff:10.0.0.1]:7/1").host, "::ffff:10.0.0.1");
    assert_int_equal(parsed("redis://u:p@[2001:db8::2]:7/1").port, 7);
    assert_string_equal(parsed("redis://[fe80::1%eth0]:7").host, "fe80::1%eth0");
}

static void a_unix_uri_has_a_path(void **state)
{
    endpoint out = parsed("unix:///run/redis/my server@1.sock");

    (void)state;
    assert_true(out.is_unix);
    assert_false(out.use_tls);
    assert_string_equal(out.host, "/run/redis/my server@1.sock");
    assert_int_equal(out.database, 0);
    assert_int_equal(out.port, 0);
}

static void a_unix_uri_may_have_credentials_and_a_database(void **state)
{
    endpoint out = parsed("unix://bob:p%2Fw@/s.sock?db=15");

    (void)state;
    assert_string_equal(login.user, "bob");
    assert_string_equal(login.password, "p/w");
    assert_string_equal(out.host, "/s.sock");
    assert_int_equal(out.database, 15);
}

static void assert_is(const endpoint *of, const char *host, int port)
{
    assert_string_equal(of->host, host);
    assert_int_equal(of->port, port);
}

static void a_cluster_has_seeds(void **state)
{
    const endpoint_list *list = parsed_cluster(
        "redis+cluster://a,b-1.my_net:7001,[::1],[fe80::1%eth0]:7002,10.0.0.1:65535", 5);

    (void)state;
    assert_is(&list->at[0], "a", 6379);
    assert_is(&list->at[1], "b-1.my_net", 7001);
    assert_is(&list->at[2], "::1", 6379);
    assert_is(&list->at[3], "fe80::1%eth0", 7002);
    assert_is(&list->at[4], "10.0.0.1", 65535);
    for (size_t i = 0; i < list->count; i++) assert_false(list->at[i].use_tls);
    assert_string_equal(login.user, "");
    assert_string_equal(login.password, "");
}

static void a_cluster_may_have_one_seed(void **state)
{
    (void)state;
    assert_is(&parsed_cluster("redis+cluster://h", 1)->at[0], "h", 6379);
    assert_is(&parsed_cluster("redis+cluster://[::1]:7", 1)->at[0], "::1", 7);
}

/* As many as that, each with a port of its own, and `after`. */
static const char *with_seeds(int count, const char *after)
{
    static char uri[512];
    int length = snprintf(uri, sizeof uri, "redis+cluster://");

    for (int i = 0; i < count; i++)
        length += snprintf(uri + length, sizeof uri - (size_t)length, "%sh:%d", i > 0 ? "," : "",
                           1001 + i);
    snprintf(uri + length, sizeof uri - (size_t)length, "%s", after);
    return uri;
}

static void sixteen_seeds_fit(void **state)
{
    const endpoint_list *list = parsed_cluster(with_seeds(16, "/0"), 16);

    (void)state;
    for (int i = 0; i < 16; i++) assert_is(&list->at[i], "h", 1001 + i);
}

static void a_seed_may_be_listed_twice(void **state)
{
    const endpoint_list *list = parsed_cluster("redis+cluster://h:1,h:1,h", 3);

    (void)state;
    assert_is(&list->at[0], "h", 1);
    assert_is(&list->at[1], "h", 1);
    assert_is(&list->at[2], "h", 6379);
}

static void each_seed_of_rediss_cluster_is_asked_over_tls(void **state)
{
    const endpoint_list *list = parsed_cluster("rediss+cluster://a,b:1,[::1]", 3);

    (void)state;
    for (size_t i = 0; i < list->count; i++) assert_true(list->at[i].use_tls);
}

static void valkey_is_another_word_in_a_clusters_uri(void **state)
{
    const endpoint_list *list = parsed_cluster("valkey+cluster://u:p@a,b:1/0", 2);

    (void)state;
    assert_is(&list->at[0], "a", 6379);
    assert_is(&list->at[1], "b", 1);
    assert_false(list->at[0].use_tls || list->at[1].use_tls);
    assert_string_equal(login.user, "u");
    assert_string_equal(login.password, "p");
    list = parsed_cluster("valkeys+cluster://a,b:1", 2);
    assert_true(list->at[0].use_tls && list->at[1].use_tls);
}

static void all_seeds_are_greeted_alike(void **state)
{
    (void)state;
    assert_is(&parsed_cluster("redis+cluster://bob:a%2Cb%40@h:1,i", 2)->at[1], "i", 6379);
    assert_string_equal(login.user, "bob");
    assert_string_equal(login.password, "a,b@");
    assert_is(&parsed_cluster("redis+cluster://:p@s:s@h:1,i", 2)->at[0], "h", 1);
    assert_string_equal(login.user, "");
    assert_string_equal(login.password, "p@s:s");
}

static void a_cluster_has_its_first_database(void **state)
{
    (void)state;
    parsed_cluster("redis+cluster://a,b/", 2);
    parsed_cluster("redis+cluster://a,b/0", 2);
    parsed_cluster("redis+cluster://a,b:1/0", 2);
}

static void a_comma_is_of_no_meaning_elsewhere(void **state)
{
    (void)state;
    assert_string_equal(parsed("redis://u,v:p,q@h").host, "h");
    assert_string_equal(login.user, "u,v");
    assert_string_equal(login.password, "p,q");
    assert_string_equal(parsed("unix://:p,q@/a,b").host, "/a,b");
    assert_string_equal(login.password, "p,q");
}

static void assert_refused(const char *uri, const char *why)
{
    static endpoint_list out;
    redlock_detail detail = {""};
    static const endpoint_list nothing;
    static const endpoint_login nobody;

    memset(&out, 0xa5, sizeof out);
    memset(&login, 0xa5, sizeof login);
    redlock_status st = endpoint_parse(&out, &login, uri, &detail);
    if (st != REDLOCK_ERR_URI || strstr(detail.text, why) == NULL)
        print_error("%s: %d, \"%s\"\n", uri, (int)st, detail.text);
    assert_int_equal(st, REDLOCK_ERR_URI);
    assert_non_null(strstr(detail.text, why));
    assert_memory_equal(&out, &nothing, sizeof out);
    assert_memory_equal(&login, &nobody, sizeof login);
    assert_int_equal(endpoint_parse(&out, &login, uri, NULL), REDLOCK_ERR_URI);
}

/* With this complaint alone, about this byte. */
static void assert_refused_at(const char *uri, const char *why, int byte)
{
    char whole[sizeof((redlock_detail *)0)->text];
    redlock_detail detail = {""};
    static endpoint_list out;

    snprintf(whole, sizeof whole, "%s, at byte %d of the URI", why, byte);
    assert_refused(uri, whole);
    assert_int_equal(endpoint_parse(&out, &login, uri, &detail), REDLOCK_ERR_URI);
    assert_string_equal(detail.text, whole);
}

static void an_unknown_scheme_is_refused(void **state)
{
    const char *wrong[] = {"",
                           "redis",
                           "redis:",
                           "redis:/h",
                           "http://h",
                           "/s.sock",
                           " redis://h",
                           "localhost:6379",
                           "redisss://h",
                           "Redis://h",
                           "valkey",
                           "valkey:/h",
                           "valkeyss://h",
                           "valkes://h",
                           "redis+cluster:/h",
                           "redis+clusters://h",
                           "redis+sentinel://h",
                           "unix+cluster:///s",
                           "cluster://h",
                           "redis+cluster",
                           "unixs:///s"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused_at(wrong[i],
                          "the scheme is none of redis://, rediss://, redis+cluster://, "
                          "rediss+cluster:// (or valkey for redis) and unix://",
                          1);
}

static void no_uri_at_all_is_refused(void **state)
{
    static endpoint_list out;
    redlock_detail detail;

    (void)state;
    assert_int_equal(endpoint_parse(&out, &login, NULL, &detail), REDLOCK_ERR_URI);
    assert_string_equal(detail.text, "there is no URI");
}

static void an_empty_host_is_refused(void **state)
{
    const char *wrong[] = {"redis://", "redis://:6379", "redis:///0", "redis://u:p@",
                           "redis://u:p@:1"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused(wrong[i], "host is empty");
}

static void a_host_with_strange_bytes_is_refused(void **state)
{
    const char *wrong[] = {"redis://a b",   "redis://a\tb", "redis://a\nb",      "redis://a%20b",
                           "redis://a\x7f", "redis://h#x",  "redis://h\xc3\xa9", "redis://a]b",
                           "redis://a;b:1", "redis://a\\b", "redis:// "};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused(wrong[i], "host contains a byte");
}

static void a_bad_port_is_refused(void **state)
{
    const char *wrong[] = {
        "redis://h:",   "redis://h:0",   "redis://h:65536",     "redis://h:99999999999999999999",
        "redis://h:-1", "redis://h:+1",  "redis://h: 1",        "redis://h:1x",
        "redis://h:01", "redis://h:1:2", "redis://2001:db8::1", "redis://[::1]:",
        "redis://h:/0"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_refused(wrong[i], "port");
}

static void a_bad_address_is_refused(void **state)
{
    (void)state;
    assert_refused("redis://[::1", "no ']'");
    assert_refused("redis://[]", "address is malformed");
    assert_refused("redis://[::1::]", "address is malformed");
    assert_refused("redis://[localhost]", "address is malformed");
    assert_refused("redis://[127.0.0.1]", "address is malformed");
    assert_refused("redis://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]",
                   "address is malformed");
    assert_refused("redis://[fe80::1%]", "zone is empty");
    assert_refused("redis://[fe80::1%a b]", "zone is malformed");
    assert_refused("redis://[::1]x", "only a port");
}

static void a_bad_database_is_refused(void **state)
{
    const char *wrong[] = {
        "redis://h/x",   "redis://h/-1",   "redis://h/2147483648", "redis://h/0/",
        "redis://h/0 ",  "redis://h/01",   "redis://h//0",         "redis://h/0?x",
        "unix:///s?db=", "unix:///s?db=x", "unix:///s?db=1&db=2",  "unix:///s?db=2147483648"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_refused(wrong[i], "database");
}

static void an_unknown_query_is_refused(void **state)
{
    (void)state;
    assert_refused("redis://h?db=1", "takes no query");
    assert_refused("redis://h:1?", "takes no query");
    assert_refused("unix:///s?", "query is not db=n");
    assert_refused("unix:///s?d", "query is not db=n");
    assert_refused("unix:///s?DB=1", "query is not db=n");
    assert_refused("unix:///s?timeout=1", "query is not db=n");
}

static void a_list_is_for_a_cluster(void **state)
{
    const char *why = "a list of servers is for redis+cluster://";

    (void)state;
    assert_refused_at("redis://a,b", why, 10);
    assert_refused_at("redis://a:1,b:1", why, 12);
    assert_refused_at("redis://a,", why, 10);
    assert_refused_at("redis://,a", why, 9);
    assert_refused_at("redis://a,b,c/0", why, 10);
    assert_refused_at("redis://[::1],[::2]", why, 14);
    assert_refused_at("rediss://[::1]:1,b", why, 17);
    assert_refused_at("rediss://a,b", why, 11);
    assert_refused_at("valkey://a,b", why, 11);
    assert_refused_at("valkeys://u:p@a,b", why, 16);
}

static void an_empty_seed_is_refused(void **state)
{
    const char *why = "the host is empty";

    (void)state;
    assert_refused_at("redis+cluster://", why, 17);
    assert_refused_at("redis+cluster:///", why, 17);
    assert_refused_at("redis+cluster://,", why, 17);
    assert_refused_at("redis+cluster://,a", why, 17);
    assert_refused_at("redis+cluster://a,", why, 19);
    assert_refused_at("redis+cluster://a,/0", why, 19);
    assert_refused_at("redis+cluster://a,,b", why, 19);
    assert_refused_at("redis+cluster://a:1,,b", why, 21);
    assert_refused_at("redis+cluster://a,:1", why, 19);
    assert_refused_at("redis+cluster://u:p@", why, 21);
    assert_refused_at("redis+cluster://u:p@,a", why, 21);
    assert_refused_at("rediss+cluster://a,", why, 20);
    assert_refused_at("valkeys+cluster://[::1],", why, 25);
}

static void more_than_sixteen_seeds_are_refused(void **state)
{
    const char *why = "there are more than 16 servers";
    int byte = (int)strlen(with_seeds(16, ",")) + 1;

    (void)state;
    assert_refused_at(with_seeds(17, ""), why, byte);
    assert_refused_at(with_seeds(40, "/0"), why, byte);
    assert_refused_at(with_seeds(16, ",[::1]"), why, byte);
    assert_refused_at(with_seeds(16, ","), why, byte);
}

static void each_seed_is_read_as_strictly_as_a_host(void **state)
{
    (void)state;
    assert_refused_at("redis+cluster://a,b c", "the host contains a byte that no host has", 20);
    assert_refused_at("redis+cluster://a, b", "the host contains a byte that no host has", 19);
    assert_refused_at("redis+cluster://a;b", "the host contains a byte that no host has", 18);
    assert_refused_at("redis+cluster://a,b#", "the host contains a byte that no host has", 20);
    assert_refused_at("redis+cluster://a,[::1", "the '[' of an IPv6 address has no ']'", 19);
    assert_refused_at("redis+cluster://[::1,b]", "the '[' of an IPv6 address has no ']'", 17);
    assert_refused_at("redis+cluster://a,[b]", "the IPv6 address is malformed", 20);
    assert_refused_at("redis+cluster://a,[fe80::1%]", "the IPv6 zone is empty", 27);
    assert_refused_at("redis+cluster://a,[fe80::1%+]", "the IPv6 zone is malformed", 28);
    assert_refused_at("redis+cluster://a,[::1]b", "after ']' only a port may follow", 24);
}

static void a_seeds_bad_port_is_refused(void **state)
{
    const char *why =
        "the port is not a number from 1 to 65535 (an IPv6 address stands in brackets)";

    (void)state;
    assert_refused_at("redis+cluster://a:,b", why, 19);
    assert_refused_at("redis+cluster://a,b:", why, 21);
    assert_refused_at("redis+cluster://a,b:0", why, 21);
    assert_refused_at("redis+cluster://a,b:65536/0", why, 21);
    assert_refused_at("redis+cluster://a:1:2,b", why, 19);
    assert_refused_at("redis+cluster://a,2001:db8::1", why, 24);
    assert_refused_at("redis+cluster://a,[::1]:01", why, 25);
}

static void a_clusters_other_databases_are_refused(void **state)
{
    const char *wrong[] = {"redis+cluster://h/1",  "redis+cluster://h/00",
                           "redis+cluster://h/x",  "redis+cluster://h/0/",
                           "redis+cluster://h/0,", "redis+cluster://h/-1",
                           "redis+cluster://h//",  "redis+cluster://h/15",
                           "redis+cluster://h/ 0", "redis+cluster://h/99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused_at(wrong[i], "a cluster has database 0 only", 19);
    assert_refused_at("rediss+cluster://a,b:1/2", "a cluster has database 0 only", 24);
}

static void a_clusters_query_is_refused(void **state)
{
    const char *why = "a cluster takes no query";

    (void)state;
    assert_refused_at("redis+cluster://h?", why, 18);
    assert_refused_at("redis+cluster://h,i:1?db=0", why, 22);
    assert_refused_at("redis+cluster://h/?db=0", why, 19);
    assert_refused_at("redis+cluster://h/0?a=b", why, 20);
}

static void a_clusters_credentials_stand_once(void **state)
{
    const char *why = "credentials stand once, before all servers, and have %2C for ','";

    (void)state;
    assert_refused_at("redis+cluster://u:p@a,u:p@b", why, 22);
    assert_refused_at("redis+cluster://a,u:p@b", why, 18);
    assert_refused_at("redis+cluster://u:p,q@a", why, 20);
    assert_refused_at("redis+cluster://,@a", why, 17);
    assert_refused_at("redis+cluster://u@a,b", "a user needs a password (user:password@)", 17);
    assert_refused_at("redis+cluster://u:@a,b", "the password is empty", 19);
    assert_refused_at("redis+cluster://u:%4@a,b",
                      "a '%' in the credentials is not followed by two hexadecimal digits", 19);
}

static void a_relative_path_is_refused(void **state)
{
    const char *wrong[] = {"unix://",           "unix://s.sock", "unix://run/s.sock",
                           "unix://u:p@s.sock", "unix://u:p@",   "unix://?db=1"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused(wrong[i], "does not begin with '/'");
    assert_refused("unix:///a\nb", "control character");
}

static void credentials_are_user_and_password(void **state)
{
    (void)state;
    assert_refused("redis://user@h", "a user needs a password");
    assert_refused("redis://@h", "a user needs a password");
    assert_refused("unix://user@/s", "a user needs a password");
    assert_refused("redis://user:@h", "password is empty");
    assert_refused("redis://:@h", "password is empty");
}

static void a_bad_percent_escape_is_refused(void **state)
{
    const char *wrong[] = {"redis://u:%@h",   "redis://u:%4@h", "redis://u:a%4g@h",
                           "redis://u:%g4@h", "redis://%:p@h",  "redis://u:%%41@h"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused(wrong[i], "two hexadecimal digits");
    assert_refused("redis://u:a%00b@h", "NUL");
    assert_refused("redis://%00:p@h", "NUL");
}

/* A URI in which `part` is repeated. */
static const char *with_repeated(const char *before, char part, int times, const char *after)
{
    static char uri[10000];
    int length = snprintf(uri, sizeof uri, "%s", before);

    memset(uri + length, part, (size_t)times);
    snprintf(uri + length + times, sizeof uri - (size_t)(length + times), "%s", after);
    return uri;
}

static void the_longest_parts_fit_and_longer_ones_are_refused(void **state)
{
    (void)state;
    assert_int_equal(strlen(parsed(with_repeated("redis://", 'h', 255, "")).host), 255);
    assert_refused(with_repeated("redis://", 'h', 256, ""), "host is too long");
    parsed(with_repeated("redis://u:", 'p', 8192, "@h"));
    assert_int_equal(strlen(login.password), 8192);
    assert_refused(with_repeated("redis://u:", 'p', 8193, "@h"), "password is too long");
    parsed(with_repeated("redis://", 'u', 8192, ":p@h"));
    assert_int_equal(strlen(login.user), 8192);
    assert_refused(with_repeated("redis://", 'u', 8193, ":p@h"), "the user or the password is too");
    assert_int_equal(strlen(parsed(with_repeated("unix:///", 's', 106, "")).host), 107);
    assert_refused(with_repeated("unix:///", 's', 107, ""), "longer than 107");
    assert_refused(with_repeated("redis://[::1%", 'z', 300, "]"), "host is too long");
    assert_int_equal(
        strlen(parsed_cluster(with_repeated("redis+cluster://a,", 'h', 255, ",b"), 3)->at[1].host),
        255);
    assert_refused_at(with_repeated("redis+cluster://a,", 'h', 256, ",b"), "the host is too long",
                      19);
}

static void a_complaint_says_where(void **state)
{
    (void)state;
    assert_refused("http://h", "at byte 1 of");
    assert_refused("redis://h:x", "at byte 11 of");
    assert_refused("redis://ab cd", "at byte 11 of");
    assert_refused("redis://h/1x", "at byte 11 of");
    assert_refused("redis://u:a%zz@h", "at byte 12 of");
}

static void no_complaint_contains_the_credentials(void **state)
{
    /* Also where they are not recognised as such. */
    const char *wrong[] = {"redis://sesame:xyzzy@",
                           "redis://sesame:xyzzy@h:0",
                           "redis://sesame:xyzzy%@h",
                           "redis://sesame@h",
                           "sesame:xyzzy@h",
                           "redis://sesame:xyzzy/plugh@h",
                           "redis://:xyzzy?@h",
                           "unix://sesame:xyzzy@s",
                           "redis://h?password=xyzzy",
                           "redis://sesame:xyzzy@[h",
                           "redis://h:1/0@xyzzy",
                           "unix:///s?password=xyzzy",
                           "redis://sesame:xyzzy@a,b",
                           "redis://a,sesame:xyzzy",
                           "redis+cluster://sesame:xyzzy@a,",
                           "redis+cluster://sesame:xyzzy@a,sesame:xyzzy@b",
                           "redis+cluster://a,sesame:xyzzy@b",
                           "redis+cluster://a,sesame:xyzzy",
                           "redis+cluster://sesame:xyzzy/plugh@a,b",
                           "redis+cluster://sesame:xyzzy@a/plugh",
                           "redis+cluster://a?password=xyzzy",
                           "redis+cluster://sesame@a,b",
                           "redis+clusters://sesame:xyzzy@a",
                           "redis+cluster://a,[sesame]",
                           "redis+cluster://:xyz,zy%@a"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        static endpoint_list out;
        redlock_detail detail;

        assert_int_equal(endpoint_parse(&out, &login, wrong[i], &detail), REDLOCK_ERR_URI);
        assert_null(strstr(detail.text, "sesame"));
        assert_null(strstr(detail.text, "xyzzy"));
        assert_null(strstr(detail.text, "plugh"));
    }
}

static const struct CMUnitTest accepted[] = {
    cmocka_unit_test(a_host_alone_has_the_default_port_and_database),
    cmocka_unit_test(all_parts_of_a_tcp_uri_are_read),
    cmocka_unit_test(rediss_is_the_same_over_tls),
    cmocka_unit_test(valkey_is_another_word_for_redis),
    cmocka_unit_test(a_slash_without_a_database_means_the_first),
    cmocka_unit_test(a_password_needs_no_user),
    cmocka_unit_test(user_and_password_are_percent_decoded),
    cmocka_unit_test(colons_and_at_signs_may_stand_in_a_password),
    cmocka_unit_test(an_ipv6_address_stands_in_brackets),
    cmocka_unit_test(a_unix_uri_has_a_path),
    cmocka_unit_test(a_unix_uri_may_have_credentials_and_a_database),
    cmocka_unit_test(a_cluster_has_seeds),
    cmocka_unit_test(a_cluster_may_have_one_seed),
    cmocka_unit_test(sixteen_seeds_fit),
    cmocka_unit_test(a_seed_may_be_listed_twice),
    cmocka_unit_test(each_seed_of_rediss_cluster_is_asked_over_tls),
    cmocka_unit_test(valkey_is_another_word_in_a_clusters_uri),
    cmocka_unit_test(all_seeds_are_greeted_alike),
    cmocka_unit_test(a_cluster_has_its_first_database),
    cmocka_unit_test(a_comma_is_of_no_meaning_elsewhere),
};

static const struct CMUnitTest refused[] = {
    cmocka_unit_test(an_unknown_scheme_is_refused),
    cmocka_unit_test(no_uri_at_all_is_refused),
    cmocka_unit_test(an_empty_host_is_refused),
    cmocka_unit_test(a_host_with_strange_bytes_is_refused),
    cmocka_unit_test(a_bad_port_is_refused),
    cmocka_unit_test(a_bad_address_is_refused),
    cmocka_unit_test(a_bad_database_is_refused),
    cmocka_unit_test(an_unknown_query_is_refused),
    cmocka_unit_test(a_list_is_for_a_cluster),
    cmocka_unit_test(an_empty_seed_is_refused),
    cmocka_unit_test(more_than_sixteen_seeds_are_refused),
    cmocka_unit_test(each_seed_is_read_as_strictly_as_a_host),
    cmocka_unit_test(a_seeds_bad_port_is_refused),
    cmocka_unit_test(a_clusters_other_databases_are_refused),
    cmocka_unit_test(a_clusters_query_is_refused),
    cmocka_unit_test(a_clusters_credentials_stand_once),
    cmocka_unit_test(a_relative_path_is_refused),
    cmocka_unit_test(credentials_are_user_and_password),
    cmocka_unit_test(a_bad_percent_escape_is_refused),
    cmocka_unit_test(the_longest_parts_fit_and_longer_ones_are_refused),
    cmocka_unit_test(a_complaint_says_where),
    cmocka_unit_test(no_complaint_contains_the_credentials),
};

int main(void)
{
    int failed = cmocka_run_group_tests(accepted, NULL, NULL);

    return failed + cmocka_run_group_tests(refused, NULL, NULL);
}
