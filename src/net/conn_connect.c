/* SPDX-License-Identifier: MIT
 * From CLOSED to a connected and secured socket. The addresses of a name are tried in turn: that
 * which served us last goes first, and each has a short while, as in RFC 8305; if all of them were
 * silent for so long, they are tried once more, each with its share of the time that is left.
 * Non-blocking. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/conn_internal.h"

#include <assert.h>

enum { BRIEFLY_US = 250 * 1000 }; /* RFC 8305 recommends it between two attempts */

/* A dead peer of a silent connection is noticed after 15 + 3 * 5 seconds. */
enum { KEEPALIVE_IDLE_S = 15, KEEPALIVE_INTERVAL_S = 5, KEEPALIVE_COUNT = 3 };

static void try_addresses(conn *self, int error, int64_t now_us);

/* ---- Addresses ------------------------------------------------------------------------------- */

static bool unix_address(address_list *out, const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof name.sun_path) return false;
    memcpy(name.sun_path, path, length + 1);
    memcpy(&out->at[0].storage, &name, sizeof name);
    out->at[0].length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    out->count = 1;
    return true;
}

static bool address_without_lookup(conn *self)
{
    const endpoint *server = self->to->server;
    if (server->is_unix) return unix_address(&self->addresses, server->host);
    return resolve_numeric(&self->addresses, server->host, server->port);
}

void conn_remember_address(const conn *self)
{
    if (self->addresses.count < 2) return;
    atomic_store_explicit(&self->to->address,
                          address_mark(&self->addresses.at[self->address_index]),
                          memory_order_relaxed);
}

void conn_start_connecting(conn *self, int64_t now_us)
{
    self->was_silent = false;
    self->is_second_round = false;
    if (address_without_lookup(self)) {
        conn_move(self, CONN_CONNECTING);
        try_addresses(self, 0, now_us);
        return;
    }
    const endpoint *server = self->to->server;
    conn_move(self, CONN_RESOLVING);
    if (server->is_unix) {
        conn_close(self, REDLOCK_ERR_CONNECT, "the socket's path is too long", now_us);
        return;
    }
    self->lookup = lookup_begin(server->host, server->port);
    if (self->lookup != NULL) return;
    int error = errno;
    conn_fail_system(self, error == ENOMEM ? REDLOCK_ERR_MEMORY : REDLOCK_ERR_SYSTEM, "no look-up",
                     error, now_us);
}

void conn_addresses_ready(conn *self, int64_t now_us)
{
    assert(self->state == CONN_RESOLVING);
    const char *error = NULL;
    if (!lookup_poll(self->lookup, &self->addresses, &error)) return;
    conn_drop_descriptor(self);
    if (self->addresses.count == 0) {
        conn_close(self, REDLOCK_ERR_RESOLVE, error != NULL ? error : "the name has no address",
                   now_us);
        return;
    }
    address_list_prefer(&self->addresses,
                        atomic_load_explicit(&self->to->address, memory_order_relaxed));
    conn_move(self, CONN_CONNECTING);
    try_addresses(self, 0, now_us);
}

/* ---- Sockets --------------------------------------------------------------------------------- */

