/* SPDX-License-Identifier: MIT
 * What the campaign tells: the figures, and the records behind a broken promise. */
#ifndef REDLOCK_TESTS_FAULTS_REPORT_H
#define REDLOCK_TESTS_FAULTS_REPORT_H

#include "faults/checker.h"
#include "faults/soak.h"

enum { FAULTS_MOST = 1 << 14 };

typedef struct fault {
    const char *kind;
    int64_t from_us, to_us;
} fault;

typedef struct report {
    int64_t began_us; /* instants are told from here on */
    fault *faults;    /* so far */
    int fault_count, kind_count;
    long sections, shared, killed, refused, lost, stale, stuck, leaked_keys, surprises, crashes;
    findings found;
    growth growth;
    int64_t recovery_ms; /* the longest that it took until all made progress after a fault */
    int told;            /* findings told in full */
} report;

/* A checker_tell; `arg` is the report. */
void report_finding(void *arg, const char *what, const section *one, const section *other);

/* One line for a day's work. */
void report_day(const report *self, const char *what, int faults, long sections,
                const findings *found);

/* How many acquisitions ended with which status. Counts in `surprises` those that no fault
 * explains. */
void report_statuses(report *self, const ledger *from);

/* The last line; was every promise kept? */
bool report_end(const report *self, uint64_t seed);

#endif
