/* SPDX-License-Identifier: MIT
 * What the workers that live as long as the campaign need: memory and descriptors, measured while
 * they rest. */
#ifndef REDLOCK_TESTS_FAULTS_SOAK_H
#define REDLOCK_TESTS_FAULTS_SOAK_H

#include "faults/crew.h"

typedef struct footprint {
    long memory_kb[WORKERS]; /* of their own: what they share with the campaign does not count */
    long descriptors[WORKERS];
} footprint;

typedef struct growth {
    long memory_kb, descriptors; /* of the worker that grew most; not below 0 */
} growth;

footprint soak_measure(const crew *self);
growth soak_compare(const footprint *first, const footprint *last);

#endif
