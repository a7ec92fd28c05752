/* SPDX-License-Identifier: MIT
 * Waiting for descriptors, in virtual time: poll and recv, epoll sets (level-triggered; they are
 * polled themselves) and timerfds. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "sim/machine/descriptor.h"
#include "sim/machine/machine.h"
#include "sim/machine/system.h"
#include "sim/machine/wrapped.h"

enum { RECEIVE_PATIENCE_US = 4000 };

/* ---- What a descriptor is ready for ---------------------------------------------------------- */

static short state_of(int fd);

static short state_of_cable(const cable *self)
{
    if (self->state == CABLE_CONNECTING) return 0;
    if (self->state == CABLE_REFUSED || self->is_reset) return POLLIN | POLLOUT | POLLERR | POLLHUP;
    bool is_readable = cable_readable(self) > 0 || self->is_ended;
    return (short)((is_readable ? POLLIN : 0) | POLLOUT);
}

/* The bits of epoll are those of poll. */
static short state_of_set(const descriptor *self)
{
    for (int i = 0; i < self->member_count; i++) {
        uint32_t wanted = self->members[i].events | EPOLLERR | EPOLLHUP;
        if (((uint32_t)state_of(self->members[i].fd) & wanted) != 0) return POLLIN;
    }
    return 0;
}

static short state_of(int fd)
{
    const descriptor *self = descriptor_at(fd);
    if (self == NULL) return 0;
    switch (self->kind) {
    case DESCRIPTOR_EVENT: return self->count > 0 ? POLLIN : 0;
    case DESCRIPTOR_TIMER: return machine_clock_us(self->machine) >= self->at_us ? POLLIN : 0;
    case DESCRIPTOR_SET: return state_of_set(self);
    case DESCRIPTOR_SOCKET: break;
    }
    return self->cable == NULL ? 0 : state_of_cable(self->cable);
}

static bool is_any_ready(void *looked_at, size_t count)
{
    const struct pollfd *fds = looked_at;
    for (size_t i = 0; i < count; i++)
        if ((state_of(fds[i].fd) & (fds[i].events | POLLERR | POLLHUP)) != 0) return true;
    return false;
}

static int look(struct pollfd *fds, nfds_t count)
{
    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        fds[i].revents = (short)(state_of(fds[i].fd) & (fds[i].events | POLLERR | POLLHUP));
        ready += fds[i].revents != 0;
    }
    return ready;
}

/* When a timer among these makes it ready, by the machine's clock. */
static int64_t alarm_of(int fd)
{
    const descriptor *self = descriptor_at(fd);
    if (self == NULL) return SIM_NEVER;
    int64_t first_us = self->kind == DESCRIPTOR_TIMER ? self->at_us : SIM_NEVER;
    for (int i = 0; i < self->member_count; i++) {
        int64_t at_us = alarm_of(self->members[i].fd);
        if (at_us < first_us) first_us = at_us;
    }
    return first_us;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

/* Until a descriptor is ready, or the machine's clock shows `until_us`. */
static void wait_for(struct pollfd *fds, nfds_t count, int number, int64_t until_us)
{
    while (!is_any_ready(fds, count) && machine_clock_us(number) < until_us) {
        int64_t next_us = until_us;
        for (nfds_t i = 0; i < count; i++)
            if (alarm_of(fds[i].fd) < next_us) next_us = alarm_of(fds[i].fd);
        fiber_poll(machine_instant_us(number, next_us), is_any_ready, fds, count);
    }
}

int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *span,
                 const sigset_t *mask)
{
    int number = system_machine();
    if (number < 0) return __real_ppoll(fds, count, span, mask);
    int64_t until_us = SIM_NEVER;
    if (span != NULL)
        until_us = machine_clock_us(number) + span->tv_sec * 1000000 + (span->tv_nsec + 999) / 1000;
    wait_for(fds, count, number, until_us);
    return look(fds, count);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    int number = system_machine();
    if (number < 0) return __real_poll(fds, count, timeout_ms);
    int64_t until_us = timeout_ms < 0 ? SIM_NEVER
                                      : machine_clock_us(number) + timeout_ms * INT64_C(1000);
    wait_for(fds, count, number, until_us);
    return look(fds, count);
}

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
    descriptor *self = descriptor_at(fd);
    if (self == NULL) return __real_recv(fd, bytes, size, flags);
    struct pollfd one = {.fd = fd, .events = POLLIN};
    if ((flags & MSG_DONTWAIT) == 0)
        wait_for(&one, 1, self->machine, machine_clock_us(self->machine) + RECEIVE_PATIENCE_US);
    if (self->cable->is_reset) return system_fail(ECONNRESET);
    if (cable_readable(self->cable) > 0) return (ssize_t)cable_receive(self->cable, bytes, size);
    return self->cable->is_ended ? 0 : system_fail(EAGAIN);
}

/* ---- Timers ---------------------------------------------------------------------------------- */

int __wrap_timerfd_create(clockid_t clock, int flags)
{
    return system_machine() < 0 ? __real_timerfd_create(clock, flags)
                                : descriptor_take(DESCRIPTOR_TIMER);
}

/* Whoever polls already sleeps no longer than until then. */
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *to,
                           struct itimerspec *before)
{
    descriptor *self = descriptor_at(fd);
    if (self == NULL) return __real_timerfd_settime(fd, flags, to, before);
    if (flags != TFD_TIMER_ABSTIME || to->it_value.tv_nsec < 0 || to->it_value.tv_nsec > 999999999)
        return system_fail(EINVAL);
    int64_t at_us = to->it_value.tv_sec * 1000000 + (to->it_value.tv_nsec + 999) / 1000;
    self->at_us = at_us == 0 ? SIM_NEVER : at_us;
    fibers_poll_until(self->machine, machine_instant_us(self->machine, self->at_us));
    return 0;
}

/* ---- Sets ------------------------------------------------------------------------------------ */

int __wrap_epoll_create1(int flags)
{
    return system_machine() < 0 ? __real_epoll_create1(flags) : descriptor_take(DESCRIPTOR_SET);
}

static struct watched_fd *find(descriptor *self, int fd)
{
    for (int i = 0; i < self->member_count; i++)
        if (self->members[i].fd == fd) return &self->members[i];
    return NULL;
}

bool set_drop(descriptor *self, int fd)
{
    struct watched_fd *found = find(self, fd);
    if (found == NULL) return false;
    *found = self->members[--self->member_count];
    return true;
}

static int set_add(descriptor *self, int fd, uint32_t events)
{
    if (find(self, fd) != NULL) return system_fail(EEXIST);
    if (self->member_count == SET_MOST) return system_fail(ENOSPC);
    self->members[self->member_count++] = (struct watched_fd){fd, events};
    return 0;
}

static int set_change(descriptor *self, int fd, uint32_t events)
{
    struct watched_fd *found = find(self, fd);
    if (found == NULL) return system_fail(ENOENT);
    found->events = events;
    return 0;
}

int __wrap_epoll_ctl(int set, int what, int fd, struct epoll_event *wanted)
{
    descriptor *self = descriptor_at(set);
    if (self == NULL) return __real_epoll_ctl(set, what, fd, wanted);
    const descriptor *which = descriptor_at(fd);
    if (which == NULL || !which->is_open) return system_fail(EBADF);
    int failed = what == EPOLL_CTL_ADD   ? set_add(self, fd, wanted->events)
                 : what == EPOLL_CTL_MOD ? set_change(self, fd, wanted->events)
                 : set_drop(self, fd)    ? 0
                                         : system_fail(ENOENT);
    fibers_look(self->machine);
    return failed;
}
