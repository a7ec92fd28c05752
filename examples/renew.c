/* SPDX-License-Identifier: MIT
 * How do I hold a lock for longer than its lease, and how do I hear that I lost it? auto_renew
 * keeps it, max_hold_ms bounds a job that is stuck, and on_lost tells before the lease ends. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>

#include <redlock/redlock.h>

/* Runs on the library's thread: it only wakes whoever works. */
static void wake(void *lost, redlock_lock *lock)
{
    (void)lock;
    sem_post(lost);
}

/* A job of 800 ms under a lease of 200 ms. */
static bool work_past_the_lease(redlock_client *client)
{
    redlock_lock *lock;
    redlock_status st = redlock_acquire(client, "example:renew",
                                        REDLOCK_OPTIONS(.ttl_ms = 200, .auto_renew = true), &lock);
    if (st != REDLOCK_OK) return false;
    poll(NULL, 0, 800); /* the job; several leases must pass for the example to show anything */
    printf("after 800 ms: held for %" PRId64 " ms more\n", redlock_remaining_ms(lock));
    return redlock_release(lock) == REDLOCK_OK;
}

/* A job that never ends by itself: renewal gives up, and it is told. */
static bool work_until_lost(redlock_client *client, sem_t *lost)
{
    redlock_lock *lock;
    redlock_status st =
        redlock_acquire(client, "example:renew",
                        REDLOCK_OPTIONS(.ttl_ms = 200, .auto_renew = true, .max_hold_ms = 500,
                                        .on_lost = wake, .on_lost_arg = lost),
                        &lock);
    if (st != REDLOCK_OK) return false;
    while (sem_wait(lost) != 0) continue; /* a signal may interrupt it */
    st = redlock_release(lock);
    printf("on_lost was called, and the release says: %s\n", redlock_strerror(st));
    return st == REDLOCK_LOST;
}

int main(int argc, char **argv)
{
    redlock_client *client;
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    if (redlock_open(uri, NULL, &client) != REDLOCK_OK) return 1;
    sem_t lost;
    if (sem_init(&lost, 0, 0) != 0) return 1;
    bool is_good = work_past_the_lease(client) && work_until_lost(client, &lost);
    redlock_close(client);
    return is_good ? 0 : 1;
}
