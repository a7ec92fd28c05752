/* SPDX-License-Identifier: MIT
 * What a client brings to every TLS connection: authorities, certificate, key, and the floor of the
 * protocol. The rule: what concerns the process is left as it is. Each client has a context of its
 * own, no exit handler is registered, and the thread's error queue is empty afterwards. By OpenSSL,
 * 1.1.1 or newer.
 *
 * Files are replaced while the client lives. They are looked at before they are read, so that what
 * changes meanwhile is noticed the next time; and what was read whole is put in the place of the
 * former, which ends with its last session. */
#include "net/tls.h"

#ifdef REDLOCK_WITH_TLS

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "net/tls_internal.h"
#include "wire/text.h"

enum { PATH_SIZE = 120, REREAD_US = 1000 * 1000 };

/* ---- Sentences --------------------------------------------------------------------------------*/

static redlock_status explain(redlock_detail *detail, redlock_status status, const char *format,
                              ...) __attribute__((format(printf, 3, 4)));

static redlock_status explain(redlock_detail *detail, redlock_status status, const char *format,
                              ...)
{
    if (detail == NULL) return status;

    va_list words;
    va_start(words, format);
    (void)vsnprintf(detail->text, sizeof detail->text, format, words);
    va_end(words);
    return status;
}

/* In our words: strerror is not safe with threads, and strerror_r has two incompatible forms. */
const char *tls_system_reason(int error)
{
    switch (error) {
    case ENOENT: return "no such file or directory";
    case ENOTDIR: return "not a directory";
    case EISDIR: return "is a directory";
    case EACCES: return "permission denied";
    case EMFILE:
    case ENFILE: return "too many open files";
    case ECONNRESET:
    case EPIPE: return "reset by the server";
    case ETIMEDOUT: return "timed out";
    case EHOSTUNREACH:
    case ENETUNREACH: return "no route to the server";
    default: return "refused by the operating system";
    }
}

const char *tls_reason(unsigned long code)
{
    const char *text = ERR_GET_LIB(code) == ERR_LIB_SYS ? tls_system_reason(ERR_GET_REASON(code))
                                                        : ERR_reason_error_string(code);
    return text != NULL ? text : "no reason given";
}

/* ---- Context ----------------------------------------------------------------------------------*/

static redlock_status refuse(redlock_detail *detail, const char *option, const char *path,
                             const char *why)
{
    char printable[PATH_SIZE];

    text_escape(printable, sizeof printable, path, strlen(path));
    return explain(detail, REDLOCK_ERR_TLS, "%s %s: %s", option, printable, why);
}

/* OpenSSL looks into a directory when it needs an authority, and never says that there is none. */
static redlock_status check_directory(const char *path, redlock_detail *detail)
{
    struct stat found;

    if (path == NULL) return REDLOCK_OK;
    if (stat(path, &found) != 0)
        return refuse(detail, "tls_ca_directory", path, tls_system_reason(errno));
    if (!S_ISDIR(found.st_mode))
        return refuse(detail, "tls_ca_directory", path, tls_system_reason(ENOTDIR));
    return REDLOCK_OK;
}

static redlock_status trust(SSL_CTX *ssl, const char *file, const char *directory,
                            redlock_detail *detail)
{
    if (file == NULL && directory == NULL) {
        if (SSL_CTX_set_default_verify_paths(ssl) == 1) return REDLOCK_OK;
        return explain(detail, REDLOCK_ERR_TLS, "the system's authorities: %s",
                       tls_reason(ERR_peek_error()));
    }

    redlock_status status = check_directory(directory, detail);
    if (status != REDLOCK_OK) return status;
    if (SSL_CTX_load_verify_locations(ssl, file, directory) == 1) return REDLOCK_OK;
    return refuse(detail, file != NULL ? "tls_ca_file" : "tls_ca_directory",
                  file != NULL ? file : directory, tls_reason(ERR_peek_error()));
}

/* Stands in for OpenSSL's default, which asks on the terminal. Notes that it was called; knows
 * none. */
