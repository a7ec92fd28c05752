/* SPDX-License-Identifier: MIT
 * Who holds a lock, and who waits for it? Ask the server; nobody is disturbed by it. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include <redlock/redlock.h>

static const char name[] = "example:inspect";

static void *wait_in_line(void *client)
{
    redlock_lock *lock;
    redlock_status st = redlock_acquire(client, name, REDLOCK_OPTIONS(.wait_ms = 10000), &lock);
    if (st == REDLOCK_OK) st = redlock_release(lock);
    return st == REDLOCK_OK ? client : NULL;
}

static void say(const redlock_party *party)
{
    if (party->is_holder) printf("%s holds it, %" PRId64 " ms left\n", party->who, party->lease_ms);
    else printf("%s has waited %" PRId64 " ms\n", party->who, party->waited_ms);
}

/* Looks until somebody waits, then prints everyone. */
static bool look(redlock_client *client, const redlock_lock *lock)
{
    while (redlock_is_held(lock)) {
        redlock_inspection *seen;
        if (redlock_inspect(client, name, sizeof name - 1, &seen, NULL) != REDLOCK_OK) return false;
        bool somebody_waits = seen->waiters > 0;
        for (size_t i = 0; somebody_waits && i < seen->party_count; i++) say(&seen->parties[i]);
        redlock_inspection_free(seen);
        if (somebody_waits) return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    redlock_client *alice, *bob;
    if (redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.name = "alice"), &alice) != REDLOCK_OK ||
        redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.name = "bob"), &bob) != REDLOCK_OK)
        return 1;
    redlock_lock *lock;
    pthread_t thread;
    if (redlock_acquire(alice, name, NULL, &lock) != REDLOCK_OK ||
        pthread_create(&thread, NULL, wait_in_line, bob) != 0)
        return 1;

    bool has_looked = look(alice, lock);
    bool is_released = redlock_release(lock) == REDLOCK_OK; /* hands the lock to bob */
    void *bob_was_served;
    pthread_join(thread, &bob_was_served);
    redlock_close(bob);
    redlock_close(alice);
    return has_looked && is_released && bob_was_served != NULL ? 0 : 1;
}
