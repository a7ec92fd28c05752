/* SPDX-License-Identifier: MIT
 * Threads as fibers, in the place of pthreads. A mutex is a word that says whether it is locked.
 * Rule: whoever waits for another thread waits in virtual time. */
#include <stdlib.h>
#include <string.h>

#include "sim/machine/machine.h"
#include "sim/machine/system.h"
#include "sim/machine/wrapped.h"

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *how, void *(*body)(void *),
                          void *argument)
{
    if (system_machine() < 0) return __real_pthread_create(out, how, body, argument);
    *out = fiber_number(fiber_start(system_machine(), body, argument));
    return 0;
}

/* The library joins a thread before it starts another, so the fiber's place is still its own. */
int __wrap_pthread_join(pthread_t which, void **result)
{
    if (system_machine() < 0) return __real_pthread_join(which, result);
    fiber *awaited = fiber_by_number(which);
    if (!fiber_is_over(awaited)) fiber_wait(SIM_NEVER, awaited);
    return 0;
}

/* The library's own name for the thread that calls (host/thread.h). */
uint64_t __wrap_redlock_private_thread_number(void)
{
    return system_machine() < 0 ? __real_redlock_private_thread_number()
                                : fiber_number(fiber_self());
}

int __wrap_pthread_sigmask(int how, const sigset_t *to, sigset_t *before)
{
    return system_machine() < 0 ? __real_pthread_sigmask(how, to, before) : 0;
}

static int *locked(pthread_mutex_t *self) { return (int *)(void *)self; }

int __wrap_pthread_mutex_init(pthread_mutex_t *self, const pthread_mutexattr_t *how)
{
    if (system_machine() < 0) return __real_pthread_mutex_init(self, how);
    memset(self, 0, sizeof *self);
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *self)
{
    return system_machine() < 0 ? __real_pthread_mutex_destroy(self) : 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *self)
{
    if (system_machine() < 0) return __real_pthread_mutex_lock(self);
    while (*locked(self)) {
        if (fiber_self() == NULL) abort();
        fiber_wait(SIM_NEVER, self);
    }
    *locked(self) = 1;
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *self)
{
    if (system_machine() < 0) return __real_pthread_mutex_unlock(self);
    *locked(self) = 0;
    fibers_wake(self);
    return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *self, const pthread_condattr_t *how)
{
    return system_machine() < 0 ? __real_pthread_cond_init(self, how) : 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *self)
{
    return system_machine() < 0 ? __real_pthread_cond_destroy(self) : 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *self, pthread_mutex_t *held)
{
    if (system_machine() < 0) return __real_pthread_cond_wait(self, held);
    __wrap_pthread_mutex_unlock(held);
    fiber_wait(SIM_NEVER, self);
    return __wrap_pthread_mutex_lock(held);
}

int __wrap_pthread_cond_signal(pthread_cond_t *self)
{
    if (system_machine() < 0) return __real_pthread_cond_signal(self);
    fibers_wake(self);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *self)
{
    if (system_machine() < 0) return __real_pthread_cond_broadcast(self);
    fibers_wake(self);
    return 0;
}
