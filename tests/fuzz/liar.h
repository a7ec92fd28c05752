/* SPDX-License-Identifier: MIT
 * A server that answers anything, in the place of the kernel's sockets and clock: the functions
 * below stand before those of libc and of host/ in the program that includes this. What the server
 * does is read from the input; where that has ended, it refuses and hangs up. Time passes only when
 * somebody waits. */
#ifndef REDLOCK_TESTS_FUZZ_LIAR_H
#define REDLOCK_TESTS_FUZZ_LIAR_H

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "reply_tree.h"

#include "host/clock.h"
#include "host/entropy.h"

enum { PEERS = 16, HEARD_MAX = 1 << 16, SAID_MAX = 1 << 16, WORDS_MAX = 12, WORD_MAX = 300 };

/* The server's end of one connection. */
typedef struct peer {
    int fd; /* the client's, an eventfd that only has to be a descriptor; 0: none */
    bool has_hung_up;
    bool is_subscribed;
    size_t heard, said, received;
    char channel[WORD_MAX];
    char hears[HEARD_MAX];
    char says[SAID_MAX];
} peer;

/* A command of the client's, as far as it matters. */
typedef struct words {
    size_t count;
    char at[WORDS_MAX][WORD_MAX];
} words;

static struct {
    source from;
    int64_t now_us;
    peer peers[PEERS];
    char holder[WORD_MAX]; /* that asked last */
    char key[WORD_MAX];    /* ... and for what */
} liar;

static void liar_begin(source from)
{
    liar.from = from;
    liar.now_us = INT64_C(1000000000);
    for (size_t i = 0; i < PEERS; i++) liar.peers[i].fd = 0;
    liar.holder[0] = liar.key[0] = '\0';
}

/* ---- What it says ---- */

static void say_bytes(peer *to, const char *bytes, size_t length)
{
    if (length > SAID_MAX - to->said) to->has_hung_up = true;
    if (to->has_hung_up) return;
    memcpy(to->says + to->said, bytes, length);
    to->said += length;
}

static void say(peer *to, const char *text) { say_bytes(to, text, strlen(text)); }

static void say_number(peer *to, char kind, int64_t number)
{
    char line[32];

    snprintf(line, sizeof line, "%c%" PRId64 "\r\n", kind, number);
    say(to, line);
}

static void say_string(peer *to, const char *bytes, size_t length)
{
    say_number(to, '$', (int64_t)length);
    say_bytes(to, bytes, length);
    say(to, "\r\n");
}

static void say_line(peer *to, const char *kind, const reply *text)
{
    say(to, kind);
    for (size_t i = 0; i < text->length; i++)
        if (text->text[i] != '\r' && text->text[i] != '\n') say_bytes(to, text->text + i, 1);
    say(to, "\r\n");
}

static void say_tree(peer *to, const reply *tree)
{
    switch (tree->kind) {
    case REPLY_NIL: say(to, "$-1\r\n"); break;
    case REPLY_INTEGER: say_number(to, ':', tree->integer); break;
    case REPLY_STRING: say_string(to, tree->text, tree->length); break;
    case REPLY_STATUS: say_line(to, "+", tree); break;
    case REPLY_ERROR: say_line(to, "-", tree); break;
    case REPLY_ARRAY:
        say_number(to, '*', (int64_t)tree->count);
        for (size_t i = 0; i < tree->count; i++) say_tree(to, &tree->items[i]);
    }
}

static void say_any_tree(peer *to)
{
    reply tree;

    tree_build(&tree, &liar.from, 0);
    say_tree(to, &tree);
    tree_free(&tree);
}

static void say_noise(peer *to)
{
    size_t length;
    char *noise = take_text(&liar.from, &length);

    say_bytes(to, noise, length);
    free(noise);
}

static void say_error(peer *to)
{
    static const char *const errors[] = {"-NOSCRIPT no\r\n", "-LOADING\r\n",    "-BUSY\r\n",
                                         "-OOM x\r\n",       "-NOPERM x\r\n",   "-ERR x\r\n",
                                         "-READONLY\r\n",    "-WRONGTYPE x\r\n"};

    say(to, errors[take_byte(&liar.from) % 8]);
}

/* The server's clock shows about what a server's clock shows, or anything. */
static int64_t any_server_us(void)
{
    return take_byte(&liar.from) & 1 ? INT64_C(1800000000000000) + liar.now_us
                                     : take_number(&liar.from);
}

/* Half of the time of the shape that tells of a hold: fence, kind and lease; the fence is one of a
 * few near the clock. */
static void say_standing(peer *to, uint8_t choice)
{
    bool is_shaped = (choice & 128) != 0;

    say_number(to, ':',
               is_shaped ? INT64_C(1800000000000000) + choice % 4 : take_number(&liar.from));
    say_number(to, ':', is_shaped ? 1 + choice / 4 % 2 : take_number(&liar.from));
    say_number(to, ':', is_shaped && (choice & 8) ? 30000 : take_number(&liar.from));
}

