/* SPDX-License-Identifier: MIT
 * The failing network. One thread polls and moves bytes, and it alone opens and closes connections;
 * controls set flags under the mutex, which the thread holds whenever it moves anything, so that a
 * control that returned is in force. What was kept is moved by the control itself, so that its
 * order is. */
#include "support/proxy.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROUTES = 128, FLOW_SIZE = 16384, LISTENERS = 2, WORD_SIZE = 64 };

/* One direction of a connection: read when empty, written until empty. */
typedef struct flow {
    size_t start, end;
    bool is_at_end; /* the sender closed */
    char bytes[FLOW_SIZE];
} flow;

typedef struct route {
    int client_fd; /* -1: this place is free */
    int server_fd; /* -1: not yet connected (blackhole) */
    bool is_cut;
    bool is_swallowing; /* the next bytes of the server end it */
    bool is_kept;       /* what the client sent stays in its socket */
    int number;         /* of the connection */
    flow up, down;
} route;

struct proxy {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards everything below */
    int wake_fd;
    int listener[LISTENERS]; /* Unix, TCP */
    int port;
    int accepted;
    bool is_stopping, is_holding, is_refusing, is_black, is_armed, has_dropped, keeps_new;
    size_t step; /* 0: no limit */
    int pause_us;
    char word[WORD_SIZE]; /* "" : any request */
    const char *apology;  /* NULL: none */
    int apologies;
    char target[108], path[108], uri[128], tcp_uri[48];
    route routes[ROUTES];
};

/* ---- Moving bytes -----------------------------------------------------------------------------*/

static bool is_empty(const flow *self) { return self->start == self->end; }

