/* SPDX-License-Identifier: MIT
 * How do I never forget a release, and never lose my own error to it? With a scope: the body's
 * error and the release's status are kept apart, and the body's comes first. */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <stdio.h>

#include <redlock/redlock.h>

enum { NO_FUNDS = -1000 }; /* an error of the program's own */

/* The body ends with `body_error`; a slow one has outlived its lease by then. */
static int transfer(redlock_client *client, bool is_slow, int body_error)
{
    int err = 0;
    redlock_status st;
    REDLOCK_WITH_LOCK (lock, client, "example:scoped", &st, &err, .ttl_ms = 200, .wait_ms = 2000) {
        while (is_slow && redlock_is_held(lock)) poll(NULL, 0, 10); /* the lease must pass */
        err = body_error;
        if (err != 0) break; /* leaves the block, and releases; so would return or goto */
    }
    return err != 0 ? err : (int)st;
}

/* The declaration attribute releases on every way out; a failed release is then only logged. */
static int first_word(redlock_client *client, bool is_early)
{
    REDLOCK_AUTO redlock_lock *lock = NULL;
    const redlock_options *patient = REDLOCK_OPTIONS(.wait_ms = 2000); /* a lost one goes later */
    redlock_status st = redlock_acquire(client, "example:scoped", patient, &lock);
    if (st != REDLOCK_OK) return (int)st;
    if (is_early) return NO_FUNDS;
    return (int)redlock_release_and_clear(&lock); /* by hand, to see the result */
}

static int expect(const char *what, int result, int expected)
{
    printf("%-44s %5d%s\n", what, result, result == expected ? "" : "  (not as expected)");
    return result == expected ? 0 : 1;
}

int main(int argc, char **argv)
{
    redlock_client *client;
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    if (redlock_open(uri, NULL, &client) != REDLOCK_OK) return 1;

    int wrong = 0;
    wrong += expect("body well, release well", transfer(client, false, 0), REDLOCK_OK);
    wrong += expect("body failed, release well", transfer(client, false, NO_FUNDS), NO_FUNDS);
    wrong += expect("body well, lock lost meanwhile", transfer(client, true, 0), REDLOCK_LOST);
    wrong += expect("both failed (the loss is logged)", transfer(client, true, NO_FUNDS), NO_FUNDS);
    wrong += expect("early return with REDLOCK_AUTO", first_word(client, true), NO_FUNDS);
    wrong += expect("free again, released by hand", first_word(client, false), REDLOCK_OK);
    redlock_close(client);
    return wrong == 0 ? 0 : 1;
}
