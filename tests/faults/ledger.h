/* SPDX-License-Identifier: MIT
 * What the workers write down, in memory that all processes of the campaign share.
 *
 *     asked       enter                                leave        settled
 *       |-----------|------------ the section -----------|------------|
 *       acquire     written down, and counted            release      answered
 *
 * Rule: a section is complete here before it is counted, and each field has one writer, so that a
 * worker may be killed at any instant. Instants are of CLOCK_BOOTTIME, in microseconds; 0 is
 * never. */
#ifndef REDLOCK_TESTS_FAULTS_LEDGER_H
#define REDLOCK_TESTS_FAULTS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <redlock/redlock.h>

enum { NAMES = 4, SEATS = 16, SECTIONS_MOST = 1 << 15, STATUS_LEAST = -31, STATUSES = 64 };

/* One critical section, in one mode: a conversion ends it and begins another. */
typedef struct section {
    uint64_t fence;
    int64_t asked_us; /* before the request could leave */
    int64_t enter_us;
    bool is_continued; /* with the fence of the section before it: a conversion of the same hold was
                          refused */
    int64_t until_us;  /* the latest instant up to which the library promised the lock */
    int64_t leave_us;  /* never: it was killed inside */
    int64_t lost_us;   /* when the lock was first seen to be ours no longer */
    int64_t told_us;   /* on_lost */
    int64_t settled_us;       /* when the release was answered; never after a conversion */
    int64_t stall_us;         /* how long the process was kept from running, from entry on */
    int64_t first_written_us; /* not before the resource accepted the first write ... */
    int64_t last_written_us;  /* ... and not after it accepted the last one */
    int64_t most_left_ms;     /* the longest that the lock was ever said to last */
    int64_t ttl_ms;
    int32_t released;         /* the status of the release */
    uint32_t refused;         /* writes that the resource refused */
    uint32_t permits;         /* 0: no limit */
    uint32_t owner;           /* sections of one owner may be held at once; 0: of nobody else */
    uint8_t name, seat, mode; /* mode: redlock_mode */
} section;

/* What a lock protects: it refuses a fence that is lower than the highest that it has seen. */
typedef struct resource {
    _Atomic uint64_t highest;
} resource;

bool resource_write(resource *self, uint64_t fence);

/* Where one acquisition at a time is made, by whichever process has the seat now. */
typedef struct seat {
    _Atomic int count;        /* of sections */
    _Atomic uint64_t answers; /* acquisitions that ended as they should: this is progress */
    _Atomic uint64_t stale;   /* grants that were over before anybody looked */
    _Atomic uint64_t ended_with[STATUSES]; /* acquisitions, by status - STATUS_LEAST */
    _Atomic bool is_resting;
    section sections[SECTIONS_MOST];
} seat;

enum ledger_order { ORDER_WORK, ORDER_REST, ORDER_GO_HOME };

typedef struct ledger {
    _Atomic int order;
    resource resources[NAMES];
    seat seats[SEATS];
} ledger;

extern const char *const lock_names[NAMES];

/* Zeroed. The descriptor is kept across execv. */
ledger *ledger_create(int *fd);
/* NULL when it cannot be mapped. */
ledger *ledger_map(int fd);

int64_t boot_us(void);

#endif
