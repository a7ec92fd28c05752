/* SPDX-License-Identifier: MIT
 * Bytes in and out of a connection's socket. Never raises SIGPIPE; EINTR and partial writes lose
 * nothing; only conn_receive_soon blocks. */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "host/clock.h"
#include "net/conn_internal.h"

enum {
    RECEIVE_SIZE = 16 * 1024,
    RECEIVE_ROUNDS = 4,        /* then the other connections of the lane have their turn */
    TRANSMIT_SIZE = 256 * 1024 /* so, too, with what is sent; poll says when to go on */
};

/* How a transfer went; MOVED: `*count` bytes. */
enum transfer { MOVED, BLOCKED, ENDED };

static void end_by_error(conn *self, int error, int64_t now_us)
{
    conn_fail_system(self, REDLOCK_ERR_CONNECT, "the connection broke", error, now_us);
}

static void end_by_peer(conn *self, int64_t now_us)
{
    conn_close(self, REDLOCK_ERR_CONNECT, "the server closed the connection", now_us);
}

static bool is_blocked(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

/* ---- TLS ------------------------------------------------------------------------------------- */

static enum transfer judge_tls(conn *self, enum tls_result result, int64_t now_us)
{
    switch (result) {
    case TLS_DONE: return MOVED;
    case TLS_WANT_READ: return BLOCKED;
    case TLS_WANT_WRITE: self->tls_wants_write = true; return BLOCKED;
    case TLS_CLOSED: end_by_peer(self, now_us); return ENDED;
    case TLS_FAILED: break;
    }
    /* TLS 1.3 tells of a refused client certificate only now, after the handshake. */
    redlock_status why = self->has_answered ? REDLOCK_ERR_CONNECT : REDLOCK_ERR_TLS;
    conn_close(self, why, tls_session_error(self->tls), now_us);
    return ENDED;
}

/* ---- Out ------------------------------------------------------------------------------------- */

static outbox *queue(conn *self)
{
    return self->state == CONN_GREETING ? &self->greeting : &self->out;
}

bool conn_has_unsent(const conn *self)
{
    if (self->state == CONN_GREETING) return !outbox_is_empty(&self->greeting);
    return self->state == CONN_OPEN && !outbox_is_empty(&self->out);
}

/* What the server said before it hung up is heard first: why it did, perhaps. */
static void end_by_send_error(conn *self, int error, int64_t now_us)
{
    unsigned generation = self->generation;
    conn_receive(self, now_us);
    if (self->generation == generation) end_by_error(self, error, now_us);
}

static enum transfer send_plain(conn *self, const char *bytes, size_t length, size_t *count,
                                int64_t now_us)
{
    ssize_t sent;
    do {
        sent = send(self->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        *count = (size_t)sent;
        return MOVED;
    }
    if (is_blocked(errno)) return BLOCKED;
    end_by_send_error(self, errno, now_us);
    return ENDED;
}

static enum transfer send_some(conn *self, const outbox *from, size_t *count, int64_t now_us)
{
    size_t length;
    const char *bytes = outbox_head(from, &length);
    if (self->tls == NULL) return send_plain(self, bytes, length, count, now_us);
    self->tls_wants_write = false;
    return judge_tls(self, tls_write(self->tls, bytes, length, count), now_us);
}

void conn_transmit(conn *self, int64_t now_us)
{
    assert(self->state == CONN_GREETING || self->state == CONN_OPEN);
    outbox *from = queue(self);
    for (size_t sent = 0, count = 0; !outbox_is_empty(from) && sent < TRANSMIT_SIZE;
         sent += count) {
        if (send_some(self, from, &count, now_us) != MOVED) return;
        if (self->config->counters != NULL) conn_count(&self->config->counters->writes);
        outbox_consume(from, self->config->memory, count);
    }
    /* It is not needed for a while, and a password was in it. */
    if (from == &self->greeting && outbox_is_empty(from)) outbox_free(from, self->config->memory);
}

bool conn_is_repeating(const conn *self)
{
    struct tcp_info told = {0};
    socklen_t length = sizeof told;
    if (self->to->server->is_unix) return false;
    return getsockopt(self->fd, IPPROTO_TCP, TCP_INFO, &told, &length) == 0 &&
           told.tcpi_retransmits > 0;
}

/* A Unix socket has delivered already, and takes no notice. */
void conn_drop_undelivered(conn *self)
{
    struct linger not_at_all = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(self->fd, SOL_SOCKET, SO_LINGER, &not_at_all, sizeof not_at_all);
}

/* ---- In -------------------------------------------------------------------------------------- */

static void refuse_reply(conn *self, int64_t now_us)
{
    if (codec_lacks_memory(self->reader))
        conn_close(self, REDLOCK_ERR_MEMORY, "out of memory", now_us);
    else
        conn_close(self, REDLOCK_ERR_PROTOCOL,
                   "the server sent what is not RESP2, or too much of it", now_us);
}

/* False when the connection ended (and perhaps began anew) meanwhile. */
static bool accept_replies(conn *self, int64_t now_us)
{
    unsigned generation = self->generation;
    for (;;) {
        const reply *from;
        enum codec_result result = codec_next(self->reader, &from);
        if (result == CODEC_MORE) return !conn_closed_as_misplaced(self, now_us);
        if (result == CODEC_REFUSED) {
            refuse_reply(self, now_us);
            return false;
        }
        conn_accept(self, from, now_us);
        if (self->generation != generation) return false;
    }
}

/* False when the connection ended. The reader is made ready for a new connection only when its
 * first bytes come: until then a callback may still look at a reply of the one before. */
static bool take_bytes(conn *self, const char *bytes, size_t count, int64_t now_us)
{
    if (!self->has_received && !codec_reader_reset(self->reader)) {
        conn_close(self, REDLOCK_ERR_MEMORY, NULL, now_us);
        return false;
    }
    self->has_received = true;
    self->received_us = now_us;
    (void)codec_feed(self->reader, bytes, count); /* a refusal shows in codec_next */
    return accept_replies(self, now_us);
}

static enum transfer receive_plain(conn *self, char *bytes, size_t *count, int flags,
                                   int64_t now_us)
{
    ssize_t received = recv(self->fd, bytes, RECEIVE_SIZE, flags);
    if (received > 0) {
        *count = (size_t)received;
        return MOVED;
    }
    if (received == 0) {
        end_by_peer(self, now_us);
        return ENDED;
    }
    /* Interrupted is the same as nothing yet: whoever pumps comes back. */
    if (is_blocked(errno) || errno == EINTR) return BLOCKED;
    end_by_error(self, errno, now_us);
    return ENDED;
}

static enum transfer receive_some(conn *self, char *bytes, size_t *count, int64_t now_us)
{
    if (self->tls == NULL) return receive_plain(self, bytes, count, MSG_DONTWAIT, now_us);
    self->tls_wants_write = false; /* what is unsent is tried again after this */
    return judge_tls(self, tls_read(self->tls, bytes, RECEIVE_SIZE, count), now_us);
}

void conn_receive(conn *self, int64_t now_us)
{
    char bytes[RECEIVE_SIZE];
    for (int round = 0; round < RECEIVE_ROUNDS; round++) {
        size_t count = 0;
        if (receive_some(self, bytes, &count, now_us) != MOVED) return;
        if (!take_bytes(self, bytes, count, now_us)) return;
        if (self->tls == NULL && count < RECEIVE_SIZE) return;
    }
}

/* ---- The short cut --------------------------------------------------------------------------- */

static void pause_briefly(void)
{
    for (int i = 0; i < 16; i++) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

/* Takes one of the places for spinning, if it is worth while and one is free. */
static bool begin_spinning(const conn *self)
{
    const conn_config *config = self->config;
    bool is_worth_it = config->spin_us > 0 && self->answer_us <= config->spin_us;
    if (!is_worth_it || config->counters == NULL) return false;
    _Atomic unsigned *spinning = &config->counters->spinning;
    if (atomic_fetch_add_explicit(spinning, 1, memory_order_relaxed) < config->spinners_most)
        return true;
    atomic_fetch_sub_explicit(spinning, 1, memory_order_relaxed);
    return false;
}

static ssize_t spin(conn *self, char *bytes)
{
    int64_t until_us = clock_now_us() + self->config->spin_us;
    ssize_t received;
    for (;;) {
        received = recv(self->fd, bytes, RECEIVE_SIZE, MSG_DONTWAIT);
        if (received >= 0 || !is_blocked(errno) || clock_now_us() >= until_us) break;
        pause_briefly();
    }
    int error = errno;
    atomic_fetch_sub_explicit(&self->config->counters->spinning, 1, memory_order_relaxed);
    errno = error;
    return received;
}

static ssize_t receive_waiting(conn *self, char *bytes, bool may_spin)
{
    ssize_t received = may_spin && begin_spinning(self) ? spin(self, bytes) : -1;
    if (received >= 0) return received;
    return recv(self->fd, bytes, RECEIVE_SIZE, 0);
}

bool conn_receive_soon(conn *self, bool may_spin)
{
    if (self->state != CONN_OPEN || self->tls != NULL || conn_has_unsent(self)) return false;
    char bytes[RECEIVE_SIZE];
    ssize_t received = receive_waiting(self, bytes, may_spin);
    int error = errno;
    if (received < 0 && (is_blocked(error) || error == EINTR)) return false;

    int64_t now_us = clock_now_us();
    if (received < 0) end_by_error(self, error, now_us);
    else if (received == 0) end_by_peer(self, now_us);
    else if (take_bytes(self, bytes, (size_t)received, now_us)) conn_flush(self, now_us);
    return true;
}
