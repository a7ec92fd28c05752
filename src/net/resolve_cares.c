/* SPDX-License-Identifier: MIT
 * Names to addresses by c-ares, 1.16 or newer. The rule: no thread, and nothing that outlives its
 * owner.
 *
 *     lookup_fd = an epoll set --+-- sockets: those that c-ares tells of (watch_socket)
 *                                +-- timer: when c-ares is to be called without them; once the
 *                                    answer is there it has expired, and stays so
 *
 * What is ready in the set is handed to c-ares by lookup_poll, on the thread of whoever calls it.
 *
 * What c-ares does to the process: it takes malloc, since its allocator is one for all its users,
 * and for each look-up reads the files and variables that getaddrinfo reads. ares_library_init
 * counts its callers, not atomically, and does nothing else where there is no Windows: it is not
 * called. Where the system has no random numbers, rand is called. Sockets are closed on exec, but
 * not from their very first instant. */
#include "net/resolve.h"

#ifdef REDLOCK_WITH_CARES

#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "host/pipe_signal.h"
#include "net/resolve_internal.h"

enum { READY_MOST = 8 };

#define NS_IN_S INT64_C(1000000000)
#define NS_IN_MS INT64_C(1000000)

struct lookup {
    ares_channel channel; /* NULL: there is none */
    int set, timer;       /* -1: there is none */
    bool is_host_name;    /* what a name server may be asked for */
    bool is_done;         /* what c-ares tells afterwards is not heard */
    const char *error;    /* static; NULL when addresses were found */
    address_list found;
};

/* ---- The set --------------------------------------------------------------------------------- */

/* Zero for never. */
static void expire_in(const lookup *self, int64_t ns)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(ns / NS_IN_S), .tv_nsec = (long)(ns % NS_IN_S)}};
    (void)timerfd_settime(self->timer, 0, &when, NULL);
}

static void settle_lookup(lookup *self, int status)
{
    if (self->is_done) return;
    self->is_done = true;
    if (status != ARES_SUCCESS) /* of what it was not asked for it says that nobody answers */
        self->error = ares_strerror(self->is_host_name ? status : ARES_EBADNAME);
    expire_in(self, 1);
}

/* What c-ares wants to hear of one of its sockets; nothing when it is about to close it. */
static void watch_socket(void *arg, ares_socket_t fd, int reads, int writes)
{
    lookup *self = arg;
    if (self->is_done) return;
    struct epoll_event wanted = {.events = (reads ? EPOLLIN : 0u) | (writes ? EPOLLOUT : 0u),
                                 .data.fd = fd};
    if (wanted.events == 0) {
        (void)epoll_ctl(self->set, EPOLL_CTL_DEL, fd, NULL);
        return;
    }
    if (epoll_ctl(self->set, EPOLL_CTL_ADD, fd, &wanted) == 0) return;
    if (errno != EEXIST || epoll_ctl(self->set, EPOLL_CTL_MOD, fd, &wanted) != 0)
        settle_lookup(self, ARES_ENOMEM);
}

/* c-ares rounds to whole milliseconds, downwards: one more, or it would be called in vain. */
static void plan_call(const lookup *self)
{
    struct timeval room;
    if (self->is_done) return;
    const struct timeval *left = ares_timeout(self->channel, NULL, &room);
    expire_in(self, left == NULL ? 0 : left->tv_sec * NS_IN_S + left->tv_usec * 1000 + NS_IN_MS);
}

static bool open_set(lookup *self)
{
    self->set = epoll_create1(EPOLL_CLOEXEC);
    self->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (self->set < 0 || self->timer < 0) return false;
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = self->timer};
    return epoll_ctl(self->set, EPOLL_CTL_ADD, self->timer, &wanted) == 0;
}

/* ---- The question ---------------------------------------------------------------------------- */

/* As getaddrinfo of glibc sees it: it asks name servers for nothing else. */
static bool is_host_name(const char *host)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_.";
    return host[0] != '-' && host[strspn(host, allowed)] == '\0';
}

/* What is no host name is looked for in /etc/hosts alone. */
static int open_channel(lookup *self)
{
    char files[] = "f";
    struct ares_options options = {
        .sock_state_cb = watch_socket, .sock_state_cb_data = self, .lookups = files};
    int chosen = ARES_OPT_SOCK_STATE_CB | (self->is_host_name ? 0 : ARES_OPT_LOOKUPS);
    return ares_init_options(&self->channel, &options, chosen);
}

static void addresses_came(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    lookup *self = arg;
    (void)timeouts;
    const struct ares_addrinfo_node *each = info != NULL && !self->is_done ? info->nodes : NULL;
    for (; each != NULL; each = each->ai_next)
        address_list_add(&self->found, each->ai_addr, (socklen_t)each->ai_addrlen);
    if (info != NULL) ares_freeaddrinfo(info);
    settle_lookup(self, status);
}

static void ask_name(lookup *self, const char *host, uint16_t port)
{
    const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NUMERICSERV};
    char service[SERVICE_SIZE];
    service_write(service, port);
    pipe_signal before = pipe_signal_defer();
    ares_getaddrinfo(self->channel, host, service, &hints, addresses_came, self);
    pipe_signal_restore(&before);
    plan_call(self);
}

/* ---- The look-up ----------------------------------------------------------------------------- */

lookup *lookup_begin(const char *host, uint16_t port)
{
    lookup *self = calloc(1, sizeof *self);
    if (self == NULL) return NULL;
    self->is_host_name = is_host_name(host);
    int error = open_set(self) ? 0 : errno;
    if (error == 0 && open_channel(self) != ARES_SUCCESS) error = ENOMEM;
    if (error == 0) {
        ask_name(self, host, port);
        return self;
    }
    lookup_end(self);
    errno = error;
    return NULL;
}

int lookup_fd(const lookup *self) { return self->set; }

/* An error of a socket is for c-ares to find, whatever it waits for. */
static void hand_socket_over(lookup *self, const struct epoll_event *ready)
{
    if (ready->data.fd == self->timer) return;
    bool reads = (ready->events & ~(uint32_t)EPOLLOUT) != 0;
    bool writes = (ready->events & ~(uint32_t)EPOLLIN) != 0;
    ares_process_fd(self->channel, reads ? ready->data.fd : ARES_SOCKET_BAD,
                    writes ? ready->data.fd : ARES_SOCKET_BAD);
}

/* A name server that is asked over TCP may be gone: some versions write without MSG_NOSIGNAL. */
static void drive_channel(lookup *self)
{
    struct epoll_event ready[READY_MOST];
    pipe_signal before = pipe_signal_defer();
    int count = epoll_wait(self->set, ready, READY_MOST, 0);
    for (int i = 0; i < count; i++) hand_socket_over(self, &ready[i]);
    ares_process_fd(self->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what is due by time */
    pipe_signal_restore(&before);
    plan_call(self);
}

bool lookup_poll(lookup *self, address_list *out, const char **error)
{
    if (!self->is_done) drive_channel(self);
    if (!self->is_done) return false;
    *out = self->found;
    *error = self->error;
    return true;
}

/* In a child of fork, too: the set is its parent's as well, and loses nothing. */
void lookup_end(lookup *self)
{
    if (self == NULL) return;
    self->is_done = true;
    ares_destroy(self->channel);
    if (self->timer >= 0) close(self->timer);
    if (self->set >= 0) close(self->set);
    free(self);
}

#endif
