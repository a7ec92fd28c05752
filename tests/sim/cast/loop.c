/* SPDX-License-Identifier: MIT
 * A loop of one's own, as docs/async.md has it. Rule: it does nothing for the client but what the
 * header asks for. */
#include "sim/cast/loop.h"

#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sim/court/referee.h"
#include "sim/machine/machine.h"
#include "sim/trace.h"

static int timeout_of(const loop *self)
{
    int64_t left_ms = self->asks_for_timeout ? redlock_timeout_ms(self->client) : -1;
    return left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
}

/* The thread has other things to do; those beside it run on. */
static void be_busy(loop *self)
{
    if (!dice_chance(&self->lateness, self->late_permille)) return;
    int64_t span_us = dice_spread(&self->lateness, 1000, self->late_most_us);
    trace("client %d: the loop is busy for %lld us", self->machine, (long long)span_us);
    fiber_wait(now_us() + span_us, NULL);
}

/* False when the client is gone. */
static bool turn(loop *self)
{
    redlock_status status = redlock_process(self->client);
    if (status == REDLOCK_ERR_CLOSED) return false;
    if (status != REDLOCK_OK)
        referee_break("redlock_process answered %s", redlock_status_name(status));
    return true;
}

/* Until it is told to stop, or the client is gone: false. */
static bool go_round(loop *self)
{
    struct pollfd fds[] = {{.fd = redlock_fd(self->client), .events = POLLIN},
                           {.fd = self->stop_fd, .events = POLLIN}};
    for (;;) {
        int ready = poll(fds, 2, timeout_of(self));
        if (fds[1].revents != 0) return true;
        be_busy(self);
        if ((ready == 0 || fds[0].revents != 0) && !turn(self)) return false;
        be_busy(self);
    }
}

static void *run(void *of)
{
    loop *self = of;
    bool is_open = go_round(self);
    if (!is_open) self->closed(self->arg);
    self->is_running = false;
    fibers_wake(self);
    return NULL;
}

void loop_start(loop *self, void (*closed)(void *arg), void *arg)
{
    self->closed = closed;
    self->arg = arg;
    self->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    self->is_running = true;
    fiber_start(self->machine, run, self);
}

void loop_stop(loop *self)
{
    uint64_t one = 1;
    if (!self->is_running) return;
    if (write(self->stop_fd, &one, sizeof one) < 0)
        referee_break("a loop could not be told to stop");
    while (self->is_running) fiber_wait(SIM_NEVER, self);
    close(self->stop_fd);
}
