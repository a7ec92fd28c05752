/* SPDX-License-Identifier: MIT
 * What the files of a connection share: conn.c (life and calls), conn_connect.c (the way from
 * CLOSED to a connected, secured socket), conn_greeting.c (AUTH, CLIENT SETNAME, SELECT),
 * conn_transfer.c (bytes in and out). Included by no other file. */
#ifndef REDLOCK_NET_CONN_INTERNAL_H
#define REDLOCK_NET_CONN_INTERNAL_H

#include <stdatomic.h>

#include "net/conn.h"

static inline void conn_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* The one function that changes the state; it traces. */
void conn_move(conn *self, enum conn_state to);

/* Each of these may end in CLOSED, and calls may then have been answered. */

/* Gives up the look-up or the socket, and tells who has to know. */
void conn_drop_descriptor(conn *self);

/* From CLOSED. */
void conn_start_connecting(conn *self, int64_t now_us);
void conn_addresses_ready(conn *self, int64_t now_us); /* RESOLVING, its descriptor is readable */
/* OPEN: the address that led here is tried first from now on. */
void conn_remember_address(const conn *self);
void conn_connect_ready(conn *self, int64_t now_us); /* CONNECTING, poll reported the socket */
void conn_connect_tick(conn *self,
                       int64_t now_us); /* CONNECTING: the next address, if this one's time is up */
void conn_secure(conn *self, int64_t now_us); /* SECURING: as far as the handshake goes */

/* Connected and secured: to GREETING, or OPEN. */
void conn_greet(conn *self, int64_t now_us);
void conn_greeting_answered(conn *self, const reply *from, int64_t now_us);
/* Closes if the reply says that this server does not serve us at all. Where it has no room for us,
 * the oldest call hears so, and knows that it was not carried out. */
bool conn_closed_by_refusal(conn *self, const reply *from, int64_t now_us);

/* Closes if a reply said that another server is to be asked; when all that has come was read. */
bool conn_closed_as_misplaced(conn *self, int64_t now_us);

/* To OPEN, and whatever was submitted leaves. */
void conn_opened(conn *self, int64_t now_us);

/* The oldest call, which there is, is answered. */
void conn_answer_first(conn *self, const reply *from, int64_t now_us);
/* One reply, to whom it belongs. */
void conn_accept(conn *self, const reply *from, int64_t now_us);

bool conn_has_unsent(const conn *self);
/* Writes the greeting or the calls, as far as the socket takes them. */
void conn_transmit(conn *self, int64_t now_us);
/* Is the kernel sending again what the peer does not acknowledge? Behind that nothing arrives in
 * one piece with it. */
bool conn_is_repeating(const conn *self);
/* What the kernel has not delivered goes with the socket, when that is closed. */
void conn_drop_undelivered(conn *self);
/* Reads what is there and accepts its replies. */
void conn_receive(conn *self, int64_t now_us);

/* Closes with the text of an errno. */
void conn_fail_system(conn *self, redlock_status why, const char *what, int error, int64_t now_us);

#endif
