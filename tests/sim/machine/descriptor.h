/* SPDX-License-Identifier: MIT
 * The descriptors of the simulated machines: sockets, eventfds, timerfds and epoll sets. Private to
 * system.c, which has the table of them, and polling.c, which waits for them. */
#ifndef REDLOCK_TESTS_SIM_MACHINE_DESCRIPTOR_H
#define REDLOCK_TESTS_SIM_MACHINE_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/world/network.h"

enum descriptor_kind { DESCRIPTOR_SOCKET, DESCRIPTOR_EVENT, DESCRIPTOR_TIMER, DESCRIPTOR_SET };

enum { SET_MOST = 8 };

typedef struct descriptor {
    bool is_open;
    int machine;
    enum descriptor_kind kind;
    uint64_t count;   /* EVENT */
    int64_t at_us;    /* TIMER: readable from then on, by the machine's clock */
    cable *cable;     /* SOCKET; NULL before it connects */
    bool is_abortive; /* SOCKET: closing it loses what has not arrived (SO_LINGER of 0 s) */
    struct watched_fd {
        int fd;
        uint32_t events;
    } members[SET_MOST]; /* SET */
    int member_count;
} descriptor;

/* NULL for one of the real system's. */
descriptor *descriptor_at(int fd);

/* Opens one on the machine that runs; -1 with errno when there are too many. */
int descriptor_take(enum descriptor_kind kind);

/* Takes a member out of a set, if this is a set and has it. */
bool set_drop(descriptor *self, int fd);

/* -1, and errno. */
int system_fail(int error);

#endif
