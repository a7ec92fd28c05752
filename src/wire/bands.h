/* SPDX-License-Identifier: MIT
 * The bands of scores of a lock's key, and the limits of the scripts (docs/protocol.md). Pure.
 *
 * They are written here alone: the scripts use these names, and the build puts the numbers in their
 * place (cmake/EmbedScripts.cmake), in text as well as in arithmetic. So each is one INT64_C of
 * plain digits. */
#ifndef REDLOCK_WIRE_BANDS_H
#define REDLOCK_WIRE_BANDS_H

#include <stdint.h>

/* The member that has the last fence; its name is that of the layout. */
#define BAND_FENCE_MEMBER "f1"

/* Below zero: minus (fence + this); minus (an instant in ms + this) for the notes about who bars
 * others; minus an instant in ms for buried hold ids. */
#define FENCE_BAND INT64_C(4000000000000000)
#define NOTE_BAND INT64_C(20000000000000)

/* Above zero: exclusive holders at the end of their lease in ms; shared holders at that plus
 * SHARED_BAND; waiting readers at their arrival in us, which is not below READER_BAND; waiting
 * writers at that plus WRITER_BAND. */
#define SHARED_BAND INT64_C(20000000000000)
#define READER_BAND INT64_C(100000000000000)
#define WRITER_BAND INT64_C(4000000000000000)

#define SPAN_MOST INT64_C(2592000000) /* of a ttl, a claim, a grace, a linger, in ms: 30 days */
#define NUMBER_MOST INT64_C(9007199254740991) /* exact in Lua */
#define FENCE_MOST INT64_C(5000000000000000)  /* so that its score is exact */
#define FENCE_AHEAD_MOST INT64_C(1000000)     /* a hint beyond the clock by more is ignored */
#define QUEUE_MOST INT64_C(65536)             /* waiters */
#define BURIED_MOST INT64_C(1000)             /* buried hold ids */
#define PORTION_MOST INT64_C(1000)            /* of one call, before it says that more are left */
#define PAGE_SIZE_MOST INT64_C(100)           /* waiters that are read, and asked for, at once */

#endif
