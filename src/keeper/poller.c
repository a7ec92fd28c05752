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

void poller_watch(poller *self, conn *which)
{
    int fd = conn_poll_fd(which);
    short events = conn_poll_events(which);
    if (fd < 0 || events == which->watched_for) return;
    struct epoll_event wanted = {.events = epoll_events(events), .data.fd = fd};
    int what = which->watched_for == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    (void)epoll_ctl(self->fd, what, fd, &wanted);
    which->watched_for = events;
}

void poller_forget(poller *self, conn *which, int fd)
{
    if (which->watched_for != 0) (void)epoll_ctl(self->fd, EPOLL_CTL_DEL, fd, NULL);
    which->watched_for = 0;
}
