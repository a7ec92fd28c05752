/* SPDX-License-Identifier: MIT
 * Every macro of the public header in use, as a strict compiler sees it. Compiled only, never
 * run. */
#include <redlock/redlock.h>

static redlock_status plain(redlock_client *client)
{
    redlock_lock *lock;
    redlock_status st =
        redlock_acquire(client, "a", REDLOCK_OPTIONS(.ttl_ms = 10000, .wait_ms = 5000), &lock);
    if (st == REDLOCK_OK) st = redlock_release(lock);
    return st;
}

static int scoped(redlock_client *client)
{
    int err = 0;
    redlock_status st;
    REDLOCK_WITH (client, "a", &st, &err, .ttl_ms = 5000, .auto_renew = true) {
        REDLOCK_WITH_LOCK (inner, client, "b", &st, &err, .wait_ms = REDLOCK_WAIT_FOREVER) {
            if (redlock_fence(inner) == 0) break;
            err = 1;
        }
    }
    return err ? err : (int)st;
}

static int guarded(redlock_client *client)
{
    REDLOCK_AUTO redlock_lock *lock = NULL;
    if (redlock_acquire_bytes(client, "a\0b", 3, NULL, &lock) != REDLOCK_OK) return -1;
    return redlock_is_held(lock) ? 0 : 1;
}

int main(void)
{
    redlock_client *client;
    if (redlock_open("unix:///s", REDLOCK_CLIENT_OPTIONS(.name = "use", .linger_ms = -1),
                     &client) != REDLOCK_OK)
        return 1;
    int result = (int)plain(client) + scoped(client) + guarded(client);
    return result + (int)redlock_close(client);
}
