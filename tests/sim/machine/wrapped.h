/* SPDX-License-Identifier: MIT
 * The real functions behind those that the linker puts the simulator's in the place of. The names
 * are the linker's. */
#ifndef REDLOCK_TESTS_SIM_MACHINE_WRAPPED_H
#define REDLOCK_TESTS_SIM_MACHINE_WRAPPED_H

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <time.h>

#define WRAPPED(result, name, arguments)                                                           \
    result __real_##name arguments;                                                                \
    result __wrap_##name arguments;

WRAPPED(int, clock_gettime, (clockid_t, struct timespec *))
WRAPPED(ssize_t, getrandom, (void *, size_t, unsigned))
WRAPPED(pid_t, getpid, (void))
WRAPPED(int, gethostname, (char *, size_t))
WRAPPED(long, sysconf, (int))
WRAPPED(void *, mmap, (void *, size_t, int, int, int, off_t))
WRAPPED(int, munmap, (void *, size_t))
WRAPPED(int, madvise, (void *, size_t, int))
WRAPPED(int, eventfd, (unsigned, int))
WRAPPED(ssize_t, write, (int, const void *, size_t))
WRAPPED(ssize_t, read, (int, void *, size_t))
WRAPPED(int, socket, (int, int, int))
WRAPPED(int, connect, (int, const struct sockaddr *, socklen_t))
WRAPPED(int, close, (int))
WRAPPED(int, getsockopt, (int, int, int, void *, socklen_t *))
WRAPPED(int, setsockopt, (int, int, int, const void *, socklen_t))
WRAPPED(int, getsockname, (int, struct sockaddr *, socklen_t *))
WRAPPED(int, getpeername, (int, struct sockaddr *, socklen_t *))
WRAPPED(int, fcntl, (int, int, ...))
WRAPPED(ssize_t, send, (int, const void *, size_t, int))
WRAPPED(ssize_t, recv, (int, void *, size_t, int))
WRAPPED(int, ppoll, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *))
WRAPPED(int, poll, (struct pollfd *, nfds_t, int))
WRAPPED(int, timerfd_create, (clockid_t, int))
WRAPPED(int, timerfd_settime, (int, int, const struct itimerspec *, struct itimerspec *))
WRAPPED(int, epoll_create1, (int))
WRAPPED(int, epoll_ctl, (int, int, int, struct epoll_event *))

WRAPPED(int, pthread_create, (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))
WRAPPED(int, pthread_join, (pthread_t, void **))
WRAPPED(uint64_t, redlock_private_thread_number, (void))
WRAPPED(int, pthread_sigmask, (int, const sigset_t *, sigset_t *))
WRAPPED(int, pthread_mutex_init, (pthread_mutex_t *, const pthread_mutexattr_t *))
WRAPPED(int, pthread_mutex_destroy, (pthread_mutex_t *))
WRAPPED(int, pthread_mutex_lock, (pthread_mutex_t *))
WRAPPED(int, pthread_mutex_unlock, (pthread_mutex_t *))
WRAPPED(int, pthread_cond_init, (pthread_cond_t *, const pthread_condattr_t *))
WRAPPED(int, pthread_cond_destroy, (pthread_cond_t *))
WRAPPED(int, pthread_cond_wait, (pthread_cond_t *, pthread_mutex_t *))
WRAPPED(int, pthread_cond_signal, (pthread_cond_t *))
WRAPPED(int, pthread_cond_broadcast, (pthread_cond_t *))

#undef WRAPPED

#endif
