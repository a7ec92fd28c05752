/* SPDX-License-Identifier: MIT
 * How do I hold a lock? Open a client once; then a lock is three lines: acquire, work, release. */
#include <inttypes.h>
#include <stdio.h>

#include <redlock/redlock.h>

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";

    redlock_client *client;
    redlock_status st = redlock_open(uri, NULL, &client);
    if (st != REDLOCK_OK) {
        fprintf(stderr, "no client: %s\n", redlock_strerror(st));
        return 1;
    }

    redlock_lock *lock;
    st = redlock_acquire(client, "example:hold", NULL, &lock); /* NULL: try once, lease of 30 s */
    if (st == REDLOCK_OK) {
        printf("held for at least %" PRId64 " ms more, fence %" PRIu64 "\n",
               redlock_remaining_ms(lock), redlock_fence(lock));
        st = redlock_release(lock); /* frees the handle, whatever it answers */
    }

    /* A positive status is an ordinary no (somebody else has it), a negative one a failure. */
    printf("%s: %s\n", redlock_status_name(st), redlock_strerror(st));
    redlock_close(client);
    return st == REDLOCK_OK ? 0 : 1;
}
