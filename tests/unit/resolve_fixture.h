/* SPDX-License-Identifier: MIT
 * What tests of look-ups share. Included by the tests of net/resolve alone. */
#ifndef REDLOCK_TESTS_RESOLVE_FIXTURE_H
#define REDLOCK_TESTS_RESOLVE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>

#include "net/resolve.h"

enum { PATIENCE_MS = 20000 };

static inline uint16_t port_of(const address *at)
{
    if (at->storage.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&at->storage)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&at->storage)->sin_port);
}

static inline void await(const lookup *self)
{
    struct pollfd wait = {.fd = lookup_fd(self), .events = POLLIN};
    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
}

/* Until lookup_poll is true. */
static inline void await_answer(lookup *self, address_list *out, const char **error)
{
    do await(self);
    while (!lookup_poll(self, out, error));
}

static inline int entries_in(const char *directory)
{
    int count = 0;
    DIR *all = opendir(directory);
    assert_non_null(all);
    while (readdir(all) != NULL) count++;
    closedir(all);
    return count;
}

static inline int open_descriptors(void) { return entries_in("/proc/self/fd"); }

static int descriptors_at_first;

/* A thread that was left behind ends its reference, and its descriptor, when it gets to it. */
static inline void await_nothing_left(void)
{
    for (int waited = 0; open_descriptors() > descriptors_at_first; waited++) {
        assert_in_range(waited, 0, PATIENCE_MS);
        poll(NULL, 0, 1);
    }
}

#endif
