/* SPDX-License-Identifier: MIT
 * Where a server is and how to greet it: what a URI and the client's options come to. */
#ifndef REDLOCK_TOPOLOGY_ENDPOINT_H
#define REDLOCK_TOPOLOGY_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include <redlock/redlock.h>

enum { ENDPOINT_HOST_SIZE = 256, ENDPOINT_CREDENTIAL_SIZE = 512 };

typedef struct endpoint {
    char host[ENDPOINT_HOST_SIZE]; /* a name, or an address without brackets; or a socket's path */
    uint16_t port;
    bool is_unix;
    bool use_tls;
    int database;
    char user[ENDPOINT_CREDENTIAL_SIZE];     /* "" for none */
    char password[ENDPOINT_CREDENTIAL_SIZE]; /* "" for none; never logged */
} endpoint;

/* Parses the three forms of redlock_open. On REDLOCK_ERR_URI, `detail` (may be NULL) says what is
 * wrong and where, without the credentials. Pure. */
redlock_status endpoint_parse(endpoint *out, const char *uri, redlock_detail *detail);

#endif
