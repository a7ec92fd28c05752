/* SPDX-License-Identifier: MIT
 * A descriptor that becomes readable at an instant of the library's clock. The rule: the instant is
 * absolute, so that whoever sleeps until then is late neither by having been preempted before it
 * fell asleep, nor after a suspend (which the timeouts of poll do not count). */
#ifndef REDLOCK_KEEPER_ALARM_H
#define REDLOCK_KEEPER_ALARM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct alarm_clock {
    int fd; /* -1: there is none */
    int64_t at_us;
} alarm_clock;

bool alarm_open(alarm_clock *self);
void alarm_close(alarm_clock *self);

/* From this instant on it is readable; INT64_MAX: never. */
void alarm_set(alarm_clock *self, int64_t at_us);

/* The same for one who does not mind to be woken too early: an instant that is still to come, and
 * before `at_us`, stays. */
void alarm_advance(alarm_clock *self, int64_t at_us, int64_t now_us);

#endif
