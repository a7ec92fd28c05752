/* SPDX-License-Identifier: MIT
 * A network that fails on demand: a proxy on a thread of its own, between the library and a server.
 *
 *     library <--- client side ---> proxy <--- server side ---> server's Unix socket
 *
 * Every control has taken effect when it returns. The proxy outlives restarts of its server: new
 * connections go to the new one. */
#ifndef REDLOCK_TESTS_PROXY_H
#define REDLOCK_TESTS_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "support/server.h"

typedef struct proxy proxy;

/* Listens on a Unix socket in the server's directory and on 127.0.0.1; is stopped before the
 * server. */
proxy *proxy_start(server *target);
void proxy_stop(proxy *self); /* NULL is allowed */

const char *proxy_uri(const proxy *self);     /* unix:///... */
const char *proxy_tcp_uri(const proxy *self); /* redis://127.0.0.1:port */
int proxy_tcp_port(const proxy *self);

/* Ends every connection that is there now. New ones are welcome. What is kept is not forgotten: of
 * such a connection only the client's end is cut. */
void proxy_cut(proxy *self);
/* Requests reach the server; its replies wait here until hold(false). */
void proxy_hold(proxy *self, bool is_on);
/* Nothing is read and nothing answered, though connections are accepted; all goes on after
 * blackhole(false). */
void proxy_blackhole(proxy *self, bool is_on);
/* What the clients send is kept, on the connections that are there now or, with `new_ones_too`, on
 * all; their number now is returned. Others are served as ever. It is not looked for whether the
 * client closes. */
int proxy_keep_requests(proxy *self, bool new_ones_too);
/* On how many connections something is kept. */
int proxy_kept(proxy *self);
/* What was kept is with the server, one connection after the other, also of clients that have gone
 * meanwhile. */
enum proxy_order { PROXY_OLDEST_FIRST, PROXY_YOUNGEST_FIRST };
void proxy_deliver_requests(proxy *self, enum proxy_order order);
/* New connections are closed at once. */
void proxy_refuse(proxy *self, bool is_on);
/* At most so many bytes at a time in either direction, with a pause after each; 0 bytes: full
 * speed. */
void proxy_slow(proxy *self, size_t bytes, int pause_us);

/* The next request (that contains `word`, unless NULL) reaches the server and takes effect; its
 * reply is swallowed and its connection cut. */
void proxy_drop_reply_to(proxy *self, const char *word);
void proxy_drop_replies_once(proxy *self); /* of any request */
/* Has the reply been swallowed since that was ordered? */
bool proxy_has_dropped(proxy *self);

/* Every request that comes from now on is answered with this error by the proxy itself, as proxies
 * do whose server is away; NULL: it reaches the server again. How many were. */
void proxy_apologize(proxy *self, const char *error);
int proxy_apologies(proxy *self);

/* Connections: made so far (refused ones included), and there now. */
int proxy_accepted(proxy *self);
int proxy_connected(proxy *self);

#endif
