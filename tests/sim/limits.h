/* SPDX-License-Identifier: MIT
 * The limits of src/wire/bands.h that the scripts of this program were built with. */
#ifndef REDLOCK_TESTS_SIM_LIMITS_H
#define REDLOCK_TESTS_SIM_LIMITS_H

typedef struct script_limits {
    int portion; /* PORTION_MOST */
    int queue;   /* QUEUE_MOST */
} script_limits;

extern const script_limits limits;

#endif