/* The shape of every script but inspect: {code, nonce, now us, number, number, number, number}. */
static void say_code(peer *to, const char *nonce)
{
    uint8_t count = 3 + take_byte(&liar.from) % 4;

    say_number(to, '*', 4 + (count > 3 ? 3 : 2));
    say_number(to, ':', take_byte(&liar.from) % 12 - 2);
    say_number(to, ':', strtoll(nonce, NULL, 10));
    say_number(to, ':', any_server_us());
    say_standing(to, take_byte(&liar.from));
    if (count > 3) say_number(to, ':', any_server_us());
}

static void say_member(peer *to)
{
    static const char *const members[] = {"f1",
                                          "- id.1 h:1:n",
                                          "@txn%20 id.2 h:1:n",
                                          "2000 c x - id.3 h:1:n",
                                          "2000 c s/7 @o id.4 h:1:\t\xff",
                                          "?id.1",
                                          ""};
    uint8_t choice = take_byte(&liar.from);
    size_t length;

    if (choice < 200) {
        say_string(to, members[choice % 7], strlen(members[choice % 7]));
    } else {
        char *member = take_text(&liar.from, &length);
        say_string(to, member, length);
        free(member);
    }
    say_number(to, ':', take_number(&liar.from));
}

/* That of inspect: {1, nonce, now us, fence, holders, waiters, [member, score, ...]}. */
static void say_list(peer *to, const char *nonce)
{
    uint8_t count = take_byte(&liar.from) % 16;

    say_number(to, '*', 7);
    say_number(to, ':', 1);
    say_number(to, ':', strtoll(nonce, NULL, 10));
    say_number(to, ':', any_server_us());
    for (int i = 0; i < 3; i++) say_number(to, ':', take_number(&liar.from));
    say_number(to, '*', 2 * (int64_t)count);
    for (uint8_t i = 0; i < count; i++) say_member(to);
}

static void say_subscribed(peer *to)
{
    say(to, "*3\r\n$9\r\nsubscribe\r\n");
    say_string(to, to->channel, strlen(to->channel));
    say(to, ":1\r\n");
    to->is_subscribed = true;
}

static void publish(peer *to)
{
    char grant[2 * WORD_MAX + 100];
    int64_t fence = take_number(&liar.from), lease_ms = take_number(&liar.from);
    bool is_of_another = take_byte(&liar.from) >
                         224; /* one that we do not know: it is given back */

    snprintf(grant, sizeof grant, "grant %" PRId64 " %" PRId64 " %" PRId64 " %s %s", fence,
             lease_ms, any_server_us(), is_of_another ? "- id.1 h:1:n" : liar.holder, liar.key);
    say(to, "*3\r\n$7\r\nmessage\r\n");
    say_string(to, to->channel, strlen(to->channel));
    if (take_byte(&liar.from) < 200) say_string(to, grant, strlen(grant));
    else say_any_tree(to);
}

/* ---- What it hears ---- */

static void answer_question(peer *to, const char *nonce)
{
    uint8_t choice = take_byte(&liar.from);

    if (choice == 0) to->has_hung_up = true;
    else if (choice < 8) return; /* silence */
    else if (choice < 16) say_noise(to);
    else if (choice < 32) say_error(to);
    else if (choice < 48) say_any_tree(to);
    else if (choice < 80) say_list(to, nonce);
    else say_code(to, nonce);
}

static void answer_subscription(peer *to, const words *asked)
{
    snprintf(to->channel, sizeof to->channel, "%s", asked->at[1]);
    uint8_t choice = take_byte(&liar.from);
    if (choice < 32) answer_question(to, "0");
    else say_subscribed(to);
}

static void answer_load(peer *to)
{
    static const char digest[] = "0123456789abcdef0123456789abcdef01234567";

    if (take_byte(&liar.from) < 64) answer_question(to, "0");
    else say_string(to, digest, sizeof digest - 1);
}

static void listen_to(peer *to, const words *asked)
{
    bool inspects = asked->count == 6;

    if (asked->count < 2) say(to, "+OK\r\n");
    else if (strcmp(asked->at[0], "SUBSCRIBE") == 0) answer_subscription(to, asked);
    else if (strcmp(asked->at[0], "SCRIPT") == 0) answer_load(to);
    else if (asked->count < 6) say(to, "+OK\r\n");
    else {
        snprintf(liar.key, sizeof liar.key, "%s", asked->at[3]);
        if (!inspects) snprintf(liar.holder, sizeof liar.holder, "%s", asked->at[4]);
        answer_question(to, asked->at[inspects ? 5 : 7]);
    }
}

/* How long the first command is, all of whose bytes are there; 0: none is. We wrote it ourselves,
 * so it is well-formed. */
static size_t read_command(const char *bytes, size_t length, words *out)
{
    const char *at = bytes, *end = bytes + length, *line_end = memchr(bytes, '\n', length);

    if (line_end == NULL) return 0;
    out->count = strtoul(at + 1, NULL, 10);
    must(*at == '*' && out->count <= WORDS_MAX);
    at = line_end + 1;
    for (size_t i = 0; i < out->count; i++) {
        line_end = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (line_end == NULL) return 0;
        must(*at == '$');
        size_t size = strtoul(at + 1, NULL, 10);
        if ((size_t)(end - line_end) < size + 3) return 0;
        snprintf(out->at[i], WORD_MAX, "%.*s", (int)size, line_end + 1);
        at = line_end + 1 + size + 2;
    }
    return (size_t)(at - bytes);
}

