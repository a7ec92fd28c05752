/* SPDX-License-Identifier: MIT
 * Judges what the workers wrote down. Pure: sections in, findings out. In short:
 *
 * overlaps        two sections of one lock were believed in at once that exclude each other, or a
 *                 reader entered beside as many as its permits. A section is believed in from its
 *                 entry to the end of its promise, or until it left; one that was killed keeps what
 *                 was promised to it.
 * falling fences  a section entered with a fence that is not higher than that of an earlier one
 *                 (shared sections, and those of one owner, may share a fence)
 * overstays       a section was promised more than its lease, went on beyond its promise, was told
 *                 of the loss too late or not at all, or was lost and then released as if nothing
 *                 had happened
 * robberies       a lock was lost before its promise had ended
 * stale writes    the resource accepted a write of an older holder after one of a newer holder
 *
 * Where the server lost its data, an overlap, a robbery or a fence is excused if the loss came
 * between the two: the first may have been granted before, and the second after it. An overlap is
 * excused for the length of a lease, and a fence only if it is shared, with a holder whom the
 * server remembers again. Nothing excuses an overstay or a stale write. */
#ifndef REDLOCK_TESTS_FAULTS_CHECKER_H
#define REDLOCK_TESTS_FAULTS_CHECKER_H

#include <stddef.h>

#include "faults/ledger.h"

enum { ALL_NAMES = -1 };

/* The server forgot a lock, at some instant between the two. */
typedef struct loss {
    int64_t from_us, to_us;
    int name; /* or ALL_NAMES */
} loss;

typedef struct evidence {
    section *sections; /* put in order by the checker */
    size_t count;
    const loss *losses;
    size_t loss_count;
    const uint64_t *floors; /* by name: the highest fence of earlier days, when all went home */
    int64_t lateness_us;    /* how late a thread may be that nothing kept from running */
} evidence;

typedef struct findings {
    long overlaps, falling_fences, overstays, robberies, stale_writes;
    long excused; /* by a loss of data */
} findings;

/* Is told each finding; `other` may be NULL. */
typedef void checker_tell(void *arg, const char *what, const section *one, const section *other);

findings check(const evidence *from, checker_tell *tell, void *arg);

#endif
