/* SPDX-License-Identifier: MIT
 * The tour's harder chapters: a crash, a long job, a frozen holder. Where the story needs time to
 * pass, it is a lease that has to end, and the printed text says so. */
#define _POSIX_C_SOURCE 200809L
#include "tour.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>

static uint64_t till_fence; /* the highest that wrote to the till, which the lock protects */

static bool till_accepts(uint64_t fence)
{
    if (fence < till_fence) return false;
    till_fence = fence;
    return true;
}

void play_crash(void)
{
    chapter("3. A crash: the holder is killed");
    struct report carol =
        granted(ask(CAROL, (struct order){.verb = ACQUIRE, .ttl_ms = 500, .auto_renew = true}));
    say(took(carol), "carol takes the lock with a lease of 500 ms, which renews itself.");
    tell(ALICE, (struct order){.verb = ACQUIRE, .ttl_ms = 10000, .wait_ms = 10000});
    await_waiter(BOB);
    int64_t killed_us = now_us();
    send_signal(CAROL, SIGKILL);
    say(-1, "alice waits. carol dies by SIGKILL; nobody can release for her now.");
    struct report alice = granted(hear(ALICE));
    say(alice.ended_us - killed_us, "Her lease has to end first. Then alice has the lock.");
    expect(ask(ALICE, (struct order){.verb = RELEASE}).status == REDLOCK_OK, "alice releases");
}

void play_renewal(void)
{
    chapter("4. Renewal: a job that is longer than its lease");
    uint64_t before = ask(ALICE, (struct order){.verb = LOOK}).renewals;
    granted(ask(ALICE, (struct order){.verb = ACQUIRE, .ttl_ms = 500, .auto_renew = true}));
    say(-1, "alice takes such a lock too, and has work for 1600 ms, three times the lease.");
    int64_t began_us = now_us();
    poll(NULL, 0, 1600); /* her work: three leases must pass */
    struct report alice = ask(ALICE, (struct order){.verb = LOOK});
    expect(alice.is_held, "alice still holds the lock");
    say(now_us() - began_us, "She has renewed it %d times, and it is still hers.",
        (int)(alice.renewals - before));
    struct report bob = ask(BOB, (struct order){.verb = ACQUIRE, .ttl_ms = 500});
    expect(bob.status == REDLOCK_BUSY, "the lock is busy for bob");
    say(took(bob), "bob tries once: busy.");
    expect(ask(ALICE, (struct order){.verb = RELEASE}).status == REDLOCK_OK, "alice releases");
}

/* Leaves alice and bob both in the belief of a lock; hers is stale. */
static void freeze(void)
{
    struct order leased = {.verb = ACQUIRE, .ttl_ms = 500, .wait_ms = 10000, .auto_renew = true};
    struct report alice = granted(ask(ALICE, leased));
    expect(till_accepts(alice.fence), "the till accepts alice's fence");
    say(-1, "alice holds the lock and writes to the till with fence %" PRIu64 ".", alice.fence);
    int64_t frozen_us = now_us();
    send_signal(ALICE, SIGSTOP);
    say(-1, "alice is frozen by SIGSTOP, as by a debugger or a long pause: nobody renews.");
    struct report bob = granted(ask(BOB, leased));
    say(bob.ended_us - frozen_us, "bob waited until her lease had ended, and has the lock.");
    expect(till_accepts(bob.fence), "the till accepts bob's fence");
    say(-1, "bob writes to the till with fence %" PRIu64 ".", bob.fence);
}

void play_loss(void)
{
    chapter("5. A lost lock is reported, and a stale holder does no harm");
    freeze();
    int64_t woken_us = now_us();
    send_signal(ALICE, SIGCONT);
    struct report alice = ask(ALICE, (struct order){.verb = AWAIT_LOSS});
    expect(!alice.is_held, "alice knows that the lock is not hers");
    say(alice.ended_us - woken_us, "alice wakes up. Her on_lost callback is called.");
    expect(!till_accepts(alice.fence), "the till refuses alice's fence");
    say(-1, "Had she not listened: the till refuses her older fence.");
    alice = ask(ALICE, (struct order){.verb = RELEASE});
    expect(alice.status == REDLOCK_LOST, "alice's release says that the lock was lost");
    say(took(alice), "alice releases: \"%s\".", redlock_strerror(alice.status));
    expect(ask(BOB, (struct order){.verb = LOOK}).is_held, "bob still holds the lock");
    struct report bob = ask(BOB, (struct order){.verb = RELEASE});
    expect(bob.status == REDLOCK_OK, "bob releases");
    say(took(bob), "bob, whose lock that did not touch, releases.");
}
