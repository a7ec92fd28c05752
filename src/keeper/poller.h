/* SPDX-License-Identifier: MIT
 * One descriptor for a caller's event loop: an epoll set with the keeper's sockets, its wake-up and a timer in it. */
#ifndef REDLOCK_KEEPER_POLLER_H
#define REDLOCK_KEEPER_POLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "lane/conn.h"

enum { POLLER_CONNS = 2 };

typedef struct poller {
    int fd; /* -1: there is none */
    int timer_fd;
    int64_t armed_us;
    struct watched {
        int fd;
        short events;
        unsigned generation;
        bool is_lookup;
    } conns[POLLER_CONNS];
} poller;

/* wake_fd stays in the set for good. */
bool poller_open(poller *self, int wake_fd);
void poller_close(poller *self);

/* Follows what a connection waits for now. A descriptor's number may come back with another socket, so its generation
 * counts. */
void poller_watch(poller *self, int index, const conn *which);

/* A watched descriptor is about to be closed. */
void poller_forget(poller *self, int fd);

/* The descriptor becomes readable at this instant; INT64_MAX: not by the clock. */
void poller_arm(poller *self, int64_t at_us);

#endif
