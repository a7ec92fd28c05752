/* SPDX-License-Identifier: MIT
 * Are we still in the process that opened the client? */
#ifndef REDLOCK_HOST_FORK_H
#define REDLOCK_HOST_FORK_H

#include <stdbool.h>
#include <sys/types.h>

/* A page that the kernel wipes in a child of fork (MADV_WIPEONFORK, Linux 4.14), so that asking
 * costs one load; where there is none, the process id is compared. No pthread_atfork: that is
 * process-wide. */
typedef struct fork_guard {
    volatile unsigned char *page; /* NULL: compare pids */
    pid_t pid;
} fork_guard;

void fork_guard_open(fork_guard *self);
void fork_guard_close(fork_guard *self);
bool fork_guard_is_child(const fork_guard *self);

#endif
