/* SPDX-License-Identifier: MIT
 * A timerfd on CLOCK_BOOTTIME. */
#include "keeper/alarm.h"

#include <sys/timerfd.h>
#include <unistd.h>

bool alarm_open(alarm_clock *self)
{
    *self = (alarm_clock){.fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK),
                          .at_us = INT64_MAX};
    return self->fd >= 0;
}

void alarm_close(alarm_clock *self)
{
    if (self->fd >= 0) close(self->fd);
    self->fd = -1;
}

/* Setting it anew also takes back that it was readable. */
void alarm_set(alarm_clock *self, int64_t at_us)
{
    if (self->at_us == at_us) return;
    self->at_us = at_us;
    struct itimerspec when = {0}; /* all zero: disarmed */
    if (at_us != INT64_MAX) {
        int64_t us = at_us > 0 ? at_us : 1;
        when.it_value = (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    }
    (void)timerfd_settime(self->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void alarm_advance(alarm_clock *self, int64_t at_us, int64_t now_us)
{
    if (at_us < self->at_us || self->at_us <= now_us) alarm_set(self, at_us);
}
