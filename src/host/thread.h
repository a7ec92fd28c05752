/* SPDX-License-Identifier: MIT
 * Which thread is this? */
#ifndef REDLOCK_HOST_THREAD_H
#define REDLOCK_HOST_THREAD_H

#include <stdint.h>

/* The calling thread's number, from 1: unlike pointers and kernel ids it is never used again by another thread
 * of this process. */
uint64_t thread_number(void);

#endif
