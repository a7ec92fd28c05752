/* SPDX-License-Identifier: MIT
 * A thread that is cancelled (pthread_cancel) inside of a call would take with it what it has
 * borrowed: a lane, a mutex, a place in a gate. So what may be a cancellation point is surrounded
 * by these, and the thread ends behind the call. */
#ifndef REDLOCK_HOST_CANCELLATION_H
#define REDLOCK_HOST_CANCELLATION_H

#include <pthread.h>

/* What is to be restored. */
static inline int cancellation_defer(void)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void cancellation_restore(int before) { pthread_setcancelstate(before, &before); }

#endif
