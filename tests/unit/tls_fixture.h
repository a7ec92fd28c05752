/* SPDX-License-Identifier: MIT
 * Both ends of a TLS connection in one thread: ours, and a server of OpenSSL's, over a socket pair.
 * The rule: nothing waits; each end is stepped until both are done, and running out of steps fails
 * the test. */
#ifndef REDLOCK_TESTS_UNIT_TLS_FIXTURE_H
#define REDLOCK_TESTS_UNIT_TLS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tls.h"
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

static inline void count_signal(int number)
{
    (void)number;
    pipe_signals++;
}

static inline void open_server(ends *it)
{
    char file[64];
    const char *stem = it->certificate != NULL ? it->certificate : "server";

    it->server_context = SSL_CTX_new(TLS_server_method());
    (void)snprintf(file, sizeof file, "%s.pem", stem);
    assert_int_equal(
        SSL_CTX_use_certificate_chain_file(it->server_context, authority_path(ours, file)), 1);
    (void)snprintf(file, sizeof file, "%s.key", stem);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(it->server_context, authority_path(ours, file),
                                                 SSL_FILETYPE_PEM),
                     1);
    if (it->wants_certificate) {
        assert_int_equal(
            SSL_CTX_load_verify_locations(it->server_context, authority_path(ours, "ca.pem"), NULL),
            1);
        SSL_CTX_set_verify(it->server_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           NULL);
    }
    /* Level 0, or OpenSSL 3 refuses to speak TLS 1.1 at all, even as the bad example. */
    assert_int_equal(SSL_CTX_set_cipher_list(it->server_context, "DEFAULT:@SECLEVEL=0"), 1);
    assert_int_equal(SSL_CTX_set_min_proto_version(it->server_context, it->server_version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(it->server_context, it->server_version), 1);

    it->server = SSL_new(it->server_context);
    SSL_set_accept_state(it->server);
    assert_int_equal(SSL_set_fd(it->server, it->fds[1]), 1);
}

static inline void open_sockets(ends *it)
{
    int small = 32768; /* holds a record, and not much more */

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, it->fds),
                     0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(setsockopt(it->fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    }
}

static inline void open_client(ends *it)
{
    const char *name = it->name != NULL ? it->name : "redis.test";

    it->client = tls_session_new(it->context, it->fds[0], name);
    assert_non_null(it->client);
}

static inline void open_ends(ends *it)
{
    if (it->options.tls_ca_file == NULL && it->options.tls_ca_directory == NULL) {
        it->options.tls_ca_file = authority_path(ours, "ca.pem");
    }
    open_sockets(it);
    open_server(it);
    assert_int_equal(tls_context_new(&it->context, &it->options, &heap, NULL), REDLOCK_OK);
    open_client(it);
}

static inline void hang_up(ends *it)
{
    SSL_free(it->server);
    it->server = NULL;
    if (it->fds[1] >= 0) assert_int_equal(close(it->fds[1]), 0);
    it->fds[1] = -1;
}

static inline void part(ends *it)
{
    tls_session_free(it->client);
    hang_up(it);
    SSL_CTX_free(it->server_context);
    assert_int_equal(close(it->fds[0]), 0);
}

static inline void close_ends(ends *it)
{
    part(it);
    tls_context_free(it->context);
}

/* Another connection, of the same client. */
static inline void meet_again(ends *it)
{
    part(it);
    open_sockets(it);
    open_server(it);
    open_client(it);
}

/* Steps both ends until the client failed or both are done. */
static inline enum tls_result shake(ends *it)
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

static inline void assert_connects(ends *it)
{
    open_ends(it);
    if (shake(it) != TLS_DONE) fail_msg("%s", tls_session_error(it->client));
}

static inline void assert_refused(ends *it, const char *why)
{
    open_ends(it);
    assert_int_equal(shake(it), TLS_FAILED);
    if (strstr(tls_session_error(it->client), why) == NULL)
        fail_msg("'%s'", tls_session_error(it->client));
    assert_int_equal(tls_handshake(it->client), TLS_FAILED);
    close_ends(it);
}

/* The client reads until something else than bytes comes, and answers that. */
static inline enum tls_result drain(ends *it, char *bytes, size_t size, size_t *total)
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

static inline void assert_server_gets(ends *it, const char *words)
{
    char got[64] = "";
    size_t count;

    assert_int_equal(tls_write(it->client, words, strlen(words), &count), TLS_DONE);
    assert_int_equal(count, strlen(words));
    assert_int_equal(SSL_read(it->server, got, sizeof got - 1), (int)strlen(words));
    assert_string_equal(got, words);
}

static inline void assert_client_gets(ends *it, const char *words)
{
    char got[64] = "";
    size_t count;

    assert_int_equal(SSL_write(it->server, words, (int)strlen(words)), (int)strlen(words));
    assert_int_equal(drain(it, got, sizeof got - 1, &count), TLS_WANT_READ);
    assert_string_equal(got, words);
}

/* ---- Certificates ---- */

static inline int make_certificates(void **state)
{
    struct sigaction counting = {.sa_handler = count_signal};
    (void)state;

    heap = memory_from(NULL);
    ours = authority_open();
    stranger = authority_open();
    authority_issue(ours, "server", "DNS:redis.test,DNS:127.0.0.9,IP:127.0.0.1,IP:::1,IP:fe80::7",
                    CERTIFICATE_VALID);
    authority_issue(ours, "expired", "DNS:redis.test", CERTIFICATE_EXPIRED);
    authority_issue(ours, "client", NULL, CERTIFICATE_VALID);
    authority_protect(ours, "client", "locked.key", "secret");
    authority_scribble(ours, "words", "this is no certificate\n");
    return sigaction(SIGPIPE, &counting, NULL);
}

static inline int remove_certificates(void **state)
{
    (void)state;
    authority_close(ours);
    authority_close(stranger);
    return 0;
}

#endif