static void set_option(int fd, int level, int name, int value)
{
    /* None of them is worth a failed connection. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void tune_tcp(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
}

/* Zero when the connection is under way or made; else why not. A Unix socket whose queue is full
 * says EAGAIN, and is not under way. */
static int begin_connect(conn *self, const address *to)
{
    self->fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (self->fd < 0) return errno;
    if (to->storage.ss_family != AF_UNIX) tune_tcp(self->fd);
    if (connect(self->fd, (const struct sockaddr *)&to->storage, to->length) == 0) return 0;
    return errno == EINPROGRESS || errno == EINTR ? 0 : errno;
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* How long the address in hand is waited for. */
static int64_t share_us(const conn *self, int64_t now_us)
{
    int remaining = self->addresses.count - self->address_index;
    int64_t even_us = (self->state_deadline_us - now_us) / remaining;
    bool is_brief = self->addresses.count > 1 && !self->is_second_round && even_us > BRIEFLY_US;
    return is_brief ? BRIEFLY_US : even_us;
}

/* True when there is an address to be tried. */
static bool has_address(conn *self, int64_t now_us)
{
    if (self->address_index < self->addresses.count) return true;
    if (!self->was_silent || self->is_second_round || now_us >= self->state_deadline_us)
        return false;
    self->is_second_round = true;
    self->address_index = 0;
    return true;
}

/* From the address in hand on; `error` is why the one before failed. Only a Unix socket is
 * connected at once. */
static void try_addresses(conn *self, int error, int64_t now_us)
{
    while (has_address(self, now_us)) {
        self->address_deadline_us = now_us + share_us(self, now_us);
        error = begin_connect(self, &self->addresses.at[self->address_index]);
        if (error == 0) {
            if (self->to->server->is_unix) conn_connect_ready(self, now_us);
            return;
        }
        conn_drop_descriptor(self);
        self->address_index++;
    }
    self->is_crowded = is_shortage(error);
    redlock_status why = self->is_crowded ? REDLOCK_ERR_SYSTEM : REDLOCK_ERR_CONNECT;
    conn_fail_system(self, why, "no connection", error, now_us);
}

static void try_next_address(conn *self, int error, int64_t now_us)
{
    conn_drop_descriptor(self);
    self->address_index++;
    try_addresses(self, error, now_us);
}

void conn_connect_tick(conn *self, int64_t now_us)
{
    assert(self->state == CONN_CONNECTING);
    if (now_us < self->address_deadline_us) return;
    self->was_silent = true;
    try_next_address(self, ETIMEDOUT, now_us);
}

/* A port of this machine that nobody listens on may be the one that the kernel chose for our own
 * end: the socket is then connected to itself, and would answer us with our own words. */
static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage ours = {0}, theirs = {0};
    socklen_t our_length = sizeof ours, their_length = sizeof theirs;
    if (getsockname(fd, (struct sockaddr *)&ours, &our_length) != 0) return false;
    if (getpeername(fd, (struct sockaddr *)&theirs, &their_length) != 0) return false;
    return our_length == their_length && memcmp(&ours, &theirs, our_length) == 0;
}

static int connect_error(const conn *self)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
    if (error != 0 || self->to->server->is_unix) return error;
    return is_connected_to_itself(self->fd) ? ECONNREFUSED : 0;
}

/* From here on a plain socket may block, in conn_receive_soon alone and not for long; every other
 * transfer says MSG_DONTWAIT. */
static int let_block_briefly(int fd)
{
    struct timeval limit = {.tv_usec = CONN_RECEIVE_SOON_MS * 1000};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) return errno;
    return fcntl(fd, F_SETFL, 0) == 0 ? 0 : errno;
}

void conn_connect_ready(conn *self, int64_t now_us)
{
    assert(self->state == CONN_CONNECTING);
    int error = connect_error(self);
    if (error != 0) {
        try_next_address(self, error, now_us);
        return;
    }
    if (self->config->tls != NULL) {
        conn_move(self, CONN_SECURING);
        conn_secure(self, now_us);
        return;
    }
    error = let_block_briefly(self->fd);
    if (error != 0)
        conn_fail_system(self, REDLOCK_ERR_SYSTEM, "a socket option was refused", error, now_us);
    else conn_greet(self, now_us);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static tls_session *begin_session(const conn *self, int64_t now_us)
{
    const conn_config *config = self->config;
    redlock_detail why = {""};
    if (!tls_context_refresh(config->tls, now_us, &why)) {
        log_line(config->log, REDLOCK_LOG_WARNING,
                 "the TLS files have changed and cannot be used, the former ones are: %s",
                 why.text);
    }
    const char *name = config->tls_server_name;
    return tls_session_new(config->tls, self->fd, name != NULL ? name : self->to->server->host);
}

void conn_secure(conn *self, int64_t now_us)
{
    if (self->tls == NULL) self->tls = begin_session(self, now_us);
    if (self->tls == NULL) {
        conn_close(self, REDLOCK_ERR_MEMORY, NULL, now_us);
        return;
    }
    self->tls_wants_write = false;
    switch (tls_handshake(self->tls)) {
    case TLS_DONE: conn_greet(self, now_us); return;
    case TLS_WANT_READ: return;
    case TLS_WANT_WRITE: self->tls_wants_write = true; return;
    case TLS_CLOSED:
        conn_close(self, REDLOCK_ERR_TLS, "the server closed during the handshake", now_us);
        return;
    case TLS_FAILED:
        conn_close(self, REDLOCK_ERR_TLS, tls_session_error(self->tls), now_us);
        return;
    }
}
