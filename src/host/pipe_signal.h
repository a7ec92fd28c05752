/* SPDX-License-Identifier: MIT
 * A write on a pipe or a connection that nobody reads raises SIGPIPE, which would kill a program
 * that never asked for it. Where a write cannot be told to raise none (MSG_NOSIGNAL), it is
 * surrounded by these: the signal is blocked meanwhile, and one that we caused is taken back; one
 * that was pending already is the program's own. */
#ifndef REDLOCK_HOST_PIPE_SIGNAL_H
#define REDLOCK_HOST_PIPE_SIGNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* What is to be restored. */
typedef struct pipe_signal {
    sigset_t mask;
    bool was_pending;
} pipe_signal;

static inline bool pipe_signal_is_pending(void)
{
    sigset_t pending;
    sigemptyset(&pending);
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static inline pipe_signal pipe_signal_defer(void)
{
    pipe_signal before = {.was_pending = pipe_signal_is_pending()};
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &only, &before.mask);
    return before;
}

static inline void pipe_signal_restore(const pipe_signal *before)
{
    if (!before->was_pending && pipe_signal_is_pending()) {
        sigset_t only;
        sigemptyset(&only);
        sigaddset(&only, SIGPIPE);
        sigtimedwait(&only, NULL, &(const struct timespec){0, 0});
    }
    pthread_sigmask(SIG_SETMASK, &before->mask, NULL);
}

#endif
