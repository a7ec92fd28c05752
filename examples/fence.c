/* SPDX-License-Identifier: MIT
 * What if a holder is paused, loses the lock, and then goes on writing? The resource remembers the
 * highest fence it has seen, and refuses a lower one. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include <redlock/redlock.h>

/* What the lock protects: a row, a file, a device. Fence and value change in one step. */
struct account {
    uint64_t highest_fence;
    int64_t balance;
};

static bool write_to(struct account *account, const char *who, uint64_t fence, int64_t balance)
{
    bool is_current = fence >= account->highest_fence;
    if (is_current) *account = (struct account){.highest_fence = fence, .balance = balance};
    printf("%s writes with fence %" PRIu64 ": %s\n", who, fence,
           is_current ? "accepted" : "refused");
    return is_current;
}

static bool play(redlock_client *alice, redlock_client *bob, struct account *account)
{
    redlock_options options = {.struct_size = sizeof options, .ttl_ms = 200, .wait_ms = 5000};
    redlock_lock *hers, *his;
    if (redlock_acquire(alice, "example:fence", &options, &hers) != REDLOCK_OK) return false;

    /* alice is paused here (a full disk, a debugger) for longer than her lease ... */
    while (redlock_is_held(hers)) poll(NULL, 0, 10);
    options.ttl_ms = 5000;
    if (redlock_acquire(bob, "example:fence", &options, &his) != REDLOCK_OK) return false;
    bool bob_wrote = write_to(account, "bob  ", redlock_fence(his), 70);
    /* ... and wakes too late. */
    bool alice_wrote = write_to(account, "alice", redlock_fence(hers), 90);

    redlock_status alice_released = redlock_release(hers);
    redlock_status bob_released = redlock_release(his);
    printf("alice releases: %s\nbob releases: %s\n", redlock_strerror(alice_released),
           redlock_strerror(bob_released));
    return bob_wrote && !alice_wrote && account->balance == 70 && alice_released == REDLOCK_LOST &&
           bob_released == REDLOCK_OK;
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    redlock_client *alice = NULL, *bob = NULL;
    struct account account = {0};
    bool is_good = redlock_open(uri, NULL, &alice) == REDLOCK_OK &&
                   redlock_open(uri, NULL, &bob) == REDLOCK_OK && play(alice, bob, &account);
    redlock_close(bob);
    redlock_close(alice);
    return is_good ? 0 : 1;
}
