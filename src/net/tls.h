/* SPDX-License-Identifier: MIT
 * TLS over a socket that conn owns, by OpenSSL; without it (REDLOCK_WITH_TLS undefined)
 * tls_context_new says REDLOCK_ERR_TLS_UNAVAILABLE. Non-blocking, TLS 1.2 or newer, never raises
 * SIGPIPE, touches no process-wide state of OpenSSL. */
#ifndef REDLOCK_NET_TLS_H
#define REDLOCK_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <redlock/redlock.h>

#include "host/memory.h"

typedef struct tls_context
    tls_context; /* one per client: authorities, certificate; shared by threads */
typedef struct tls_session tls_session; /* one per connection */

/* Reads the files that the options name (NULL: no options). On failure `detail` (may be NULL) says
 * which. */
redlock_status tls_context_new(tls_context **out, const redlock_client_options *options,
                               const memory *from, redlock_detail *detail);
void tls_context_free(tls_context *context); /* NULL is allowed */

/* Before a session: reads the files again if one of them has changed; and, once in a second at the
 * most, after a handshake that failed. False when that cannot be done, and `why` says why: then
 * what was read before stays in use. It says so once for each state of the files. */
bool tls_context_refresh(tls_context *context, int64_t now_us, redlock_detail *why);

enum tls_result {
    TLS_DONE,       /* handshake complete; or `*count` bytes were moved (> 0) */
    TLS_WANT_READ,  /* again when the socket is readable */
    TLS_WANT_WRITE, /* again when it is writable */
    TLS_CLOSED, /* after the handshake, the connection ended: the peer's close, an end of file, a
                   reset. No fault of TLS; tls_session_error says which */
    TLS_FAILED  /* the handshake did not succeed, or the peer broke TLS; see tls_session_error */
};

/* `server_name` is verified against the certificate (a host name, or an IP address), and sent as
 * SNI if it is a name. `fd` is non-blocking; the context outlives the session. NULL when out of
 * memory. */
tls_session *tls_session_new(tls_context *context, int fd, const char *server_name);
void tls_session_free(tls_session *session); /* sends nothing, does not close fd; NULL is allowed */
enum tls_result tls_handshake(tls_session *session);
enum tls_result tls_read(tls_session *session, void *bytes, size_t size, size_t *count);
/* After TLS_WANT_*, the same bytes are offered again, at any address; more may follow them. */
enum tls_result tls_write(tls_session *session, const void *bytes, size_t size, size_t *count);
/* Are decrypted bytes waiting that poll(2) on the socket would not show? */
bool tls_has_pending(const tls_session *session);
/* One printable sentence about TLS_FAILED or TLS_CLOSED; "" before. Lives as long as the
 * session. */
const char *tls_session_error(const tls_session *session);

#endif
