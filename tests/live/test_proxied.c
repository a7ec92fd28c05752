/* SPDX-License-Identifier: MIT
 * A proxy between us and the server, which restarts: the proxy keeps its clients, and answers them
 * in words of its own meanwhile. What twemproxy and Envoy say is no word of the server's, and
 * nothing is given up for it. */
#include "live/modes_stage.h"

enum { PATIENCE_MS = 300, CLAIM_MS = 300, APOLOGIES = 3, BACK_WITHIN_US = 500 * 1000 };

static const char *const words[] = {"-ERR Connection refused\r\n", "-upstream failure\r\n",
                                    "-no upstream host\r\n"};
enum { PROXIES = sizeof words / sizeof *words };

static redlock_client *open_through(stage *the)
{
    return stage_open(the, proxy_uri(the->proxy),
                      REDLOCK_CLIENT_OPTIONS(.timeout_ms = PATIENCE_MS, LOGGED(the)));
}

static bool has_apologized(void *which) { return proxy_apologies(which) >= APOLOGIES; }

static void go_away(stage *the, const char *as) { proxy_apologize(the->proxy, as); }

static void come_back(stage *the) { proxy_apologize(the->proxy, NULL); }

static void a_release_is_made_up_for(void **state)
{
    stage *the = *state;
    redlock_client *client = open_through(the);
    for (int i = 0; i < PROXIES; i++) {
        redlock_lock *lock = take(client, "r", EXCLUSIVE());
        go_away(the, words[i]);
        EXPECT(redlock_release(lock), REDLOCK_ERR_UNAVAILABLE);
        eventually(has_apologized, the->proxy);
        stall back = stall_begin();
        come_back(the);
        redlock_lock *next = take(the->other, "r", EXCLUSIVE(.wait_ms = LONG_MS));
        ENDED(&back, 0, BACK_WITHIN_US);
        EXPECT(redlock_release(next), REDLOCK_OK);
    }
}

static void a_wait_goes_on(void **state)
{
    stage *the = *state;
    redlock_client *client = open_through(the);
    for (int i = 0; i < PROXIES; i++) {
        redlock_lock *lock = take(the->client, "r", EXCLUSIVE());
        taker *next = queued(the, client, 1, EXCLUSIVE(.wait_ms = LONG_MS, .claim_ms = CLAIM_MS));
        go_away(the, words[i]);
        eventually(has_apologized, the->proxy);
        come_back(the);
        EXPECT(redlock_release(lock), REDLOCK_OK);
        expect_taker(next, REDLOCK_OK);
        taker_release(next);
    }
}

static void a_renewed_lock_is_kept(void **state)
{
    stage *the = *state;
    redlock_client *client = open_through(the);
    redlock_lock *lock =
        take(client, "r", REDLOCK_OPTIONS(.ttl_ms = 2 * SOON_MS, .auto_renew = true));
    go_away(the, words[0]);
    eventually(has_apologized, the->proxy);
    come_back(the);
    uint64_t before = stats_of(client).renewed;
    while (stats_of(client).renewed == before) patience_pause();
    assert_true(redlock_is_held(lock));
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void a_try_says_what_the_proxy_said(void **state)
{
    stage *the = *state;
    redlock_client *client = open_through(the);
    redlock_detail detail;
    redlock_lock *lock;
    go_away(the, words[0]);
    EXPECT(redlock_acquire(client, "r", REDLOCK_OPTIONS(.detail = &detail), &lock),
           REDLOCK_ERR_UNAVAILABLE);
    assert_non_null(strstr(detail.text, "Connection refused"));
    come_back(the);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_release_is_made_up_for),
        ON_STAGE(a_wait_goes_on),
        ON_STAGE(a_renewed_lock_is_kept),
        ON_STAGE(a_try_says_what_the_proxy_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
