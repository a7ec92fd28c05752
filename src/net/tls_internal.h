/* SPDX-License-Identifier: MIT
 * What the two halves of TLS share: a context (tls_context.c) and the sessions that it serves
 * (tls.c). No other file includes it. */
#ifndef REDLOCK_NET_TLS_INTERNAL_H
#define REDLOCK_NET_TLS_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <stdatomic.h>
#include <sys/stat.h>

#include "host/mutex.h"
#include "net/tls.h"

enum { TLS_CA_FILE, TLS_CA_DIRECTORY, TLS_CERTIFICATE, TLS_KEY, TLS_FILES };

/* The files as they were when they were read. */
typedef struct tls_files_seen {
    struct stat of[TLS_FILES]; /* all zero: there is none */
} tls_files_seen;

struct tls_context {
    memory from;
    BIO_METHOD *socket;
    char *path[TLS_FILES]; /* NULL: none is named */
    bool verifies;
    _Atomic bool has_failed; /* a handshake did, since the files were read */
    mutex mutex;             /* guards what follows */
    SSL_CTX *ssl;            /* sessions that have begun keep the one that they began with */
    tls_files_seen seen;
    int64_t read_us; /* when they were read because of a failure; 0: never */
};

/* The next session, from what was read last. NULL when out of memory. */
SSL *tls_context_session(tls_context *self);

/* How a session's records reach its socket. NULL when out of memory. */
BIO_METHOD *tls_socket_method(void);

/* Static texts. */
const char *tls_system_reason(int error);
const char *tls_reason(unsigned long code);

#endif