static int no_password(char *password, int size, int for_writing, void *was_asked)
{
    (void)password, (void)size, (void)for_writing;
    if (was_asked != NULL) *(bool *)was_asked = true;
    return -1;
}

static redlock_status load_key(SSL_CTX *ssl, const char *path, redlock_detail *detail)
{
    bool was_asked = false;

    SSL_CTX_set_default_passwd_cb_userdata(ssl, &was_asked);
    int is_loaded = SSL_CTX_use_PrivateKey_file(ssl, path, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, NULL);

    if (is_loaded == 1) return REDLOCK_OK;
    return refuse(detail, "tls_key_file", path,
                  was_asked ? "the key is protected by a password" : tls_reason(ERR_peek_error()));
}

/* The key comes first: a certificate that does not fit drops it, so that the check at the end is
 * where every mismatch shows, be it of numbers or of algorithms. */
static redlock_status load_identity(SSL_CTX *ssl, const char *certificate, const char *key,
                                    redlock_detail *detail)
{
    if (certificate == NULL && key == NULL) return REDLOCK_OK;
    if (certificate == NULL || key == NULL) {
        return explain(detail, REDLOCK_ERR_ARGUMENT,
                       "tls_certificate_file and tls_key_file go together");
    }

    redlock_status status = load_key(ssl, key, detail);
    if (status != REDLOCK_OK) return status;
    if (SSL_CTX_use_certificate_chain_file(ssl, certificate) != 1) {
        return refuse(detail, "tls_certificate_file", certificate, tls_reason(ERR_peek_error()));
    }
    if (SSL_CTX_check_private_key(ssl) != 1) {
        return refuse(detail, "tls_key_file", key, "the key does not belong to the certificate");
    }
    return REDLOCK_OK;
}

/* Raises the floor, and never lowers one that the system's configuration has put higher. */
static bool require_tls_1_2(SSL_CTX *ssl)
{
    if (SSL_CTX_get_min_proto_version(ssl) >= TLS1_2_VERSION) return true;
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1;
}

static bool set_up(SSL_CTX *ssl, bool verifies)
{
    SSL_CTX_set_default_passwd_cb(ssl, no_password);
    SSL_CTX_set_verify(ssl, verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
    return require_tls_1_2(ssl);
}

static redlock_status configure_context(const tls_context *self, SSL_CTX *ssl,
                                        redlock_detail *detail)
{
    if (ssl == NULL || !set_up(ssl, self->verifies)) {
        return explain(detail, REDLOCK_ERR_TLS, "OpenSSL does not start: %s",
                       tls_reason(ERR_peek_error()));
    }

    redlock_status status =
        trust(ssl, self->path[TLS_CA_FILE], self->path[TLS_CA_DIRECTORY], detail);
    if (status != REDLOCK_OK) return status;
    return load_identity(ssl, self->path[TLS_CERTIFICATE], self->path[TLS_KEY], detail);
}

/* ---- The files --------------------------------------------------------------------------------*/

/* What is not there is as if it were empty: reading it tells why. Of a directory it shows when an
 * entry comes, goes, or is replaced. */
static void look(const tls_context *self, tls_files_seen *seen)
{
    *seen = (tls_files_seen){0};
    for (int i = 0; i < TLS_FILES; i++) {
        if (self->path[i] == NULL || stat(self->path[i], &seen->of[i]) != 0)
            seen->of[i] = (struct stat){0};
    }
}

static bool is_another_time(const struct timespec *one, const struct timespec *other)
{
    return one->tv_sec != other->tv_sec || one->tv_nsec != other->tv_nsec;
}

/* A file that was replaced is another one, whatever its time. */
static bool is_changed(const struct stat *now, const struct stat *then)
{
    return now->st_ino != then->st_ino || now->st_dev != then->st_dev ||
           now->st_size != then->st_size || is_another_time(&now->st_mtim, &then->st_mtim) ||
           is_another_time(&now->st_ctim, &then->st_ctim);
}

static bool have_changed(const tls_files_seen *now, const tls_files_seen *then)
{
    for (int i = 0; i < TLS_FILES; i++)
        if (is_changed(&now->of[i], &then->of[i])) return true;
    return false;
}

static redlock_status read_files(tls_context *self, redlock_detail *detail)
{
    ERR_clear_error();
    SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());
    redlock_status status = configure_context(self, ssl, detail);
    ERR_clear_error();
    if (status != REDLOCK_OK) {
        SSL_CTX_free(ssl);
        return status;
    }
    SSL_CTX_free(self->ssl);
    self->ssl = ssl;
    return REDLOCK_OK;
}

