/* SPDX-License-Identifier: MIT
 * net/tls: the handshake, who is believed, and who we are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/tls.h"

#ifndef REDLOCK_WITH_TLS

static void without_openssl_no_context_is_made_and_the_detail_says_why(void **state)
{
    tls_context *context = (tls_context *)state;
    redlock_detail detail = {""};
    memory from = memory_from(NULL);

    assert_int_equal(tls_context_new(&context, NULL, &from, &detail), REDLOCK_ERR_TLS_UNAVAILABLE);
    assert_null(context);
    assert_non_null(strstr(detail.text, "OpenSSL"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_openssl_no_context_is_made_and_the_detail_says_why),
    };
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}

#else

#include "unit/tls_fixture.h"

/* ---- Handshake and verification ---------------------------------------------------------------*/

static void a_verified_server_answers(void **state)
{
    ends it = {.name = "redis.test"};
    (void)state;

    assert_connects(&it);
    assert_string_equal(SSL_get_servername(it.server, TLSEXT_NAMETYPE_host_name), "redis.test");
    assert_server_gets(&it, "PING");
    assert_client_gets(&it, "+PONG");
    assert_string_equal(tls_session_error(it.client), "");
    close_ends(&it);
}

static void tls_1_2_is_spoken_too(void **state)
{
    ends it = {.server_version = TLS1_2_VERSION};
    (void)state;

    assert_connects(&it);
    assert_string_equal(SSL_get_version(it.server), "TLSv1.2");
    assert_server_gets(&it, "PING");
    assert_client_gets(&it, "+PONG");
    close_ends(&it);
}

static void a_server_of_tls_1_1_is_refused(void **state)
{
    ends it = {.server_version = TLS1_1_VERSION};
    (void)state;

    assert_refused(&it, "protocol version");
}

static void another_host_is_refused(void **state)
{
    ends it = {.name = "other.test"};
    (void)state;

    assert_refused(&it, "the certificate is refused for other.test: ");
}

static void an_address_is_verified_as_an_address_and_is_no_sni(void **state)
{
    const char *addresses[] = {"127.0.0.1", "::1", "fe80::7%eth0"};
    (void)state;

    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        ends it = {.name = addresses[i]};
        assert_connects(&it);
        assert_null(SSL_get_servername(it.server, TLSEXT_NAMETYPE_host_name));
        close_ends(&it);
    }
}

static void another_address_is_refused(void **state)
{
    ends it = {.name = "127.0.0.2"};
    ends written_as_name = {.name = "127.0.0.9"};
    (void)state;

    assert_refused(&it, "refused for 127.0.0.2: ");
    assert_refused(&written_as_name, "refused for 127.0.0.9: ");
}

static void the_dot_of_the_root_is_not_part_of_the_name(void **state)
{
    ends it = {.name = "redis.test."};
    (void)state;

    assert_connects(&it);
    assert_string_equal(SSL_get_servername(it.server, TLSEXT_NAMETYPE_host_name), "redis.test");
    close_ends(&it);
}

/* To OpenSSL each of these would mean "accept more than one host". */
static void what_is_no_name_is_refused(void **state)
{
    char too_long[300];
    const char *names[] = {"", ".", ".test", "%:", too_long};
    (void)state;

    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ends it = {.name = names[i]};
        assert_refused(&it, "cannot be verified");
    }
}

static void another_authority_is_refused(void **state)
{
    ends it = {.options.tls_ca_file = authority_path(stranger, "ca.pem")};
    (void)state;

    assert_refused(&it, "refused for redis.test: unable to get local issuer certificate");
}

static void a_directory_of_authorities_is_used(void **state)
{
    ends it = {.options.tls_ca_directory = authority_directory(ours)};
    ends other = {.options.tls_ca_directory = authority_directory(stranger)};
    (void)state;

    assert_connects(&it);
    close_ends(&it);
    assert_refused(&other, "unable to get local issuer certificate");
}

static void without_options_the_systems_authorities_decide(void **state)
{
    ends it = {.name = "redis.test"};
    (void)state;

    open_ends(&it);
    tls_session_free(it.client);
    tls_context_free(it.context);
    assert_int_equal(tls_context_new(&it.context, NULL, &heap, NULL), REDLOCK_OK);
    it.client = tls_session_new(it.context, it.fds[0], it.name);

    assert_int_equal(shake(&it), TLS_FAILED);
    assert_non_null(strstr(tls_session_error(it.client), "the certificate is refused"));
    close_ends(&it);
}

