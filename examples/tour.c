/* SPDX-License-Identifier: MIT
 * A tour for newcomers: what happens when processes share a lock, played by three of them. The
 * director gives the orders, and awaits events rather than sleeping. */
#include "tour.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { HANDOVERS = 101 };

static uint64_t first_fence, last_fence; /* that were given out */
static int grants;

struct report granted(struct report report)
{
    expect(report.status == REDLOCK_OK && report.is_held, "the lock is acquired");
    expect(report.fence > last_fence, "every fence is higher than the one before");
    if (grants++ == 0) first_fence = report.fence;
    last_fence = report.fence;
    return report;
}

void await_waiter(enum actor_id looker)
{
    while (ask(looker, (struct order){.verb = LOOK}).waiters == 0) continue;
}

static void contention(void)
{
    chapter("1. Two processes want the same lock");
    struct report alice = granted(ask(ALICE, (struct order){.verb = ACQUIRE, .ttl_ms = 10000}));
    say(took(alice), "alice asks for the lock, and has it.");
    struct report bob = ask(BOB, (struct order){.verb = ACQUIRE, .ttl_ms = 10000});
    expect(bob.status == REDLOCK_BUSY, "bob is told that the lock is busy");
    say(took(bob), "bob tries once: busy. He is told so, and nothing more happens.");
    bob = ask(BOB, (struct order){.verb = ACQUIRE, .ttl_ms = 10000, .wait_ms = 100});
    expect(bob.status == REDLOCK_TIMED_OUT, "bob's wait times out");
    say(took(bob), "bob waits at most 100 ms: his time is up, and he left the queue.");
}

static int by_size(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* `waiter` waits until `holder` releases; how long from that call until the waiter runs? */
static int64_t hand_over(enum actor_id holder, enum actor_id waiter)
{
    tell(waiter, (struct order){.verb = ACQUIRE, .ttl_ms = 10000, .wait_ms = 10000});
    await_waiter(holder);
    struct report released = ask(holder, (struct order){.verb = RELEASE});
    expect(released.status == REDLOCK_OK, "the holder releases");
    return granted(hear(waiter)).ended_us - released.began_us;
}

/* alice holds the lock before and bob after, since HANDOVERS is odd. */
static void handover(void)
{
    chapter("2. Handover: whoever releases passes the lock to the next in the queue");
    int64_t times[HANDOVERS];
    times[0] = hand_over(ALICE, BOB);
    say(times[0], "bob queues. alice releases: that makes bob the holder, and he runs.");
    for (int i = 1; i < HANDOVERS; i++)
        times[i] = i % 2 == 1 ? hand_over(BOB, ALICE) : hand_over(ALICE, BOB);
    qsort(times, HANDOVERS, sizeof times[0], by_size);
    say(times[HANDOVERS / 2], "They pass it to and fro. The median of %d handovers:", HANDOVERS);
    expect(ask(BOB, (struct order){.verb = RELEASE}).status == REDLOCK_OK, "bob releases");
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    printf("Three processes, alice, bob and carol, share a lock. On the right: time taken.\n");
    fflush(stdout); /* what is not written yet would be written by each child of a fork, too */
    stage_open(uri);
    contention();
    handover();
    play_crash();
    play_renewal();
    play_loss();
    chapter("6. Fences: every holder's number is higher than that of every holder before");
    say(-1, "%d times the lock was obtained, and each fence was higher than the last:", grants);
    say(-1, "from %" PRIu64 " to %" PRIu64 ".", first_fence, last_fence);
    stage_close();
    return 0;
}
