/* SPDX-License-Identifier: MIT
 * Both ends of a TLS connection in one thread: ours, and a server of OpenSSL's, over a socket pair. The rule: nothing
 * waits; each end is stepped until both are done, and running out of steps fails the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lane/tls.h"

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

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/certificates.h"

enum { STEPS = 2000, LARGE = 300000, RECORD = 1 << 14 };

static authority *ours;
static authority *stranger;
static memory heap;
static volatile sig_atomic_t pipe_signals;

/* Both ends. What a test wants different is set before they are opened. */
typedef struct ends {
    const char *certificate; /* stem of the server's; default "server" */
    const char *name;        /* whom the client expects; default "redis.test" */
    int server_version;      /* the only one that it speaks; 0: any */
    bool wants_certificate;
    redlock_client_options options;

    tls_context *context;
    tls_session *client;
    SSL_CTX *server_context;
    SSL *server;
    int fds[2]; /* client, server */
} ends;

static void count_signal(int number)
{
    (void)number;
    pipe_signals++;
}

static void open_server(ends *it)
{
    char file[64];
    const char *stem = it->certificate != NULL ? it->certificate : "server";

    it->server_context = SSL_CTX_new(TLS_server_method());
    (void)snprintf(file, sizeof file, "%s.pem", stem);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(it->server_context, authority_path(ours, file)), 1);
    (void)snprintf(file, sizeof file, "%s.key", stem);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(it->server_context, authority_path(ours, file), SSL_FILETYPE_PEM), 1);
    if (it->wants_certificate) {
        assert_int_equal(SSL_CTX_load_verify_locations(it->server_context, authority_path(ours, "ca.pem"), NULL), 1);
        SSL_CTX_set_verify(it->server_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    /* Level 0, or OpenSSL 3 refuses to speak TLS 1.1 at all, even as the bad example. */
    assert_int_equal(SSL_CTX_set_cipher_list(it->server_context, "DEFAULT:@SECLEVEL=0"), 1);
    assert_int_equal(SSL_CTX_set_min_proto_version(it->server_context, it->server_version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(it->server_context, it->server_version), 1);

    it->server = SSL_new(it->server_context);
    SSL_set_accept_state(it->server);
    assert_int_equal(SSL_set_fd(it->server, it->fds[1]), 1);
}

static void open_ends(ends *it)
{
    int small = 32768; /* holds a record, and not much more */

    if (it->options.tls_ca_file == NULL && it->options.tls_ca_directory == NULL) {
        it->options.tls_ca_file = authority_path(ours, "ca.pem");
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, it->fds), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(setsockopt(it->fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    }
    open_server(it);
    assert_int_equal(tls_context_new(&it->context, &it->options, &heap, NULL), REDLOCK_OK);
    it->client = tls_session_new(it->context, it->fds[0], it->name != NULL ? it->name : "redis.test");
    assert_non_null(it->client);
}

static void hang_up(ends *it)
{
    SSL_free(it->server);
    it->server = NULL;
    if (it->fds[1] >= 0) assert_int_equal(close(it->fds[1]), 0);
    it->fds[1] = -1;
}

static void close_ends(ends *it)
{
    tls_session_free(it->client);
    tls_context_free(it->context);
    hang_up(it);
    SSL_CTX_free(it->server_context);
    assert_int_equal(close(it->fds[0]), 0);
}

/* Steps both ends until the client failed or both are done. */
static enum tls_result shake(ends *it)
{
    for (int i = 0; i < STEPS; i++) {
        enum tls_result result = tls_handshake(it->client);
        assert_int_equal(ERR_peek_error(), 0);
        int accepted = SSL_do_handshake(it->server);
        ERR_clear_error();
        if (result == TLS_FAILED || (result == TLS_DONE && accepted == 1)) return result;
        assert_int_not_equal(result, TLS_CLOSED);
    }
    return TLS_WANT_READ;
}

static void assert_connects(ends *it)
{
    open_ends(it);
    if (shake(it) != TLS_DONE) fail_msg("%s", tls_session_error(it->client));
}

static void assert_refused(ends *it, const char *why)
{
    open_ends(it);
    assert_int_equal(shake(it), TLS_FAILED);
    if (strstr(tls_session_error(it->client), why) == NULL) fail_msg("'%s'", tls_session_error(it->client));
    assert_int_equal(tls_handshake(it->client), TLS_FAILED);
    close_ends(it);
}

/* The client reads until something else than bytes comes, and answers that. */
static enum tls_result drain(ends *it, char *bytes, size_t size, size_t *total)
{
    enum tls_result result = TLS_DONE;

    *total = 0;
    while (result == TLS_DONE && *total < size) {
        size_t count;
        result = tls_read(it->client, bytes + *total, size - *total, &count);
        *total += count;
    }
    return result;
}

static void assert_server_gets(ends *it, const char *words)
{
    char got[64] = "";
    size_t count;

    assert_int_equal(tls_write(it->client, words, strlen(words), &count), TLS_DONE);
    assert_int_equal(count, strlen(words));
    assert_int_equal(SSL_read(it->server, got, sizeof got - 1), (int)strlen(words));
    assert_string_equal(got, words);
}

static void assert_client_gets(ends *it, const char *words)
{
    char got[64] = "";
    size_t count;

    assert_int_equal(SSL_write(it->server, words, (int)strlen(words)), (int)strlen(words));
    assert_int_equal(drain(it, got, sizeof got - 1, &count), TLS_WANT_READ);
    assert_string_equal(got, words);
}

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
               .options = {.tls_skip_verification = true, .tls_ca_file = authority_path(stranger, "ca.pem")}};
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
    assert_string_equal(tls_session_error(it.client), "the connection ended during the TLS handshake: end of file");
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

/* ---- Bytes ------------------------------------------------------------------------------------*/

static char *pattern(void)
{
    char *bytes = malloc(LARGE);

    assert_non_null(bytes);
    for (size_t i = 0; i < LARGE; i++) bytes[i] = (char)(i * 31 + i / 251);
    return bytes;
}

/* Offers a copy that is gone afterwards, as that of a queue which moved its bytes. */
static enum tls_result write_copy(tls_session *client, char *copy, const char *bytes, size_t size, size_t *count)
{
    memcpy(copy, bytes, size);
    enum tls_result result = tls_write(client, copy, size, count);
    memset(copy, 0, size);
    return result;
}

static void much_is_written_in_pieces_from_a_buffer_that_moves(void **state)
{
    ends it = {.name = "redis.test"};
    char *sent = pattern(), *got = calloc(1, LARGE), *copies[2] = {pattern(), pattern()};
    size_t out = 0, in = 0, waits = 0;
    (void)state;

    assert_connects(&it);
    for (int i = 0; i < STEPS && in < LARGE; i++) {
        size_t count = 0;
        if (out < LARGE && write_copy(it.client, copies[i % 2], sent + out, LARGE - out, &count) == TLS_WANT_WRITE)
            waits++;
        if (out == 0) assert_int_equal(count, RECORD); /* a piece is done when it is sent */
        out += count;
        if (i % 8 != 0) continue; /* a slow reader, so that the socket fills */
        int read = SSL_read(it.server, got + in, (int)(LARGE - in));
        if (read > 0) in += (size_t)read;
    }
    assert_int_equal(in, LARGE);
    assert_memory_equal(got, sent, LARGE);
    assert_true(waits > 0);
    free(copies[0]);
    free(copies[1]);
    free(sent);
    free(got);
    close_ends(&it);
}

static void much_is_read_in_pieces(void **state)
{
    ends it = {.name = "redis.test"};
    char *sent = pattern(), *got = calloc(1, LARGE);
    size_t out = 0, in = 0;
    (void)state;

    assert_connects(&it);
    SSL_set_mode(it.server, SSL_MODE_ENABLE_PARTIAL_WRITE);
    for (int i = 0; i < STEPS && in < LARGE; i++) {
        size_t count;
        int wrote = out < LARGE ? SSL_write(it.server, sent + out, (int)(LARGE - out)) : 0;
        if (wrote > 0) out += (size_t)wrote;
        assert_true(drain(&it, got + in, LARGE - in, &count) <= TLS_WANT_READ);
        in += count;
    }
    assert_int_equal(in, LARGE);
    assert_memory_equal(got, sent, LARGE);
    free(sent);
    free(got);
    close_ends(&it);
}

static void decrypted_bytes_in_hand_are_pending(void **state)
{
    ends it = {.name = "redis.test"};
    char got[16];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(SSL_write(it.server, "0123456789", 10), 10);
    assert_false(tls_has_pending(it.client));
    assert_int_equal(tls_read(it.client, got, 4, &count), TLS_DONE);
    assert_int_equal(count, 4);
    assert_true(tls_has_pending(it.client));
    assert_int_equal(tls_read(it.client, got, sizeof got, &count), TLS_DONE);
    assert_int_equal(count, 6);
    assert_false(tls_has_pending(it.client));
    close_ends(&it);
}

static void tickets_and_key_updates_are_no_bytes(void **state)
{
    ends it = {.server_version = TLS1_3_VERSION};
    char got[16];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(tls_read(it.client, got, sizeof got, &count), TLS_WANT_READ);
    assert_int_equal(SSL_key_update(it.server, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_client_gets(&it, "+PONG");
    assert_server_gets(&it, "PING");
    close_ends(&it);
}

static void a_renegotiation_is_refused(void **state)
{
    ends it = {.server_version = TLS1_2_VERSION};
    char got[16];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(SSL_renegotiate(it.server), 1);
    assert_int_equal(SSL_do_handshake(it.server), 1); /* asks for it */
    assert_int_equal(tls_read(it.client, got, sizeof got, &count), TLS_WANT_READ);
    ERR_clear_error();
    assert_int_equal(SSL_read(it.server, got, sizeof got), -1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    ERR_clear_error();
    close_ends(&it);
}

/* ---- Ends -------------------------------------------------------------------------------------*/

static void a_reset_while_writing_raises_no_signal(void **state)
{
    ends it = {.name = "redis.test"};
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(tls_write(it.client, "PING", 4, &count), TLS_DONE);
    hang_up(&it);
    assert_int_equal(tls_write(it.client, "PING", 4, &count), TLS_CLOSED);
    assert_int_equal(count, 0);
    assert_string_equal(tls_session_error(it.client), "the connection ended: reset by the server");
    assert_int_equal(tls_write(it.client, "PING", 4, &count), TLS_CLOSED);
    assert_int_equal(pipe_signals, 0);
    close_ends(&it);
}

static void an_end_of_file_is_a_closed_connection(void **state)
{
    ends it = {.name = "redis.test"};
    char got[16];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(SSL_write(it.server, "+PONG", 5), 5);
    hang_up(&it);
    assert_int_equal(drain(&it, got, sizeof got, &count), TLS_CLOSED);
    assert_int_equal(count, 5);
    assert_string_equal(tls_session_error(it.client), "the connection ended: end of file");
    close_ends(&it);
}

static void a_proper_close_is_a_closed_connection(void **state)
{
    ends it = {.name = "redis.test"};
    char got[16];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(SSL_shutdown(it.server), 0);
    assert_int_equal(drain(&it, got, sizeof got, &count), TLS_CLOSED);
    assert_string_equal(tls_session_error(it.client), "the server closed the connection");
    close_ends(&it);
}

static void a_forged_record_is_a_failure(void **state)
{
    const char record[] = "\x17\x03\x03\x00\x20 not what the key would have made";
    ends it = {.name = "redis.test"};
    char got[64];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(send(it.fds[1], record, 5 + 32, 0), 5 + 32);
    assert_int_equal(drain(&it, got, sizeof got, &count), TLS_FAILED);
    assert_int_equal(count, 0);
    assert_non_null(strstr(tls_session_error(it.client), "TLS failed: "));
    close_ends(&it);
}

static void freeing_a_session_sends_nothing(void **state)
{
    ends it = {.name = "redis.test"};
    char got[16];
    (void)state;

    assert_connects(&it);
    tls_session_free(it.client);
    it.client = NULL;
    assert_int_equal(recv(it.fds[1], got, sizeof got, 0), -1);
    assert_int_equal(errno, EAGAIN);
    close_ends(&it);
}

/* ---- The process ------------------------------------------------------------------------------*/

static void leave_an_error_in_the_queue(void)
{
    assert_null(BIO_new_file("/nonexistent/file", "r"));
    assert_int_not_equal(ERR_peek_error(), 0);
}

static void errors_of_the_program_are_not_taken_for_ours(void **state)
{
    ends it = {.name = "redis.test"};
    char got[16];
    size_t count;
    (void)state;

    open_ends(&it);
    leave_an_error_in_the_queue();
    assert_int_equal(tls_handshake(it.client), TLS_WANT_READ);
    assert_int_equal(shake(&it), TLS_DONE);
    for (int i = 0; i < 2; i++) { /* the first also takes the tickets, another way through OpenSSL */
        leave_an_error_in_the_queue();
        assert_int_equal(tls_read(it.client, got, sizeof got, &count), TLS_WANT_READ);
        assert_int_equal(ERR_peek_error(), 0);
    }
    leave_an_error_in_the_queue();
    assert_int_equal(tls_write(it.client, "PING", 4, &count), TLS_DONE);
    assert_int_equal(ERR_peek_error(), 0);
    close_ends(&it);
}

static void *allocate_nothing(void *arg, size_t size)
{
    (void)arg, (void)size;
    return NULL;
}

static void release_nothing(void *arg, void *block) { (void)arg, (void)block; }

static void without_memory_there_is_no_context(void **state)
{
    const memory none = {.allocate = allocate_nothing, .release = release_nothing};
    tls_context *context = (tls_context *)state;

    assert_int_equal(tls_context_new(&context, NULL, &none, NULL), REDLOCK_ERR_MEMORY);
    assert_null(context);
    tls_context_free(NULL);
    tls_session_free(NULL);
}

/* ---- Files ------------------------------------------------------------------------------------*/

static void assert_no_context(const redlock_client_options *options, redlock_status expected, const char *why)
{
    tls_context *context = (tls_context *)&heap;
    redlock_detail detail = {""};

    assert_int_equal(tls_context_new(&context, options, &heap, NULL), expected);
    assert_int_equal(tls_context_new(&context, options, &heap, &detail), expected);
    assert_null(context);
    if (strstr(detail.text, why) == NULL) fail_msg("'%s'", detail.text);
    assert_int_equal(ERR_peek_error(), 0);
}

static void a_missing_file_is_named(void **state)
{
    const char *good = authority_path(ours, "client.pem"), *key = authority_path(ours, "client.key");
    const redlock_client_options file = {.tls_ca_file = "/nonexistent\n/ca"};
    const redlock_client_options directory = {.tls_ca_directory = "/nonexistent"};
    const redlock_client_options no_directory = {.tls_ca_directory = good};
    const redlock_client_options certificate = {.tls_certificate_file = "/nonexistent", .tls_key_file = key};
    const redlock_client_options no_key = {.tls_certificate_file = good, .tls_key_file = "/nonexistent"};
    (void)state;

    assert_no_context(&file, REDLOCK_ERR_TLS, "tls_ca_file /nonexistent\\x0a/ca: no such file");
    assert_no_context(&directory, REDLOCK_ERR_TLS, "tls_ca_directory /nonexistent: no such file");
    assert_no_context(&no_directory, REDLOCK_ERR_TLS, "client.pem: not a directory");
    assert_no_context(&certificate, REDLOCK_ERR_TLS, "tls_certificate_file /nonexistent: no such file");
    assert_no_context(&no_key, REDLOCK_ERR_TLS, "tls_key_file /nonexistent: no such file");
}

static void a_file_of_something_else_is_named(void **state)
{
    const char *words = authority_path(ours, "words"), *key = authority_path(ours, "client.key");
    const redlock_client_options file = {.tls_ca_file = words};
    const redlock_client_options certificate = {.tls_certificate_file = words, .tls_key_file = key};
    const redlock_client_options no_key = {.tls_certificate_file = authority_path(ours, "client.pem"),
                                           .tls_key_file = words};
    (void)state;

    assert_no_context(&file, REDLOCK_ERR_TLS, "tls_ca_file /");
    assert_no_context(&certificate, REDLOCK_ERR_TLS, "tls_certificate_file /");
    assert_no_context(&no_key, REDLOCK_ERR_TLS, "tls_key_file /");
}

static void a_key_of_another_certificate_is_named(void **state)
{
    const redlock_client_options options = {.tls_certificate_file = authority_path(ours, "client.pem"),
                                            .tls_key_file = authority_path(ours, "server.key")};
    (void)state;

    assert_no_context(&options, REDLOCK_ERR_TLS, "server.key: the key does not belong to the certificate");
}

static void certificate_and_key_go_together(void **state)
{
    const redlock_client_options no_key = {.tls_certificate_file = authority_path(ours, "client.pem")};
    const redlock_client_options no_certificate = {.tls_key_file = authority_path(ours, "client.key")};
    (void)state;

    assert_no_context(&no_key, REDLOCK_ERR_ARGUMENT, "go together");
    assert_no_context(&no_certificate, REDLOCK_ERR_ARGUMENT, "go together");
}

static void a_protected_key_is_refused_and_nobody_is_asked(void **state)
{
    const redlock_client_options options = {.tls_certificate_file = authority_path(ours, "client.pem"),
                                            .tls_key_file = authority_path(ours, "locked.key")};
    (void)state;

    assert_no_context(&options, REDLOCK_ERR_TLS, "locked.key: the key is protected by a password");
}

/* ---- */

static int make_certificates(void **state)
{
    struct sigaction counting = {.sa_handler = count_signal};
    (void)state;

    heap = memory_from(NULL);
    ours = authority_open();
    stranger = authority_open();
    authority_issue(ours, "server", "DNS:redis.test,DNS:127.0.0.9,IP:127.0.0.1,IP:::1,IP:fe80::7", CERTIFICATE_VALID);
    authority_issue(ours, "expired", "DNS:redis.test", CERTIFICATE_EXPIRED);
    authority_issue(ours, "client", NULL, CERTIFICATE_VALID);
    authority_protect(ours, "client", "locked.key", "secret");
    authority_scribble(ours, "words", "this is no certificate\n");
    return sigaction(SIGPIPE, &counting, NULL);
}

static int remove_certificates(void **state)
{
    (void)state;
    authority_close(ours);
    authority_close(stranger);
    return 0;
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
        cmocka_unit_test(much_is_written_in_pieces_from_a_buffer_that_moves),
        cmocka_unit_test(much_is_read_in_pieces),
        cmocka_unit_test(decrypted_bytes_in_hand_are_pending),
        cmocka_unit_test(tickets_and_key_updates_are_no_bytes),
        cmocka_unit_test(a_renegotiation_is_refused),
        cmocka_unit_test(a_reset_while_writing_raises_no_signal),
        cmocka_unit_test(an_end_of_file_is_a_closed_connection),
        cmocka_unit_test(a_proper_close_is_a_closed_connection),
        cmocka_unit_test(a_forged_record_is_a_failure),
        cmocka_unit_test(freeing_a_session_sends_nothing),
        cmocka_unit_test(errors_of_the_program_are_not_taken_for_ours),
        cmocka_unit_test(without_memory_there_is_no_context),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(a_file_of_something_else_is_named),
        cmocka_unit_test(a_key_of_another_certificate_is_named),
        cmocka_unit_test(certificate_and_key_go_together),
        cmocka_unit_test(a_protected_key_is_refused_and_nobody_is_asked),
    };
    return cmocka_run_group_tests_name("tls", tests, make_certificates, remove_certificates);
}

#endif
