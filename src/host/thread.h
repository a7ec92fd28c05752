/* SPDX-License-Identifier: MIT
 * Which thread is this? And how the library starts its own. */
#ifndef REDLOCK_HOST_THREAD_H
#define REDLOCK_HOST_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* The calling thread's number, from 1: unlike pointers and kernel ids it is never used again by
 * another thread of this process. */
uint64_t thread_number(void);

/* Starts a thread to which the program's signals are not delivered, so that its handlers run on its
 * own threads; but those that a fault of this thread raises are (SIGSEGV and its like): a callback
 * that crashes reaches the handler. `attributes` may be NULL. Zero, or why not, as an errno. */
int thread_start(pthread_t *out, const pthread_attr_t *attributes, void *(*body)(void *),
                 void *arg);

#endif