static void listen_to_all(peer *to)
{
    words asked;
    size_t begin = 0, length;

    while ((length = read_command(to->hears + begin, to->heard - begin, &asked)) > 0) {
        begin += length;
        listen_to(to, &asked);
    }
    memmove(to->hears, to->hears + begin, to->heard - begin);
    to->heard -= begin;
}

/* ---- In the place of the kernel ---- */

static peer *peer_of(int fd)
{
    for (size_t i = 0; i < PEERS; i++)
        if (liar.peers[i].fd == fd && fd > 0) return &liar.peers[i];
    return NULL;
}

static bool has_news(const peer *from) { return from->received < from->said || from->has_hung_up; }

int64_t clock_now_us(void) { return liar.now_us++; }

bool entropy_fill(void *bytes, size_t size)
{
    memset(bytes, 'r', size);
    return true;
}

static peer *free_peer(int fd)
{
    peer *again = peer_of(fd); /* its connection was closed, and the number is used again */
    for (size_t i = 0; again == NULL && i < PEERS; i++)
        if (liar.peers[i].fd == 0 || fcntl(liar.peers[i].fd, F_GETFD) < 0) again = &liar.peers[i];
    return again;
}

int socket(int domain, int type, int protocol)
{
    (void)domain, (void)type, (void)protocol;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    peer *made = free_peer(fd);
    must(fd > 0 && made != NULL);
    made->fd = fd;
    made->has_hung_up = made->is_subscribed = false;
    made->heard = made->said = made->received = 0;
    return fd;
}

int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t length)
{
    static const int errors[] = {ECONNREFUSED, EINPROGRESS, EACCES};
    uint8_t choice = take_byte(&liar.from) % 16;

    (void)fd, (void)to, (void)length;
    if (choice >= 3) return 0;
    errno = errors[choice];
    return -1;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    (void)fd, (void)level, (void)name;
    memset(value, 0, *length);
    return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    (void)fd, (void)level, (void)name, (void)value, (void)length;
    return 0;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    peer *to = peer_of(fd);
    uint8_t choice = take_byte(&liar.from);

    must(to != NULL && (flags & MSG_NOSIGNAL) != 0);
    if (choice == 0 || length > HEARD_MAX - to->heard) to->has_hung_up = true;
    if (to->has_hung_up) {
        errno = ECONNRESET;
        return -1;
    }
    if (choice < 16) length = length * choice / 16 + 1;
    memcpy(to->hears + to->heard, bytes, length);
    to->heard += length;
    listen_to_all(to);
    return (ssize_t)length;
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    peer *from = peer_of(fd);
    size_t left = from->said - from->received, piece = take_byte(&liar.from);

    if (left == 0 && from->has_hung_up) return 0;
    if (left == 0) {
        if ((flags & MSG_DONTWAIT) == 0) liar.now_us += 4000;
        errno = EAGAIN;
        return -1;
    }
    if (piece > 0 && piece < left) left = piece;
    if (left > size) left = size;
    memcpy(bytes, from->says + from->received, left);
    from->received += left;
    return (ssize_t)left;
}

/* Descriptors that are not the server's are the library's own eventfds. */
static short look_at(const struct pollfd *at)
{
    struct pollfd other = *at;
    peer *of = peer_of(at->fd);

    if (at->fd < 0) return 0;
    if (of == NULL) return syscall(SYS_poll, &other, 1, 0) > 0 ? other.revents : 0;
    return (short)((has_news(of) ? at->events & POLLIN : 0) | (at->events & POLLOUT));
}

static int look_at_all(struct pollfd *fds, nfds_t count)
{
    int ready = 0;

    for (nfds_t i = 0; i < count; i++) {
        fds[i].revents = look_at(&fds[i]);
        ready += fds[i].revents != 0;
    }
    return ready;
}

static void publish_now_and_then(void)
{
    for (size_t i = 0; i < PEERS; i++)
        if (liar.peers[i].fd > 0 && liar.peers[i].is_subscribed && take_byte(&liar.from) > 128)
            publish(&liar.peers[i]);
}

/* Alarms are silent: ppoll is told how long to wait, too. */
int timerfd_create(clockid_t clock, int flags)
{
    (void)clock, (void)flags;
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *to, struct itimerspec *before)
{
    (void)fd, (void)flags, (void)to, (void)before;
    return 0;
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    must(timeout == 0);
    return look_at_all(fds, count);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *span, const sigset_t *mask)
{
    (void)mask;
    int ready = look_at_all(fds, count);
    if (ready > 0) return ready;
    publish_now_and_then();
    liar.now_us += span == NULL ? INT64_C(60000000) : span->tv_sec * 1000000 + span->tv_nsec / 1000;
    return look_at_all(fds, count);
}

#endif
