/* SPDX-License-Identifier: MIT
 * A redis-server (or valkey-server) of the test's own: on a Unix socket in a fresh directory,
 * awaited by PING with a deadline, stopped and removed by server_stop. The program is
 * $REDLOCK_TEST_SERVER, or the first of redis-server and valkey-server on the PATH. Failures to
 * start fail the test with the server's own log. The server dies with the test process
 * (PR_SET_PDEATHSIG). */
#ifndef REDLOCK_TESTS_SERVER_H
#define REDLOCK_TESTS_SERVER_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "support/patience.h" /* eventually() */

typedef struct server server;

/* `arguments` are further words of the command line, separated by spaces; may be NULL. Persistence
 * is off. With server_start_tcp the server also listens on 127.0.0.1 on a free port that the kernel
 * chose; the argument "{port}" stands for it ("--port 0 --tls-port {port}" makes it a port for
 * TLS). The argument "{bus}" stands for one more free port ("--cluster-port {bus}"). Both are the
 * server's own until it is stopped, also while it does not run. */
server *server_start(const char *arguments);
server *server_start_tcp(const char *arguments);
/* The same in two steps, between which files can be put into its directory. */
server *server_prepare_tcp(const char *arguments);
void server_launch(server *self);
/* With a wall clock of its own (clock_shim.c). */
server *server_start_with_clock(const char *arguments);
void server_stop(server *self); /* NULL is allowed */

const char *server_directory(const server *self);
const char *server_uri(const server *self);     /* unix:///... */
const char *server_tcp_uri(const server *self); /* redis://127.0.0.1:port */
int server_tcp_port(const server *self);
int server_bus_port(const server *self); /* 0: it has no "{bus}" */
const char *server_socket(const server *self);
int server_pid(const server *self);
bool server_is_awake(const server *self); /* runs, and is not frozen */
const char *server_program(void);         /* what is started, a name on the PATH or a path */

/* Fails the test, and shows the server's log. */
__attribute__((format(printf, 2, 3), noreturn)) void server_give_up(server *self,
                                                                    const char *format, ...);

void server_kill(server *self);    /* SIGKILL, and reaped */
void server_restart(server *self); /* the same socket, port and arguments, empty; after server_kill
                                      or instead of it */
void server_freeze(server *self);  /* SIGSTOP, and waits until it is stopped */
void server_thaw(server *self);    /* SIGCONT */

/* Only with server_start_with_clock, and at once: moves the clock forward or back; makes it stand
 * still at an instant (0: it goes again). */
void server_shift_clock(server *self, int64_t ms);
void server_stop_clock(server *self, int64_t at_us);

/* A command on a connection of the fixture's own (reconnected when needed), formatted as hiredis
 * does. Fails the test when there is no answer. The reply is the caller's: freeReplyObject. */
redisReply *server_command(server *self, const char *format, ...);
/* The same for a command that is to succeed: fails the test when the answer is an error. */
void server_order(server *self, const char *format, ...);
/* The same for an integer answer, or the length of an array, string or status answer (nil: 0). */
long long server_number(server *self, const char *format, ...);
/* Is the text in what it answers? An error says nothing. */
bool server_says(server *self, const char *command, const char *text);
/* The number that a section of INFO tells behind "<field>", such as "connected_clients:"; -1 when
 * it tells none. */
long long server_info(server *self, const char *section, const char *field);
/* Commands processed so far (INFO commandstats, without the fixture's own kind of question), for
 * one command name such as "evalsha"; 0 if never. */
long long server_calls(server *self, const char *command);

#endif
