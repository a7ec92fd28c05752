/* SPDX-License-Identifier: MIT
 * What the two halves of TLS share: a context (tls_context.c) and the sessions that it serves
 * (tls.c). No other file includes it. */
#ifndef REDLOCK_NET_TLS_INTERNAL_H
#define REDLOCK_NET_TLS_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "net/tls.h"

struct tls_context {
    memory from;
    SSL_CTX *ssl;
    BIO_METHOD *socket;
};

/* How a session's records reach its socket. NULL when out of memory. */
BIO_METHOD *tls_socket_method(void);

/* Static texts. */
const char *tls_system_reason(int error);
const char *tls_reason(unsigned long code);

#endif
