/* SPDX-License-Identifier: MIT
 * How long does acquire wait? As wait_ms says: not at all, up to a deadline, or for ever. */
#include <inttypes.h>
#include <stdio.h>

#include <redlock/redlock.h>

/* One try of bob's; says what came of it. */
static redlock_status ask(redlock_client *bob, int64_t wait_ms, redlock_lock **lock)
{
    redlock_status st = redlock_acquire(bob, "example:wait",
                                        REDLOCK_OPTIONS(.ttl_ms = 5000, .wait_ms = wait_ms), lock);
    printf("bob waits at most %" PRId64 " ms: %s\n", wait_ms, redlock_strerror(st));
    return st;
}

/* alice holds the lock until she releases it; bob wants it. True if bob was told the truth. */
static bool play(redlock_client *alice, redlock_client *bob)
{
    redlock_lock *hers, *his;
    if (redlock_acquire(alice, "example:wait", NULL, &hers) != REDLOCK_OK) return false;

    redlock_status at_once = ask(bob, 0, &his);   /* his is NULL: nothing is held, ... */
    redlock_status in_time = ask(bob, 200, &his); /* ... and bob left no place in the queue */
    redlock_status released = redlock_release(hers);
    redlock_status in_the_end = ask(bob, 200, &his);

    return at_once == REDLOCK_BUSY && in_time == REDLOCK_TIMED_OUT && released == REDLOCK_OK &&
           in_the_end == REDLOCK_OK && redlock_release(his) == REDLOCK_OK;
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";

    redlock_client *alice = NULL, *bob = NULL;
    bool is_good = redlock_open(uri, NULL, &alice) == REDLOCK_OK &&
                   redlock_open(uri, NULL, &bob) == REDLOCK_OK && play(alice, bob);
    redlock_close(bob);
    redlock_close(alice);
    if (!is_good) fprintf(stderr, "wait: that is not what should have happened\n");
    return is_good ? 0 : 1;
}
