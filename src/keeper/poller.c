/* SPDX-License-Identifier: MIT
 * The epoll set of a client without a thread. */
#include "keeper/poller.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static bool add(int set, int fd, uint32_t events)
{
    struct epoll_event wanted = {.events = events, .data.fd = fd};
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &wanted) == 0;
}

bool poller_open(poller *self, int wake_fd)
{
    *self = (poller){.armed_us = INT64_MAX};
    for (int i = 0; i < POLLER_CONNS; i++) self->conns[i].fd = -1;
    self->fd = epoll_create1(EPOLL_CLOEXEC);
    self->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    bool is_made = self->fd >= 0 && self->timer_fd >= 0;
    if (is_made && add(self->fd, wake_fd, EPOLLIN) && add(self->fd, self->timer_fd, EPOLLIN)) return true;
    poller_close(self);
    return false;
}

void poller_close(poller *self)
{
    if (self->fd >= 0) close(self->fd);
    if (self->timer_fd >= 0) close(self->timer_fd);
    self->fd = self->timer_fd = -1;
}

static uint32_t epoll_events(short events)
{
    return ((events & POLLIN) ? EPOLLIN : 0u) | ((events & POLLOUT) ? EPOLLOUT : 0u);
}

void poller_watch(poller *self, int index, const conn *which)
{
    struct watched *was = &self->conns[index];
    struct watched is = {conn_poll_fd(which), conn_poll_events(which), which->generation, which->lookup != NULL};
    bool is_same_socket = was->fd == is.fd && was->generation == is.generation && was->is_lookup == is.is_lookup;
    if (is_same_socket && was->events == is.events) return;
    struct epoll_event wanted = {.events = epoll_events(is.events), .data.fd = is.fd};
    if (is.fd >= 0 && epoll_ctl(self->fd, EPOLL_CTL_MOD, is.fd, &wanted) != 0)
        (void)epoll_ctl(self->fd, EPOLL_CTL_ADD, is.fd, &wanted);
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

void poller_arm(poller *self, int64_t at_us)
{
    if (self->armed_us == at_us) return;
    self->armed_us = at_us;
    struct itimerspec when = {0}; /* all zero: disarmed */
    if (at_us != INT64_MAX) {
        int64_t us = at_us > 0 ? at_us : 1;
        when.it_value = (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    }
    (void)timerfd_settime(self->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}