/* With the mutex. */
static bool refresh(tls_context *self, int64_t now_us, redlock_detail *why)
{
    tls_files_seen now;
    look(self, &now);
    bool is_new = have_changed(&now, &self->seen);
    bool is_due = self->read_us == 0 || now_us >= self->read_us + REREAD_US;
    if (!is_new && !(is_due && atomic_load(&self->has_failed))) return true;
    if (!is_new) self->read_us = now_us;
    self->seen = now;
    atomic_store(&self->has_failed, false);
    return read_files(self, why) == REDLOCK_OK || !is_new;
}

bool tls_context_refresh(tls_context *context, int64_t now_us, redlock_detail *why)
{
    mutex_lock(&context->mutex);
    bool is_read = refresh(context, now_us, why);
    mutex_unlock(&context->mutex);
    return is_read;
}

SSL *tls_context_session(tls_context *self)
{
    mutex_lock(&self->mutex);
    SSL *made = SSL_new(self->ssl);
    mutex_unlock(&self->mutex);
    return made;
}

/* ---- Beginning and end ------------------------------------------------------------------------*/

/* OpenSSL starts at its first use in a process, and whoever is first decides whether it tears
 * itself down in an exit handler. Ours is a library with threads of its own, which may be inside
 * OpenSSL when main returns, so it asks for no handler: what OpenSSL holds then ends with the
 * process. A program that wants the handler starts OpenSSL before its first client. */
static void start_openssl(void)
{
    (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_LOAD_SSL_STRINGS |
                               OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
                           NULL);
}

static bool copy_paths(tls_context *self, const redlock_client_options *options)
{
    const char *const named[TLS_FILES] = {
        [TLS_CA_FILE] = options->tls_ca_file,
        [TLS_CA_DIRECTORY] = options->tls_ca_directory,
        [TLS_CERTIFICATE] = options->tls_certificate_file,
        [TLS_KEY] = options->tls_key_file,
    };
    for (int i = 0; i < TLS_FILES; i++)
        if (!memory_copy_text(&self->from, &self->path[i], named[i])) return false;
    return true;
}

static redlock_status begin(tls_context *self, const redlock_client_options *options,
                            redlock_detail *detail)
{
    self->verifies = !options->tls_skip_verification;
    if (!copy_paths(self, options)) return REDLOCK_ERR_MEMORY;
    self->socket = tls_socket_method();
    if (self->socket == NULL) return REDLOCK_ERR_MEMORY;
    look(self, &self->seen);
    return read_files(self, detail);
}

redlock_status tls_context_new(tls_context **out, const redlock_client_options *options,
                               const memory *from, redlock_detail *detail)
{
    static const redlock_client_options defaults;

    *out = NULL;
    tls_context *self = memory_new(from, sizeof *self);
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    self->from = *from;
    mutex_init(&self->mutex);

    start_openssl();
    redlock_status status = begin(self, options != NULL ? options : &defaults, detail);
    if (status == REDLOCK_OK) {
        *out = self;
        return status;
    }
    tls_context_free(self);
    return status;
}

void tls_context_free(tls_context *context)
{
    if (context == NULL) return;

    memory from = context->from;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->socket);
    for (int i = 0; i < TLS_FILES; i++) memory_free(&from, context->path[i]);
    mutex_destroy(&context->mutex);
    memory_free(&from, context);
}

#endif
