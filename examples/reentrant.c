/* SPDX-License-Identifier: MIT
 * What if a function that takes a lock calls another that takes the same one? With `reentrant`, the
 * thread that holds it enters again, at no cost. An owner given by name may even be several
 * processes. */
#include <inttypes.h>
#include <stdio.h>

#include <redlock/redlock.h>

static const char name[] = "example:reentrant";

#define OWN(...) REDLOCK_OPTIONS(.reentrant = true, __VA_ARGS__)

static int64_t balance = 100;

/* Safe to call alone, and from where the lock is held already. */
static redlock_status pay(redlock_client *client, int64_t amount)
{
    redlock_status st;
    REDLOCK_WITH (client, name, &st, (int *)NULL, .reentrant = true) {
        balance -= amount;
    }
    return st;
}

static redlock_status pay_twice(redlock_client *client)
{
    redlock_lock *lock;
    redlock_status st = redlock_acquire(client, name, OWN(), &lock);
    if (st != REDLOCK_OK) return st;
    st = pay(client, 10);
    if (st == REDLOCK_OK) st = pay(client, 20);
    redlock_status released = redlock_release(lock); /* the last one out tells the server */
    return st == REDLOCK_OK ? released : st;
}

/* Two workers of one transaction; think of them as two processes. */
static bool share(redlock_client *alice, redlock_client *bob)
{
    redlock_lock *hers, *his, *none;
    if (redlock_acquire(alice, name, OWN(.owner = "txn-77"), &hers) != REDLOCK_OK) return false;
    redlock_status stranger = redlock_acquire(bob, name, NULL, &none);
    redlock_status partner = redlock_acquire(bob, name, OWN(.owner = "txn-77"), &his);
    printf("a stranger: %s\nthe same owner: %s\n", redlock_strerror(stranger),
           redlock_strerror(partner));
    bool is_released = redlock_release(hers) == REDLOCK_OK && redlock_release(his) == REDLOCK_OK;
    return stranger == REDLOCK_BUSY && partner == REDLOCK_OK && is_released;
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    redlock_client *alice = NULL, *bob = NULL;
    bool is_good = redlock_open(uri, NULL, &alice) == REDLOCK_OK &&
                   redlock_open(uri, NULL, &bob) == REDLOCK_OK && pay_twice(alice) == REDLOCK_OK &&
                   share(alice, bob);
    printf("the balance is %" PRId64 "\n", balance);
    redlock_close(bob);
    redlock_close(alice);
    return is_good && balance == 70 ? 0 : 1;
}
