/* SPDX-License-Identifier: MIT
 * The small world that the explorer walks through: one hold of ours on one server, two threads and
 * a keeper that ask about it, somebody else who wants the same lock, and a network that loses,
 * cuts, repeats and delivers late. Only what makes a difference is in it; time is what has passed,
 * not how much. A world is plain bytes, all of which count: equal bytes are the same state.
 *
 * The server is a few lines (server.c), the hold is the library's own engine/tenure, and around it
 * stand the rules that its callers keep (client.c). */
#ifndef REDLOCK_EXPLORE_WORLD_H
#define REDLOCK_EXPLORE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/tenure.h"

enum place { NOWHERE, SHARED, EXCLUSIVE }; /* where the hold stands on the server */
enum other { NOBODY, READER, WRITER };     /* who else is there */
enum act { ACQUIRE, RENEW, DOWNGRADE, UPGRADE, RELEASE, CANCEL };
enum code { DONE, ABSENT, STALE, DEADLOCK, BUSY, BURIED };
enum who { FIRST, SECOND, KEEPER, ASKERS };
enum phase { IDLE, SENT, EXECUTED, ANSWERED }; /* ANSWERED: read, and not yet judged */
enum { LATE_MOST = 3 };

typedef struct site {
    uint8_t place, other, fence;
    bool is_buried;   /* the hold id */
    bool is_ahead;    /* the lease is longer than what we know of */
    bool has_run_out; /* the lease: the hold may be forgotten at any moment */
} site;

typedef struct message {
    uint8_t act, kind, fence;
    bool buries;
    bool is_old; /* a lease counted from its sending has passed */
} message;

typedef struct asker {
    uint8_t phase, attempts, code;
    bool is_entry; /* an upgrade that a nested acquire asked for */
    bool was_cut;  /* an earlier attempt was, and may be carried out */
    bool is_alone; /* no other conversion was under way while this one was */
    uint8_t told_fence, told_kind;
    uint8_t own_fence; /* of the hold, when the question left */
    message asks;
} asker;

typedef struct world {
    tenure hold;
    site server, snapshot;
    asker askers[ASKERS];
    message late[LATE_MOST];
    uint8_t late_count, entries;
    uint8_t minted; /* the last fence that was ever given out */
    uint8_t calls, others, lapses, closes, forces, losses; /* how many there may still be */
    bool has_snapshot;
    bool is_time_up;                /* valid_until has passed */
    bool is_owed;                   /* an attempt to acquire was cut, and may be carried out */
    bool was_forced, has_lost_data; /* then two may believe, until it is heard of */
    bool has_believed, has_ended, was_told_lost, is_promised_shared;
} world;

/* What the explorer may break, to prove that it would find it: one bit each. */
enum rule {
    RULE_CONVERSIONS_NAME_A_FENCE,
    RULE_A_DOWNGRADE_OF_SHARED_MINTS,
    RULE_AN_UPGRADE_OF_EXCLUSIVE_MINTS,
    RULE_A_DEADLOCK_MINTS,
    RULE_WHAT_IS_SENT_IS_IN_DOUBT,
    RULE_THE_NEWEST_VERSION_IS_KNOWN,
    RULE_A_LATE_ANSWER_MEANS_NOTHING,
    RULE_NO_ANSWER_BRINGS_BELIEF_BACK,
    RULE_AN_UNDO_BURIES,
    RULE_A_RELEASE_BURIES,
    RULE_GONE_AND_OWED_IS_UNDONE,
    RULE_A_BUSY_AFTER_A_CUT_IS_OWED,
    RULE_WHAT_IS_UNANSWERED_IS_UNDONE,
    RULE_OK_IS_FOR_THE_HELD,
    RULE_A_CALL_PINS,
    RULE_LOST_DATA_IS_NOTICED,
    RULE_KIND_IS_KNOWN_WHEN_IT_IS_SETTLED,
    RULES
};
extern uint32_t broken_rules;
static inline bool keeps(enum rule which) { return (broken_rules >> which & 1) == 0; }

/* The first thing that was wrong since it was set to NULL. */
extern const char *fault;
void found(const char *what);

/* server.c: carries a request out; what it tells goes to `from`, which may be NULL. */
void server_execute(world *w, const message *asks, asker *from);
uint8_t server_mint(world *w); /* a fence that was never given out, also after a loss of data */

/* client.c */
bool is_believed(const world *w);
bool client_begin(world *w, enum who who, enum act act, bool is_entry,
                  bool is_sent); /* false: answered at once */
void client_release(world *w, enum who who);
void client_attend(world *w); /* what the keeper asks */
void client_judge(world *w, enum who who, bool is_answered);
void client_move(world *w, enum tenure_event what);

/* moves.c: every world that may follow, in an order of its own. */
typedef void follow_fn(void *arg, const world *next, const char *how);
void moves_each(const world *from, follow_fn *tell, void *arg);
bool comes_to_rest(const world *from);

#endif
