/* SPDX-License-Identifier: MIT
 * The splitter: one thread that polls, and moves bytes between the two ends of each connection. */
#include "support/splitter.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAIRS = 64, PAIR_BYTES = 16384 };

typedef struct pair {
    int client_fd; /* -1: this place is free */
    int server_fd; /* -1: the client has not said anything yet */
} pair;

struct splitter {
    pthread_t thread;
    int wake_fd, listener;
    _Atomic int astray; /* inboxes that still lead to the other server */
    struct sockaddr_un address, commands, inboxes;
    char uri[128];
    pair pairs[PAIRS];
};

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static void pair_close(pair *self)
{
    if (self->client_fd >= 0) close(self->client_fd);
    if (self->server_fd >= 0) close(self->server_fd);
    self->client_fd = self->server_fd = -1;
}

/* What is moved is little, and both ends read: a send that blocks is over soon. */
static bool pass(int from, int to)
{
    char bytes[PAIR_BYTES];
    ssize_t got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    for (ssize_t sent = 0, more; sent < got; sent += more)
        if ((more = send(to, bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL)) <= 0) return false;
    return got > 0;
}

/* By the first words, which stay where they are. */
static bool choose_server(splitter *self, pair *at)
{
    char words[64];
    ssize_t length = recv(at->client_fd, words, sizeof words, MSG_PEEK | MSG_DONTWAIT);
    if (length <= 0) return false;
    bool is_inbox = memmem(words, (size_t)length, "SUBSCRIBE", 9) != NULL;
    bool is_astray = is_inbox && atomic_fetch_sub(&self->astray, 1) > 0;
    const struct sockaddr_un *to = is_astray ? &self->inboxes : &self->commands;
    at->server_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(at->server_fd, (const struct sockaddr *)to, sizeof *to) == 0;
}

static void welcome(splitter *self)
{
    int fd = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC), place = 0;
    while (place < PAIRS && self->pairs[place].client_fd >= 0) place++;
    if (place < PAIRS) self->pairs[place].client_fd = fd;
    else if (fd >= 0) close(fd);
}

static void advance(splitter *self, pair *at, const struct pollfd *polls)
{
    bool is_well = true;
    if (polls[0].revents != 0 && at->server_fd < 0) is_well = choose_server(self, at);
    if (is_well && polls[0].revents != 0) is_well = pass(at->client_fd, at->server_fd);
    if (is_well && polls[1].revents != 0) is_well = pass(at->server_fd, at->client_fd);
    if (!is_well) pair_close(at);
}

static void *run(void *arg)
{
    splitter *self = arg;
    struct pollfd polls[2 + 2 * PAIRS];
    for (;;) {
        polls[0] = (struct pollfd){.fd = self->wake_fd, .events = POLLIN};
        polls[1] = (struct pollfd){.fd = self->listener, .events = POLLIN};
        for (int i = 0; i < PAIRS; i++) {
            polls[2 + 2 * i] = (struct pollfd){.fd = self->pairs[i].client_fd, .events = POLLIN};
            polls[3 + 2 * i] = (struct pollfd){.fd = self->pairs[i].server_fd, .events = POLLIN};
        }
        poll(polls, 2 + 2 * PAIRS, -1);
        if (polls[0].revents != 0) return NULL;
        for (int i = 0; i < PAIRS; i++)
            if (self->pairs[i].client_fd >= 0) advance(self, &self->pairs[i], &polls[2 + 2 * i]);
        if (polls[1].revents != 0) welcome(self);
    }
}

static void listen_there(splitter *self, const server *at)
{
    char path[sizeof self->address.sun_path];
    snprintf(path, sizeof path, "%s/split.sock", server_directory(at));
    self->address = address_of(path);
    snprintf(self->uri, sizeof self->uri, "unix://%s", path);
    self->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(self->listener, (struct sockaddr *)&self->address, sizeof self->address),
                     0);
    assert_int_equal(listen(self->listener, PAIRS), 0);
}

splitter *splitter_start(server *commands, server *inboxes)
{
    splitter *self = calloc(1, sizeof *self);
    assert_non_null(self);
    for (int i = 0; i < PAIRS; i++) self->pairs[i].client_fd = self->pairs[i].server_fd = -1;
    self->astray = INT_MAX;
    self->commands = address_of(server_socket(commands));
    self->inboxes = address_of(server_socket(inboxes));
    self->wake_fd = eventfd(0, EFD_CLOEXEC);
    assert_true(self->wake_fd >= 0);
    listen_there(self, commands);
    assert_int_equal(pthread_create(&self->thread, NULL, run, self), 0);
    return self;
}

void splitter_stop(splitter *self)
{
    if (self == NULL) return;
    eventfd_write(self->wake_fd, 1);
    pthread_join(self->thread, NULL);
    for (int i = 0; i < PAIRS; i++) pair_close(&self->pairs[i]);
    close(self->listener);
    close(self->wake_fd);
    unlink(self->address.sun_path);
    free(self);
}

const char *splitter_uri(const splitter *self) { return self->uri; }
void splitter_lead_astray(splitter *self, int inboxes) { atomic_store(&self->astray, inboxes); }
