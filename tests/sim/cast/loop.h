/* SPDX-License-Identifier: MIT
 * The event loop of a client of the hosts DELIVER and MANUAL: a thread of the user's that polls the
 * client's descriptor, and calls redlock_process when it is readable. */
#ifndef REDLOCK_TESTS_SIM_CAST_LOOP_H
#define REDLOCK_TESTS_SIM_CAST_LOOP_H

#include <stdbool.h>

#include <redlock/redlock.h>

#include "sim/dice.h"

typedef struct loop {
    redlock_client *client;
    int machine;
    bool asks_for_timeout; /* of the client, besides its descriptor */
    int late_permille;     /* how often it is busy elsewhere ... */
    int64_t late_most_us;  /* ... and for how long */
    dice lateness;
    void (*closed)(void *arg);
    void *arg;
    int stop_fd;
    bool is_running;
} loop;

/* `closed` is called when a completion has closed the client; then the loop ends by itself. */
void loop_start(loop *self, void (*closed)(void *arg), void *arg);
/* Ends it, and waits for its end: then the client may be closed. One that does not run is left
 * alone. */
void loop_stop(loop *self);

#endif
