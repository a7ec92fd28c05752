/* SPDX-License-Identifier: MIT
 * One descriptor for a caller's event loop: an epoll set with the keeper's sockets, its wake-up and
 * its alarm in it. */
#ifndef REDLOCK_KEEPER_POLLER_H
#define REDLOCK_KEEPER_POLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "net/conn.h"

typedef struct poller {
    int fd; /* -1: there is none */
} poller;

/* wake_fd and alarm_fd stay in the set for good. */
bool poller_open(poller *self, int wake_fd, int alarm_fd);
void poller_close(poller *self);

/* Follows what a connection waits for now. */
void poller_watch(poller *self, conn *which);

/* Its descriptor is about to be closed: the number may come back with another socket. */
void poller_forget(poller *self, conn *which, int fd);

#endif
