/* SPDX-License-Identifier: MIT
 * A network on which everything takes long, and a lease that is short for it: nothing else is
 * lost. */
#include "live/stage.h"

static bool has_been_renewed_often(void *client) { return stats_of(client).renewed >= 8; }

/* A renewal takes more than the half of what is left of the lease; and every answer comes. How slow
 * the server is may be learned at the price of one connection. */
static void a_short_lease_closes_no_connection_that_is_alive(void **state)
{
    stage *the = *state;
    redlock_client *client = stage_open(the, proxy_uri(the->proxy),
                                        REDLOCK_CLIENT_OPTIONS(.timeout_ms = 5000, LOGGED(the)));
    redlock_lock *held = take(client, "long", REDLOCK_OPTIONS(.ttl_ms = 1500, .auto_renew = true));
    redlock_lock *brief = take(client, "short", REDLOCK_OPTIONS(.ttl_ms = 500, .auto_renew = true));
    proxy_slow(the->proxy, 16384, 110000);
    eventually(has_been_renewed_often, client);
    proxy_slow(the->proxy, 0, 0);
    assert_true(stats_of(client).connections_lost <= 1);
    assert_true(redlock_is_held(held));
    EXPECT(redlock_release(held), REDLOCK_OK);
    (void)redlock_release(brief);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_STAGE(a_short_lease_closes_no_connection_that_is_alive)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
