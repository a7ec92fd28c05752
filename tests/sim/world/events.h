/* SPDX-License-Identifier: MIT
 * What is to happen at which instant. Rule: of two events at one instant, the one that was planned
 * first comes first. */
#ifndef REDLOCK_TESTS_SIM_WORLD_EVENTS_H
#define REDLOCK_TESTS_SIM_WORLD_EVENTS_H

#include <stddef.h>
#include <stdint.h>

typedef void event_fn(void *subject, void *detail, size_t size);

void events_begin(void);
void event_at(int64_t instant_us, event_fn *happens, void *subject, void *detail, size_t size);
/* SIM_NEVER when nothing is to come. */
int64_t events_next_us(void);
/* Lets the next one happen, at the instant that the clock was set to. */
void events_happen(void);
/* All that happened so far, in one number: what differs anywhere soon differs here. */
uint64_t events_digest(void);

#endif
