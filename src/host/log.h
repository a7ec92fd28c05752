/* SPDX-License-Identifier: MIT
 * One log line at a time, to the user's function. */
#ifndef REDLOCK_HOST_LOG_H
#define REDLOCK_HOST_LOG_H

#include <redlock/redlock.h>

typedef struct event_log {
    redlock_log_fn *write; /* never NULL */
    void *arg;
    redlock_level level;
} event_log;

/* The user's function, or the default that writes to stderr. */
event_log event_log_from(redlock_log_fn *write, void *arg, redlock_level level);

/* Formats and hands over one line, cut at 512 bytes. Text from outside goes through text_escape
 * first. */
void log_line(const event_log *log, redlock_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