/* False when the connection failed. */
static bool flow_fill(flow *self, int fd)
{
    if (!is_empty(self) || self->is_at_end) return true;
    ssize_t got = recv(fd, self->bytes, sizeof self->bytes, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    self->start = 0;
    self->end = (size_t)got;
    self->is_at_end = got == 0;
    return true;
}

static bool flow_drain(flow *self, int fd, size_t step)
{
    size_t length = self->end - self->start;
    if (length == 0) return true;
    ssize_t sent = send(fd, self->bytes + self->start, step > 0 && step < length ? step : length,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    self->start += (size_t)sent;
    return true;
}

static void arm_swallowing(proxy *self, route *at)
{
    size_t length = at->up.end - at->up.start;
    if (!self->is_armed || length == 0) return;
    if (memmem(at->up.bytes + at->up.start, length, self->word, strlen(self->word)) == NULL) return;
    self->is_armed = false;
    at->is_swallowing = true;
}

/* Requests are arrays, and no argument of ours has a line that begins like one. */
static int count_requests(const flow *from)
{
    int count = 0;
    for (size_t i = from->start; i < from->end; i++) {
        bool begins = i == from->start || (i > from->start + 1 && from->bytes[i - 1] == '\n' &&
                                           from->bytes[i - 2] == '\r');
        count += from->bytes[i] == '*' && begins;
    }
    return count;
}

static bool apologize(proxy *self, route *at)
{
    if (!flow_fill(&at->up, at->client_fd)) return false;
    for (int left = count_requests(&at->up); left > 0; left--, self->apologies++)
        if (send(at->client_fd, self->apology, strlen(self->apology), MSG_NOSIGNAL) < 0)
            return false;
    at->up.start = at->up.end = 0;
    return true;
}

static bool move_up(proxy *self, route *at)
{
    if (at->is_kept) return true;
    if (self->apology != NULL) return apologize(self, at);
    bool was_empty = is_empty(&at->up);
    if (!flow_fill(&at->up, at->client_fd)) return false;
    if (was_empty) arm_swallowing(self, at);
    return flow_drain(&at->up, at->server_fd, self->step);
}

static bool move_down(proxy *self, route *at)
{
    if (self->is_holding || at->is_kept) return true;
    if (!flow_fill(&at->down, at->server_fd)) return false;
    if (at->is_swallowing && !is_empty(&at->down)) {
        self->has_dropped = true;
        return false;
    }
    return flow_drain(&at->down, at->client_fd, self->step);
}

static bool has_ended(const flow *self) { return self->is_at_end && is_empty(self); }

/* ---- Connections ------------------------------------------------------------------------------*/

static int connect_target(const proxy *self)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, self->target, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

/* Shuts down first: a forked child of the test has the descriptor too. */
static void close_fd(int fd)
{
    if (fd < 0) return;
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

static void route_close(route *self)
{
    close_fd(self->client_fd);
    close_fd(self->server_fd);
    self->client_fd = self->server_fd = -1;
}

static void route_begin(route *self, int fd)
{
    self->client_fd = fd;
    self->server_fd = -1;
    self->is_cut = self->is_swallowing = self->is_kept = false;
    self->up.start = self->up.end = self->down.start = self->down.end = 0;
    self->up.is_at_end = self->down.is_at_end = false;
}

static route *free_route(proxy *self)
{
    for (int i = 0; i < ROUTES; i++)
        if (self->routes[i].client_fd < 0) return &self->routes[i];
    return NULL;
}

static void welcome(proxy *self, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return;
    self->accepted++;
    route *place = self->is_refusing ? NULL : free_route(self);
    if (place == NULL) {
        close_fd(fd);
        return;
    }
    route_begin(place, fd);
    place->number = self->accepted;
    place->is_kept = self->keeps_new;
}

/* False when the connection is over. */
static bool route_advance(proxy *self, route *at)
{
    if (at->is_cut) return false;
    if (self->is_black) return true;
    if (at->server_fd < 0 && (at->server_fd = connect_target(self)) < 0) return false;
    return move_up(self, at) && move_down(self, at) && !has_ended(&at->up) && !has_ended(&at->down);
}

/* ---- The thread -------------------------------------------------------------------------------*/

static struct pollfd wait_for(int fd, bool reads, bool writes)
{
    short events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
    return (struct pollfd){.fd = events != 0 ? fd : -1, .events = events};
}

static int gather(const proxy *self, struct pollfd *polls)
{
    int count = 0;
    polls[count++] = wait_for(self->wake_fd, true, false);
    for (int i = 0; i < LISTENERS; i++) polls[count++] = wait_for(self->listener[i], true, false);
    for (int i = 0; i < ROUTES && !self->is_black; i++) {
        const route *at = &self->routes[i];
        if (at->client_fd < 0) continue;
        if (at->is_kept) continue;
        bool is_up_empty = is_empty(&at->up), is_down_empty = is_empty(&at->down);
        polls[count++] = wait_for(at->client_fd, is_up_empty, !is_down_empty && !self->is_holding);
        polls[count++] = wait_for(at->server_fd, is_down_empty && !self->is_holding, !is_up_empty);
    }
    return count;
}

static void advance(proxy *self, const struct pollfd *polls)
{
    uint64_t wakes;
    if (polls[0].revents != 0 && read(self->wake_fd, &wakes, sizeof wakes) < 0) return;
    for (int i = 0; i < LISTENERS; i++)
        if (polls[1 + i].revents != 0) welcome(self, self->listener[i]);
    for (int i = 0; i < ROUTES; i++) {
        route *at = &self->routes[i];
        if (at->client_fd >= 0 && !route_advance(self, at)) route_close(at);
    }
}

static void *run(void *arg)
{
    proxy *self = arg;
    struct pollfd polls[1 + LISTENERS + 2 * ROUTES];
    pthread_mutex_lock(&self->mutex);
    while (!self->is_stopping) {
        int count = gather(self, polls), pause_us = self->step > 0 ? self->pause_us : 0;
        pthread_mutex_unlock(&self->mutex);
        poll(polls, (nfds_t)count, -1);
        pthread_mutex_lock(&self->mutex);
        advance(self, polls);
        if (pause_us == 0) continue;
        pthread_mutex_unlock(&self->mutex);
        nanosleep(&(struct timespec){pause_us / 1000000, pause_us % 1000000 * 1000L}, NULL);
        pthread_mutex_lock(&self->mutex);
    }
    pthread_mutex_unlock(&self->mutex);
    return NULL;
}

/* ---- Start and stop ---------------------------------------------------------------------------*/

static void listen_unix(proxy *self, const server *target)
{
    static int number;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(self->target, sizeof self->target, "%s", server_socket(target));
    snprintf(self->path, sizeof self->path, "%s/proxy-%d.sock", server_directory(target), ++number);
    snprintf(self->uri, sizeof self->uri, "unix://%s", self->path);
    memcpy(address.sun_path, self->path, sizeof address.sun_path);
    self->listener[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(self->listener[0], (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(self->listener[0], ROUTES), 0);
}

static void listen_tcp(proxy *self)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    self->listener[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(self->listener[1], (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(self->listener[1], ROUTES), 0);
    assert_int_equal(getsockname(self->listener[1], (struct sockaddr *)&address, &length), 0);
    self->port = ntohs(address.sin_port);
    snprintf(self->tcp_uri, sizeof self->tcp_uri, "redis://127.0.0.1:%d", self->port);
}

/* The test's signals are the test's: this thread takes none. */
static void start_thread(proxy *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int refused = pthread_create(&self->thread, NULL, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(refused, 0);
}

proxy *proxy_start(server *target)
{
    proxy *self = calloc(1, sizeof *self);
    assert_non_null(self);
    for (int i = 0; i < ROUTES; i++) self->routes[i].client_fd = self->routes[i].server_fd = -1;
    pthread_mutex_init(&self->mutex, NULL);
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(self->wake_fd >= 0);
    listen_unix(self, target);
    listen_tcp(self);
    start_thread(self);
    return self;
}

static void wake_and_unlock(proxy *self)
{
    eventfd_write(self->wake_fd, 1);
    pthread_mutex_unlock(&self->mutex);
}

void proxy_stop(proxy *self)
{
    if (self == NULL) return;
    pthread_mutex_lock(&self->mutex);
    self->is_stopping = true;
    wake_and_unlock(self);
    pthread_join(self->thread, NULL);
    for (int i = 0; i < ROUTES; i++) route_close(&self->routes[i]);
    for (int i = 0; i < LISTENERS; i++) close_fd(self->listener[i]);
    close(self->wake_fd);
    unlink(self->path);
    pthread_mutex_destroy(&self->mutex);
    free(self);
}

const char *proxy_uri(const proxy *self) { return self->uri; }
const char *proxy_tcp_uri(const proxy *self) { return self->tcp_uri; }
int proxy_tcp_port(const proxy *self) { return self->port; }

/* ---- Controls ---------------------------------------------------------------------------------*/

static void set(proxy *self, bool *flag, bool is_on)
{
    pthread_mutex_lock(&self->mutex);
    *flag = is_on;
    wake_and_unlock(self);
}

void proxy_hold(proxy *self, bool is_on) { set(self, &self->is_holding, is_on); }
void proxy_blackhole(proxy *self, bool is_on) { set(self, &self->is_black, is_on); }

void proxy_apologize(proxy *self, const char *error)
{
    pthread_mutex_lock(&self->mutex);
    self->apology = error;
    self->apologies = 0;
    wake_and_unlock(self);
}

int proxy_apologies(proxy *self)
{
    pthread_mutex_lock(&self->mutex);
    int count = self->apologies;
    pthread_mutex_unlock(&self->mutex);
    return count;
}
void proxy_refuse(proxy *self, bool is_on) { set(self, &self->is_refusing, is_on); }

void proxy_cut(proxy *self)
{
    pthread_mutex_lock(&self->mutex);
    for (int i = 0; i < ROUTES; i++) {
        if (self->routes[i].client_fd < 0) continue;
        if (self->routes[i].is_kept) {
            shutdown(self->routes[i].client_fd, SHUT_WR);
            continue;
        }
        self->routes[i].is_cut = true;
        shutdown(self->routes[i].client_fd, SHUT_RDWR);
        if (self->routes[i].server_fd >= 0) shutdown(self->routes[i].server_fd, SHUT_RDWR);
    }
    wake_and_unlock(self);
}

int proxy_keep_requests(proxy *self, bool new_ones_too)
{
    int kept = 0;
    pthread_mutex_lock(&self->mutex);
    self->keeps_new = new_ones_too;
    for (int i = 0; i < ROUTES; i++) {
        route *at = &self->routes[i];
        if (at->client_fd < 0 || at->is_cut) continue;
        at->is_kept = true;
        kept++;
    }
    wake_and_unlock(self);
    return kept;
}

static bool has_something(const route *self)
{
    int bytes = 0;
    return self->client_fd >= 0 && self->is_kept && ioctl(self->client_fd, FIONREAD, &bytes) == 0 &&
           bytes > 0;
}

int proxy_kept(proxy *self)
{
    int kept = 0;
    pthread_mutex_lock(&self->mutex);
    for (int i = 0; i < ROUTES; i++) kept += has_something(&self->routes[i]);
    pthread_mutex_unlock(&self->mutex);
    return kept;
}

static route *next_kept(proxy *self, enum proxy_order order)
{
    route *next = NULL;
    for (int i = 0; i < ROUTES; i++) {
        route *at = &self->routes[i];
        if (at->client_fd < 0 || !at->is_kept) continue;
        bool goes_first = next == NULL ||
                          (order == PROXY_OLDEST_FIRST) == (at->number < next->number);
        if (goes_first) next = at;
    }
    return next;
}

static void deliver(route *self)
{
    bool is_well = true;
    while (is_well && flow_fill(&self->up, self->client_fd) && !is_empty(&self->up))
        is_well = flow_drain(&self->up, self->server_fd, 0);
    self->is_kept = false;
}

void proxy_deliver_requests(proxy *self, enum proxy_order order)
{
    route *next;
    pthread_mutex_lock(&self->mutex);
    self->keeps_new = false;
    while ((next = next_kept(self, order)) != NULL) deliver(next);
    wake_and_unlock(self);
}

void proxy_slow(proxy *self, size_t bytes, int pause_us)
{
    pthread_mutex_lock(&self->mutex);
    self->step = bytes;
    self->pause_us = pause_us;
    wake_and_unlock(self);
}

void proxy_drop_reply_to(proxy *self, const char *word)
{
    pthread_mutex_lock(&self->mutex);
    self->is_armed = true;
    self->has_dropped = false;
    snprintf(self->word, sizeof self->word, "%s", word != NULL ? word : "");
    wake_and_unlock(self);
}

void proxy_drop_replies_once(proxy *self) { proxy_drop_reply_to(self, NULL); }

bool proxy_has_dropped(proxy *self)
{
    pthread_mutex_lock(&self->mutex);
    bool has_dropped = self->has_dropped;
    pthread_mutex_unlock(&self->mutex);
    return has_dropped;
}

int proxy_accepted(proxy *self)
{
    pthread_mutex_lock(&self->mutex);
    int accepted = self->accepted;
    pthread_mutex_unlock(&self->mutex);
    return accepted;
}

int proxy_connected(proxy *self)
{
    int connected = 0;
    pthread_mutex_lock(&self->mutex);
    for (int i = 0; i < ROUTES; i++)
        connected += self->routes[i].client_fd >= 0 && !self->routes[i].is_cut;
    pthread_mutex_unlock(&self->mutex);
    return connected;
}
