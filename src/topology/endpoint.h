/* SPDX-License-Identifier: MIT
 * Where servers are and how to greet them: what a URI and the client's options come to. */
#ifndef REDLOCK_TOPOLOGY_ENDPOINT_H
#define REDLOCK_TOPOLOGY_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
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

/* Seeds are those servers of a cluster that are asked for all of them. */
enum { ENDPOINTS_MOST = 16 };

enum topology_kind { TOPOLOGY_SINGLE, TOPOLOGY_CLUSTER };

/* The server, or the seeds of a cluster in the order of the URI, which may name one twice. 4 KB:
 * nothing for a stack. */
typedef struct endpoint_list {
    enum topology_kind kind;
    size_t count; /* at least 1 */
    endpoint at[ENDPOINTS_MOST];
} endpoint_list;

/* As whom they are greeted; "" for none. Never logged, and no longer kept than needed. */
typedef struct endpoint_login {
    char user[CREDENTIAL_MOST + 1];
    char password[CREDENTIAL_MOST + 1];
} endpoint_login;

/* Parses the forms of redlock_open, and
 *
 *     redis+cluster://[[user]:password@]host[:port][,host[:port]...][/[0]]    up to 16 seeds
 *     rediss+cluster://...                                                    the same over TLS
 *
 * also spelled valkey. On REDLOCK_ERR_URI, `detail` (may be NULL) says what is wrong and where,
 * without the credentials; the others are zeroed. Pure. */
redlock_status endpoint_parse(endpoint_list *out, endpoint_login *login, const char *uri,
                              redlock_detail *detail);

#endif
