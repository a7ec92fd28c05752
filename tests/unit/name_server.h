/* SPDX-License-Identifier: MIT
 * A name server on the loopback, in the test's own thread, which answers what a test has it answer:
 * over UDP, and over TCP at the same port. Included by the test of net/resolve_cares alone. */
#ifndef REDLOCK_TESTS_NAME_SERVER_H
#define REDLOCK_TESTS_NAME_SERVER_H

#include <sys/socket.h>
#include <unistd.h>

#include "unit/resolve_fixture.h"

enum { MESSAGE_SIZE = 1024, HEADER_SIZE = 12, TYPE_A = 1, TYPE_AAAA = 28, NO_SUCH_NAME = 3 };

typedef struct name_server {
    int udp, tcp;
    uint16_t port;
    int questions; /* that were heard over UDP */
} name_server;

/* A question, of which an answer is made. */
typedef struct message {
    unsigned char bytes[MESSAGE_SIZE];
    size_t length;
    int type;
    struct sockaddr_storage from;
    socklen_t from_length;
} message;

/* ---- The server ------------------------------------------------------------------------------ */

static inline bool bind_both(name_server *self)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    self->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    self->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(self->udp, (struct sockaddr *)&at, length), 0);
    assert_int_equal(getsockname(self->udp, (struct sockaddr *)&at, &length), 0);
    self->port = ntohs(at.sin_port);
    return bind(self->tcp, (struct sockaddr *)&at, length) == 0;
}

static inline void name_server_close(name_server *self)
{
    close(self->udp);
    close(self->tcp);
}

/* Another program may have the other half of a port. */
static inline name_server name_server_open(void)
{
    name_server self = {0};
    while (!bind_both(&self)) name_server_close(&self);
    assert_int_equal(listen(self.tcp, 4), 0);
    return self;
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* Without what follows the one question in it: newer versions of c-ares add something. */
static inline void keep_question(message *self)
{
    size_t end = HEADER_SIZE;
    while (self->bytes[end] != 0) end += self->bytes[end] + 1u;
    self->type = self->bytes[end + 2];
    self->length = end + 5;
    memset(self->bytes + 6, 0, 6);
}

static inline message hear_question(name_server *self)
{
    message heard = {.from_length = sizeof heard.from};
    ssize_t count = recvfrom(self->udp, heard.bytes, sizeof heard.bytes, 0,
                             (struct sockaddr *)&heard.from, &heard.from_length);
    assert_in_range(count, HEADER_SIZE + 5, MESSAGE_SIZE);
    self->questions++;
    keep_question(&heard);
    return heard;
}

static inline void make_answer(message *self, int code, bool is_truncated)
{
    self->bytes[2] = is_truncated ? 0x83 : 0x81;   /* an answer; recursion was desired ... */
    self->bytes[3] = (unsigned char)(0x80 | code); /* ... and is available */
}

/* Of the kind that was asked for. */
static inline void add_address(message *self, const char *text)
{
    unsigned char size = self->type == TYPE_A ? 4 : 16;
    const unsigned char fixed[] = {0xc0, HEADER_SIZE, 0,   (unsigned char)self->type, 0, 1, 0, 0, 0,
                                   60,   0,           size};
    memcpy(self->bytes + self->length, fixed, sizeof fixed);
    self->length += sizeof fixed;
    assert_int_equal(
        inet_pton(self->type == TYPE_A ? AF_INET : AF_INET6, text, self->bytes + self->length), 1);
    self->length += size;
    self->bytes[7]++;
}

static inline void send_answer(const name_server *self, const message *what)
{
    (void)sendto(self->udp, what->bytes, what->length, 0, (const struct sockaddr *)&what->from,
                 what->from_length);
}

#endif