static void an_expired_certificate_is_refused(void **state)
{
    ends it = {.certificate = "expired"};
    (void)state;

    assert_refused(&it, "certificate has expired");
}

static void verification_can_be_skipped(void **state)
{
    ends it = {.certificate = "expired",
               .name = "other.test",
               .options = {.tls_skip_verification = true,
                           .tls_ca_file = authority_path(stranger, "ca.pem")}};
    (void)state;

    assert_connects(&it);
    assert_client_gets(&it, "+PONG");
    close_ends(&it);
}

static void a_server_without_tls_is_told_apart(void **state)
{
    const char answer[] = "-ERR Protocol error\r\n";
    ends it = {.name = "redis.test"};
    (void)state;

    open_ends(&it);
    assert_int_equal(tls_handshake(it.client), TLS_WANT_READ);
    assert_int_equal(send(it.fds[1], answer, strlen(answer), 0), (int)strlen(answer));
    assert_int_equal(tls_handshake(it.client), TLS_FAILED);
    assert_non_null(strstr(tls_session_error(it.client), "does not speak TLS"));
    close_ends(&it);
}

static void an_end_of_file_in_the_handshake_is_a_failure(void **state)
{
    ends it = {.name = "redis.test"};
    (void)state;

    open_ends(&it);
    assert_int_equal(tls_handshake(it.client), TLS_WANT_READ);
    assert_int_equal(shutdown(it.fds[1], SHUT_WR), 0);
    assert_int_equal(tls_handshake(it.client), TLS_FAILED);
    assert_string_equal(tls_session_error(it.client),
                        "the connection ended during the TLS handshake: end of file");
    close_ends(&it);
}

/* ---- Client certificate -----------------------------------------------------------------------*/

static void a_client_certificate_is_shown(void **state)
{
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        ends it = {.wants_certificate = true,
                   .server_version = versions[i],
                   .options = {.tls_certificate_file = authority_path(ours, "client.pem"),
                               .tls_key_file = authority_path(ours, "client.key")}};
        assert_connects(&it);
        assert_int_equal(SSL_get_verify_result(it.server), X509_V_OK);
        assert_client_gets(&it, "+PONG");
        close_ends(&it);
    }
}

/* In TLS 1.3 the client is done before the server has judged it. */
static void a_missing_client_certificate_is_named_even_when_a_write_fails_first(void **state)
{
    ends it = {.wants_certificate = true, .server_version = TLS1_3_VERSION};
    size_t count;
    (void)state;

    open_ends(&it);
    for (int i = 0; i < STEPS && tls_handshake(it.client) != TLS_DONE; i++) {
        (void)SSL_do_handshake(it.server);
    }
    assert_int_equal(SSL_do_handshake(it.server), -1);
    ERR_clear_error();
    hang_up(&it);

    assert_int_equal(tls_write(it.client, "PING", 4, &count), TLS_FAILED);
    assert_non_null(strstr(tls_session_error(it.client), "the server refused: "));
    assert_non_null(strstr(tls_session_error(it.client), "certificate required"));
    close_ends(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verified_server_answers),
        cmocka_unit_test(tls_1_2_is_spoken_too),
        cmocka_unit_test(a_server_of_tls_1_1_is_refused),
        cmocka_unit_test(another_host_is_refused),
        cmocka_unit_test(an_address_is_verified_as_an_address_and_is_no_sni),
        cmocka_unit_test(another_address_is_refused),
        cmocka_unit_test(the_dot_of_the_root_is_not_part_of_the_name),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(another_authority_is_refused),
        cmocka_unit_test(a_directory_of_authorities_is_used),
        cmocka_unit_test(without_options_the_systems_authorities_decide),
        cmocka_unit_test(an_expired_certificate_is_refused),
        cmocka_unit_test(verification_can_be_skipped),
        cmocka_unit_test(a_server_without_tls_is_told_apart),
        cmocka_unit_test(an_end_of_file_in_the_handshake_is_a_failure),
        cmocka_unit_test(a_client_certificate_is_shown),
        cmocka_unit_test(a_missing_client_certificate_is_named_even_when_a_write_fails_first),
    };
    return cmocka_run_group_tests_name("tls", tests, make_certificates, remove_certificates);
}

#endif
