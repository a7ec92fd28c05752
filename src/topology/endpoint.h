/* SPDX-License-Identifier: MIT
 * Where a server is and how to greet it: what a URI and the client's options come to. */
#ifndef REDLOCK_TOPOLOGY_ENDPOINT_H
#define REDLOCK_TOPOLOGY_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include <redlock/redlock.h>

/* A credential is a password, or a token of a few kilobytes. A server reads no more than 16 KB of
 * one before it knows who asks. */
enum { ENDPOINT_HOST_SIZE = 256, CREDENTIAL_MOST = 8192 };

typedef struct endpoint {
    char host[ENDPOINT_HOST_SIZE]; /* a name, or an address without brackets; or a socket's path */
    uint16_t port;
    bool is_unix;
    bool use_tls;
    int database;
} endpoint;

/* As whom it is greeted; "" for none. Never logged, and no longer kept than needed. */
typedef struct endpoint_login {
    char user[CREDENTIAL_MOST + 1];
    char password[CREDENTIAL_MOST + 1];
} endpoint_login;

/* Parses the forms of redlock_open. On REDLOCK_ERR_URI, `detail` (may be NULL) says what is
 * wrong and where, without the credentials. Pure. */
redlock_status endpoint_parse(endpoint *out, endpoint_login *login, const char *uri,
                              redlock_detail *detail);

#endif
