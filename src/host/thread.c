/* SPDX-License-Identifier: MIT
 * Thread numbers, and threads of the library's own. */
#include "host/thread.h"

#include <signal.h>
#include <stdatomic.h>

static _Atomic uint64_t threads_seen;
static _Thread_local uint64_t this_thread;

uint64_t thread_number(void)
{
    if (this_thread == 0) this_thread = atomic_fetch_add(&threads_seen, 1) + 1;
    return this_thread;
}

/* What the kernel raises in the thread that is at fault. */
static void spare_faults(sigset_t *from)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(from, faults[i]);
}

/* A thread inherits the mask of the one that starts it. */
int thread_start(pthread_t *out, const pthread_attr_t *attributes, void *(*body)(void *), void *arg)
{
    sigset_t most, before;
    sigfillset(&most);
    spare_faults(&most);
    pthread_sigmask(SIG_SETMASK, &most, &before);
    int error = pthread_create(out, attributes, body, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
