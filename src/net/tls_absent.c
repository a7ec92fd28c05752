/* SPDX-License-Identifier: MIT
 * What net/tls.h means in a build without OpenSSL. The rule: no context ever comes to be, so the
 * functions that need one are never reached, and fail all the same. */
#include "net/tls.h"

#ifndef REDLOCK_WITH_TLS

#include <stdio.h>

redlock_status tls_context_new(tls_context **out, const redlock_client_options *options,
                               const memory *from, redlock_detail *detail)
{
    (void)options, (void)from;
    *out = NULL;
    if (detail != NULL) {
        (void)snprintf(detail->text, sizeof detail->text,
                       "rediss:// needs a library that was built with OpenSSL");
    }
    return REDLOCK_ERR_TLS_UNAVAILABLE;
}

void tls_context_free(tls_context *context) { (void)context; }

bool tls_context_refresh(tls_context *context, int64_t now_us, redlock_detail *why)
{
    (void)context, (void)now_us, (void)why;
    return true;
}

tls_session *tls_session_new(tls_context *context, int fd, const char *server_name)
{
    (void)context, (void)fd, (void)server_name;
    return NULL;
}

void tls_session_free(tls_session *session) { (void)session; }

enum tls_result tls_handshake(tls_session *session)
{
    (void)session;
    return TLS_FAILED;
}

enum tls_result tls_read(tls_session *session, void *bytes, size_t size, size_t *count)
{
    (void)session, (void)bytes, (void)size;
    *count = 0;
    return TLS_FAILED;
}

enum tls_result tls_write(tls_session *session, const void *bytes, size_t size, size_t *count)
{
    (void)session, (void)bytes, (void)size;
    *count = 0;
    return TLS_FAILED;
}

bool tls_has_pending(const tls_session *session)
{
    (void)session;
    return false;
}

const char *tls_session_error(const tls_session *session)
{
    (void)session;
    return "this library was built without TLS";
}

#endif
