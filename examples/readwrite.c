/* SPDX-License-Identifier: MIT
 * How do many read while nobody writes? Readers hold the lock in shared mode. A reader that wants
 * to write goes up, if it is alone; a writer that is done goes down to reading, and lets the others
 * in. */
#include <stdio.h>

#include <redlock/redlock.h>

static const char name[] = "example:readwrite";

#define READ REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .policy = REDLOCK_FAIR)
#define WRITE REDLOCK_OPTIONS(.mode = REDLOCK_EXCLUSIVE, .policy = REDLOCK_FAIR)

static bool says(const char *what, redlock_status st, redlock_status expected)
{
    printf("%-32s %s\n", what, redlock_strerror(st));
    return st == expected;
}

static bool play(redlock_client *alice, redlock_client *bob)
{
    redlock_lock *hers, *his, *none;
    bool is_good = says("alice reads:", redlock_acquire(alice, name, READ, &hers), REDLOCK_OK) &&
                   says("bob reads too:", redlock_acquire(bob, name, READ, &his), REDLOCK_OK);
    if (!is_good) return false;
    is_good &= says("bob wants to write as well:", redlock_upgrade(his),
                    REDLOCK_DEADLOCK); /* alice may want it, too */
    is_good &= says("bob is done:", redlock_release(his), REDLOCK_OK);
    is_good &= says("alice, alone, goes up:", redlock_upgrade(hers), REDLOCK_OK);
    is_good &= says("bob reads while alice writes:", redlock_acquire(bob, name, READ, &none),
                    REDLOCK_BUSY);
    is_good &= says("alice goes down again:", redlock_downgrade(hers), REDLOCK_OK);
    is_good &= says("bob reads beside her:", redlock_acquire(bob, name, READ, &his), REDLOCK_OK);
    is_good &= says("alice is done:", redlock_release(hers), REDLOCK_OK);
    is_good &= says("alice writes while bob reads:", redlock_acquire(alice, name, WRITE, &none),
                    REDLOCK_BUSY);
    return is_good & says("bob is done:", redlock_release(his), REDLOCK_OK);
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    redlock_client *alice = NULL, *bob = NULL;
    bool is_good = redlock_open(uri, NULL, &alice) == REDLOCK_OK &&
                   redlock_open(uri, NULL, &bob) == REDLOCK_OK && play(alice, bob);
    redlock_close(bob);
    redlock_close(alice);
    return is_good ? 0 : 1;
}
