/* SPDX-License-Identifier: MIT
 * The epoll set of a client without a thread. */
#include "keeper/poller.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

static bool add(int set, int fd, uint32_t events)
{
    struct epoll_event wanted = {.events = events, .data.fd = fd};
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &wanted) == 0;
}

bool poller_open(poller *self, int wake_fd, int alarm_fd)
{
    for (int i = 0; i < POLLER_CONNS; i++) self->conns[i].fd = -1;
    self->fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->fd >= 0 && add(self->fd, wake_fd, EPOLLIN) && add(self->fd, alarm_fd, EPOLLIN))
        return true;
    poller_close(self);
    return false;
}

void poller_close(poller *self)
{
    if (self->fd >= 0) close(self->fd);
    self->fd = -1;
}

static uint32_t epoll_events(short events)
{
    return ((events & POLLIN) ? EPOLLIN : 0u) | ((events & POLLOUT) ? EPOLLOUT : 0u);
}

void poller_watch(poller *self, int index, const conn *which)
{
    struct watched *was = &self->conns[index];
    struct watched is = {conn_poll_fd(which), conn_poll_events(which)};
    if (is.fd < 0 || (was->fd == is.fd && was->events == is.events)) return;
    struct epoll_event wanted = {.events = epoll_events(is.events), .data.fd = is.fd};
    (void)epoll_ctl(self->fd, was->fd == is.fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, is.fd, &wanted);
    *was = is;
}

void poller_forget(poller *self, int fd)
{
    for (int i = 0; i < POLLER_CONNS; i++) {
        if (self->conns[i].fd != fd) continue;
        (void)epoll_ctl(self->fd, EPOLL_CTL_DEL, fd, NULL);
        self->conns[i].fd = -1;
    }
}
