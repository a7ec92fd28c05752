/* SPDX-License-Identifier: MIT
 * How much is done at a time where there may be very much to do. The simulator is built a second
 * time with the smallest portions, so that what happens between two of them is tested without ten
 * thousand operations. */
#ifndef REDLOCK_HOST_PORTION_H
#define REDLOCK_HOST_PORTION_H

#ifdef REDLOCK_SMALLEST_PORTIONS
#define PORTION(usual, smallest) (smallest)
#else
#define PORTION(usual, smallest) (usual)
#endif

#endif
