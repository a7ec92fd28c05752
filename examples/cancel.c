/* SPDX-License-Identifier: MIT
 * How do I end a wait from outside? Give it a canceller, and use that from any thread. A signal
 * handler may use it too, which is how Ctrl-C ends a program that waits for a lock. */
#include <pthread.h>
#include <stdio.h>

#include <redlock/redlock.h>

struct wait {
    redlock_client *client;
    redlock_canceller *canceller;
    redlock_status result;
};

static void *wait_for_ever(void *arg)
{
    struct wait *wait = arg;
    redlock_lock *lock;
    wait->result = redlock_acquire(
        wait->client, "example:cancel",
        REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .canceller = wait->canceller), &lock);
    redlock_release(lock); /* NULL unless it was acquired after all; NULL is allowed */
    return NULL;
}

/* Whether the thread waits already or not yet: a canceller stays cancelled, so both end alike. */
static redlock_status cancel_a_wait(struct wait *wait)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_ever, wait) != 0) return REDLOCK_ERR_SYSTEM;
    redlock_cancel(wait->canceller);
    pthread_join(thread, NULL);
    return wait->result;
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";

    redlock_client *holder = NULL;
    redlock_lock *lock = NULL;
    struct wait wait = {.result = REDLOCK_ERR_ARGUMENT};
    if (redlock_open(uri, NULL, &holder) == REDLOCK_OK &&
        redlock_open(uri, NULL, &wait.client) == REDLOCK_OK &&
        redlock_canceller_open(&wait.canceller) == REDLOCK_OK &&
        redlock_acquire(holder, "example:cancel", NULL, &lock) == REDLOCK_OK)
        wait.result = cancel_a_wait(&wait);

    printf("the wait ended: %s\n", redlock_strerror(wait.result));
    redlock_release(lock);
    redlock_canceller_close(wait.canceller);
    redlock_close(wait.client);
    redlock_close(holder);
    return wait.result == REDLOCK_CANCELLED ? 0 : 1;
}
