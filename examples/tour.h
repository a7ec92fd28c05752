/* SPDX-License-Identifier: MIT
 * The tour's parts: the director (tour.c, tour_trouble.c) tells a story with actors (tour_actor.c),
 * each a process with a client of its own; tour_stage.c carries orders and reports, and prints. */
#ifndef TOUR_H
#define TOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <redlock/redlock.h>

#define TOUR_LOCK "tour:till"

/* ---- What passes between the director and an actor --------------------------------------------*/

enum verb {
    ACQUIRE,
    RELEASE,
    LOOK,      /* at the lock: is it held, how many wait, how many renewals were there */
    AWAIT_LOSS /* until on_lost is called */
};

struct order {
    enum verb verb;
    int64_t ttl_ms, wait_ms;
    bool auto_renew;
};

struct report {
    redlock_status status;
    uint64_t fence;
    int64_t began_us, ended_us; /* on one clock for all processes of this machine */
    bool is_held;
    size_t waiters;
    uint64_t renewals;
};

int64_t now_us(void);

/* An actor's whole life: obeys the orders that come through `fd` until the director is gone. */
void actor_live(const char *name, const char *uri, int fd);

/* ---- The stage --------------------------------------------------------------------------------*/

enum actor_id { ALICE, BOB, CAROL, ACTORS };

/* Forks all actors, each of which opens its client afterwards: a client does not survive a fork. */
void stage_open(const char *uri);
void stage_close(void);

void tell(enum actor_id actor, struct order order);
struct report hear(enum actor_id actor);
struct report ask(enum actor_id actor, struct order order); /* tell, then hear */
void send_signal(enum actor_id actor, int number);

void chapter(const char *title);
/* One sentence of what happened, and how long it took (not printed if negative). */
void say(int64_t took_us, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the tour as failed unless it is true. */
void expect(bool is_so, const char *what);

/* ---- The story --------------------------------------------------------------------------------*/

/* Every lock that anyone obtains passes here: its fence must be the highest so far. */
struct report granted(struct report report);
void await_waiter(enum actor_id looker);

static inline int64_t took(struct report report) { return report.ended_us - report.began_us; }

void play_crash(void);
void play_renewal(void);
void play_loss(void);

#endif
