/* SPDX-License-Identifier: MIT
 * One TLS session over a socket of conn's, by OpenSSL, 1.1.1 or newer. The rule: it reaches the
 * socket through a BIO of ours that cannot raise SIGPIPE, and the thread's error queue is emptied
 * before and after every call. */
#include "net/tls.h"

#ifdef REDLOCK_WITH_TLS

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "net/tls_internal.h"
#include "wire/text.h"

enum { SERVER_NAME_SIZE = 254, PRINTABLE_SIZE = 120, ALERT_OFFSET = 1000 };

struct tls_session {
    tls_context *context;
    SSL *ssl;
    int fd;
    int socket_error;    /* errno of the latest call on the socket, 0 if it went well */
    bool is_secured;     /* the handshake is complete */
    enum tls_result end; /* TLS_DONE until the session is over, then what every call answers */
    char name[SERVER_NAME_SIZE];
    char error[sizeof(redlock_detail)];
};

/* ---- The socket -------------------------------------------------------------------------------
 *
 * OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE after a reset; a library must
 * not ignore that signal for the whole process. The session is the BIO's data, so that it can keep
 * the errno that would otherwise be lost on the way out of OpenSSL.
 */

static bool is_retryable(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int socket_write(BIO *bio, const char *bytes, int size)
{
    tls_session *self = BIO_get_data(bio);
    ssize_t sent = send(self->fd, bytes, (size_t)size, MSG_NOSIGNAL);

    self->socket_error = sent < 0 ? errno : 0;
    BIO_clear_retry_flags(bio);
    if (is_retryable(self->socket_error)) BIO_set_retry_write(bio);
    return (int)sent;
}

static int socket_read(BIO *bio, char *bytes, int size)
{
    tls_session *self = BIO_get_data(bio);
    ssize_t got = recv(self->fd, bytes, (size_t)size, 0);

    self->socket_error = got < 0 ? errno : 0;
    BIO_clear_retry_flags(bio);
    if (is_retryable(self->socket_error)) BIO_set_retry_read(bio);
    return (int)got;
}

/* Nothing is buffered, so a flush is done at once. BIO_CTRL_EOF stays unanswered on purpose: then
 * an end of file is SSL_ERROR_SYSCALL in every version of OpenSSL. */
static long socket_control(BIO *bio, int order, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return order == BIO_CTRL_FLUSH;
}

/* Without an index of its own: BIO_get_new_index counts for the whole process, and ends at 127. */
BIO_METHOD *tls_socket_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "redlock socket");
    if (method == NULL) return NULL;

    bool is_whole = BIO_meth_set_write(method, socket_write) &&
                    BIO_meth_set_read(method, socket_read) &&
                    BIO_meth_set_ctrl(method, socket_control);
    if (is_whole) return method;

    BIO_meth_free(method);
    return NULL;
}

/* ---- Whom to expect ---------------------------------------------------------------------------*/

/* Keeps what is compared with the certificate: a name without the dot of its root, an address
 * without its zone. To OpenSSL an empty name means "any", and a leading dot "any host of this
 * domain", so both are refused here. */
static bool keep_name(tls_session *self, const char *name)
{
    size_t length = name != NULL ? strlen(name) : 0;

    if (length == 0 || name[0] == '.') return false;
    if (name[length - 1] == '.') length--;
    if (strchr(name, ':') != NULL) length = strcspn(name, "%");
    if (length == 0 || length >= SERVER_NAME_SIZE) return false;
    memcpy(self->name, name, length);
    return true;
}

static bool is_address(const char *name)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* An address is matched with the certificate's addresses only, and is never sent as SNI (RFC
 * 6066). */
