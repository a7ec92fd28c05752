/* SPDX-License-Identifier: MIT
 * A model of one lock on the server, written from docs/protocol.md: who holds it, who waits, what
 * is buried, and the notes about who keeps others out.
 * Rule: pure. The server's time is an argument, and who is heard is a field; no clock, socket or
 * allocation. */
#ifndef REDLOCK_TESTS_MODEL_LOCK_H
#define REDLOCK_TESTS_MODEL_LOCK_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MEMBER_SIZE = 112,
    ID_SIZE = 40,
    HOLDERS_MOST = 32,
    WAITERS_MOST = 32,
    BURIED_SIZE = 32,
    TOLD_MOST = 32
};

enum kind { EXCLUSIVE = 1, SHARED = 2 };

/* Whoever takes the lock: the three fields, and what they consist of. */
typedef struct person {
    char member[MEMBER_SIZE];
    char owner[ID_SIZE], hold_id[ID_SIZE];
} person;

/* How somebody asks: mode, claim and channel. `kind` is 0 when the text is no mode. */
typedef struct wish {
    enum kind kind;
    char policy;      /* 'f', 'w', or 0: readers first */
    int64_t limit;    /* 0: none */
    int64_t claim_ms; /* 0: it does not queue */
    char mode[16], channel[48];
} wish;

typedef struct holder {
    person who;
    enum kind kind;
    int64_t ends_ms;
} holder;

typedef struct waiter {
    char member[2 * MEMBER_SIZE];
    person who;
    wish how;
    int64_t arrival_us;
} waiter;

/* A buried hold id, or a note about one: until when. */
typedef struct mark {
    char hold_id[ID_SIZE];
    int64_t ends_ms;
} mark;

/* What one call may do at the most. */
typedef struct limits {
    int portion, page, buried, queue;
} limits;

typedef struct lock {
    const limits *bounds;
    int64_t fence; /* 0: there is no key */
    holder holders[HOLDERS_MOST];
    waiter waiters[WAITERS_MOST];
    mark buried[BURIED_SIZE], notes[WAITERS_MOST];
    int holder_count, waiter_count, buried_count, note_count;
} lock;

/* One message to a waiter. */
typedef struct grant {
    char channel[48];
    char text[256];
} grant;

/* What a call knows and does besides the lock itself. */
typedef struct call_state {
    lock *on;
    const char *key;
    int64_t now_us, now_ms;
    bool (*is_heard)(void *by, const char *channel);
    void *by;
    bool
        is_thorough; /* a release that leaves others behind takes out whoever of them has expired */
    enum kind left;  /* what left last; 0: nobody knows */
    bool is_batch;
    char
        self[2 * MEMBER_SIZE]; /* the waiter that asks: it is told by the answer, and is not dead */
    int64_t self_lease_ms, hint;
    /* What came of it. */
    int64_t granted;   /* the fence that `self` was given; 0: it was not let in */
    int let_in, gone;  /* waiters: let in; let in or dropped */
    int64_t barred_ms; /* for so long another waiter may still keep others out; -1: none does */
    grant told[TOLD_MOST];
    int told_count;
} call_state;

/* ---- Reading */

person person_of(const char *member);
/* A mode, and "<claim ms> <channel>" or "". */
wish wish_of(const char *mode, const char *inbox);
bool is_same_client(const char *hold_id, const char *other);

/* ---- Looking */

holder *find_holder(lock *self, const char *member);
bool is_live(const holder *it, int64_t now_ms);
int count_live(const lock *self, enum kind kind, int64_t now_ms);
waiter *find_waiter(lock *self, const char *member);
int count_waiting(const lock *self, enum kind kind);
/* The first of a kind; NULL: none. `behind` NULL: of all, else the next after it. */
waiter *next_waiting(lock *self, enum kind kind, const waiter *behind);
mark *find_mark(mark *from, int count, const char *hold_id);

/* ---- Changing */

void put_holder(lock *self, const person *who, enum kind kind, int64_t ends_ms);
void remove_holder(lock *self, holder *it);
void add_waiter(lock *self, const waiter *it);
void take_from_line(lock *self, waiter *it);
/* The same, and forgets the note about it. */
void remove_waiter(lock *self, waiter *it);
void forget_note(lock *self, const char *hold_id);
void set_note(lock *self, const char *hold_id, int64_t ends_ms);
void bury(lock *self, const char *hold_id, int64_t ms, int64_t now_us);
/* Takes out whoever is over, and sends the waiters of the same clients to the end. What left; 0:
 * nobody. */
enum kind purge(lock *self, int64_t now_us);
void erase(lock *self);

/* ---- handover.c */

/* Lets in whoever may enter. */
void serve(call_state *self);

#endif