static bool expect(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *expected = SSL_get0_param(ssl);

    if (is_address(name)) return X509_VERIFY_PARAM_set1_ip_asc(expected, name) == 1;
    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(expected, name, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* ---- Session ----------------------------------------------------------------------------------*/

static bool attach(tls_session *self)
{
    BIO *bio = BIO_new(self->context->socket);
    if (bio == NULL) return false;

    BIO_set_data(bio, self);
    BIO_set_init(bio, 1);
    SSL_set_bio(self->ssl, bio, bio);
    SSL_set_connect_state(self->ssl);
    return true;
}

static enum tls_result end_session(tls_session *self, enum tls_result how, const char *what,
                                   const char *why)
{
    self->end = how;
    if (how == TLS_FAILED) atomic_store(&self->context->has_failed, true);
    (void)snprintf(self->error, sizeof self->error, "%s%s", what, why);
    return how;
}

static bool open_session(tls_session *self, const char *server_name)
{
    self->ssl = tls_context_session(self->context);
    if (self->ssl == NULL || !attach(self)) return false;
    if (keep_name(self, server_name)) return expect(self->ssl, self->name);
    end_session(self, TLS_FAILED, "the server's name cannot be verified: ",
                "it is empty, too long, or begins with a dot");
    return true;
}

tls_session *tls_session_new(tls_context *context, int fd, const char *server_name)
{
    tls_session *self = memory_new(&context->from, sizeof *self);
    if (self == NULL) return NULL;
    self->context = context;
    self->fd = fd;

    ERR_clear_error();
    bool is_open = open_session(self, server_name);
    ERR_clear_error();
    if (is_open) return self;
    tls_session_free(self);
    return NULL;
}

void tls_session_free(tls_session *session)
{
    if (session == NULL) return;

    SSL_free(session->ssl);
    ERR_clear_error();
    memory_free(&session->context->from, session);
}

/* ---- What OpenSSL answered --------------------------------------------------------------------*/

/* Where certificates are verified, no session outlives a verdict against one. */
static bool is_certificate_refused(SSL *ssl)
{
    return SSL_get_verify_mode(ssl) == SSL_VERIFY_PEER && SSL_get_verify_result(ssl) != X509_V_OK;
}

static enum tls_result refused_certificate(tls_session *self)
{
    char printable[PRINTABLE_SIZE], what[PRINTABLE_SIZE + 64];

    text_escape(printable, sizeof printable, self->name, strlen(self->name));
    (void)snprintf(what, sizeof what, "the certificate is refused for %s: ", printable);
    return end_session(self, TLS_FAILED, what,
                       X509_verify_cert_error_string(SSL_get_verify_result(self->ssl)));
}

static enum tls_result broken(tls_session *self)
{
    unsigned long code = ERR_peek_error();
    int number = ERR_GET_REASON(code);

    if (is_certificate_refused(self->ssl)) return refused_certificate(self);
    if (ERR_GET_LIB(code) != ERR_LIB_SSL)
        return end_session(self, TLS_FAILED, "TLS failed: ", tls_reason(code));
    if (number >= ALERT_OFFSET)
        return end_session(self, TLS_FAILED, "the server refused: ", tls_reason(code));
    if (number == SSL_R_WRONG_VERSION_NUMBER) {
        return end_session(self, TLS_FAILED,
                           "the server does not speak TLS here: ", tls_reason(code));
    }
    return end_session(
        self, TLS_FAILED,
        self->is_secured ? "TLS failed: " : "the TLS handshake failed: ", tls_reason(code));
}

/* In TLS 1.3 the server judges our certificate after our handshake is complete: it sends its alert
 * and closes, and a write can fail on the closed socket before anybody read why. */
static bool is_alerted(tls_session *self)
{
    char byte;
    size_t count;
    int error = self->socket_error;

    if (!self->is_secured || error == 0) return false;
    int result = SSL_peek_ex(self->ssl, &byte, 1, &count);
    bool is_told = result != 1 && SSL_get_error(self->ssl, result) == SSL_ERROR_SSL;
    self->socket_error = error;
    return is_told;
}

/* The socket ended or failed. Replies say themselves where they end, so an end of file without the
 * close of TLS cuts nothing off unnoticed: after the handshake it is a lost connection. */
static enum tls_result end_cut_session(tls_session *self)
{
    if (is_alerted(self)) return broken(self);

    const char *why = self->socket_error != 0 ? tls_system_reason(self->socket_error)
                                              : "end of file";
    if (self->is_secured) return end_session(self, TLS_CLOSED, "the connection ended: ", why);
    return end_session(self, TLS_FAILED, "the connection ended during the TLS handshake: ", why);
}

static enum tls_result closed(tls_session *self)
{
    if (self->is_secured)
        return end_session(self, TLS_CLOSED, "the server closed the connection", "");
    return end_session(self, TLS_FAILED,
                       "the server closed the connection during the TLS handshake", "");
}

static enum tls_result outcome(tls_session *self, int result)
{
    switch (result == 1 ? SSL_ERROR_NONE : SSL_get_error(self->ssl, result)) {
    case SSL_ERROR_NONE: return TLS_DONE;
    case SSL_ERROR_WANT_READ: return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: return closed(self);
    case SSL_ERROR_SYSCALL: return end_cut_session(self);
    default: return broken(self);
    }
}

/* ---- Calls ------------------------------------------------------------------------------------
 *
 * SSL_get_error reads the thread's error queue, where the program's own OpenSSL errors may lie: it
 * is emptied first. It is left empty for whoever calls OpenSSL next on this thread.
 */

enum tls_result tls_handshake(tls_session *session)
{
    if (session->end != TLS_DONE) return session->end;

    ERR_clear_error();
    enum tls_result result = outcome(session, SSL_do_handshake(session->ssl));
    ERR_clear_error();
    if (result == TLS_DONE) session->is_secured = true;
    return result;
}

enum tls_result tls_read(tls_session *session, void *bytes, size_t size, size_t *count)
{
    *count = 0;
    if (session->end != TLS_DONE) return session->end;

    ERR_clear_error();
    enum tls_result result = outcome(session, SSL_read_ex(session->ssl, bytes, size, count));
    ERR_clear_error();
    return result;
}

enum tls_result tls_write(tls_session *session, const void *bytes, size_t size, size_t *count)
{
    *count = 0;
    if (session->end != TLS_DONE) return session->end;

    ERR_clear_error();
    enum tls_result result = outcome(session, SSL_write_ex(session->ssl, bytes, size, count));
    ERR_clear_error();
    return result;
}

bool tls_has_pending(const tls_session *session)
{
    return session->end == TLS_DONE && SSL_pending(session->ssl) > 0;
}

const char *tls_session_error(const tls_session *session) { return session->error; }

#endif
