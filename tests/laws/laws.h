/* SPDX-License-Identifier: MIT
 * The laws of a lock: what holds for every mode, every policy, every transport and every way of
 * calling. A test of such a combination fills in law_terms and calls laws_run; a law knows of the
 * combination nothing but its terms. Where a law is about exclusion, it is between the mode and its
 * rival. */
#ifndef REDLOCK_TESTS_LAWS_H
#define REDLOCK_TESTS_LAWS_H

#include <pthread.h>
#include <stdio.h>

#include "support/proxy.h"
#include "support/shards.h"
#include "support/witness.h"

/* How a lock is taken and given back: at once by the blocking calls; or by others that wait until
 * it is done. */
typedef redlock_status law_acquire(redlock_client *client, const char *name,
                                   const redlock_options *options, redlock_lock **lock);
typedef redlock_status law_release(redlock_lock *lock);
typedef redlock_status law_open(const char *uri, redlock_client **client);
typedef redlock_status law_close(redlock_client *client);

/* A way of calling. */
typedef struct law_driver {
    const char *title;
    law_open *open;
    law_close *close;
    law_acquire *acquire;
    law_release *release;
} law_driver;

/* How the server is reached. A cluster is one node that owns all slots. */
typedef enum law_transport { LAW_UNIX, LAW_TCP, LAW_CLUSTER } law_transport;

typedef struct law_terms {
    const char *title;
    law_transport transport;
    bool has_owners;         /* each actor names itself as the owner */
    redlock_options options; /* what every acquisition has, such as a mode ... */
    redlock_options rival;   /* ... and one that it excludes and that excludes it */
    const law_driver *by;
} law_terms;

enum { LAW_ACTORS = 4, LAW_TURNS = 25, LAW_CLIENTS = 3 };

/* A lease that is waited for, and yet outlasts what the combinations, eight at a time, do to each
 * other. */
static int64_t law_brief_ms(void) { return patience_is_instrumented() ? 600 : 300; }

typedef struct law {
    const law_terms *terms;
    server *server;
    proxy *proxy; /* between `ours` and the server, and in a cluster between it and everyone */
    redlock_client *ours, *theirs, *third;
} law;

/* ---- Acting on the terms ----------------------------------------------------------------------*/

static _Thread_local int law_actor; /* 0: the test's own thread */

static const char *law_owner(const law *self, const redlock_client *client)
{
    static const char owners[LAW_CLIENTS][LAW_ACTORS + 2][8] = {
        {"a", "a1", "a2", "a3", "a4", "a5"},
        {"b", "b1", "b2", "b3", "b4", "b5"},
        {"c", "c1", "c2", "c3", "c4", "c5"}};
    if (!self->terms->has_owners) return NULL;
    return owners[client == self->ours ? 0 : client == self->theirs ? 1 : 2][law_actor];
}

static redlock_status law_take(const law *self, redlock_client *client,
                               const redlock_options *options, redlock_lock **lock)
{
    redlock_options own = *options;
    own.owner = own.reentrant ? law_owner(self, client) : NULL;
    return self->terms->by->acquire(client, "law", &own, lock);
}

static redlock_options law_timed(redlock_options options, int64_t ttl_ms, int64_t wait_ms)
{
    options.struct_size = sizeof options;
    options.ttl_ms = ttl_ms;
    options.wait_ms = wait_ms;
    return options;
}

static redlock_options law_options(const law *self, int64_t ttl_ms, int64_t wait_ms)
{
    return law_timed(self->terms->options, ttl_ms, wait_ms);
}

static redlock_options law_rival(const law *self, int64_t ttl_ms, int64_t wait_ms)
{
    return law_timed(self->terms->rival, ttl_ms, wait_ms);
}

static redlock_lock *law_hold_as(const law *self, redlock_client *client, redlock_options options)
{
    redlock_lock *lock = NULL;
    assert_int_equal(law_take(self, client, &options, &lock), REDLOCK_OK);
    assert_true(redlock_is_held(lock));
    return lock;
}

static redlock_lock *law_hold(const law *self, redlock_client *client, int64_t ttl_ms)
{
    return law_hold_as(self, client, law_options(self, ttl_ms, 0));
}

static redlock_status law_try_as(const law *self, redlock_client *client, redlock_options options)
{
    redlock_lock *lock = NULL;
    redlock_status status = law_take(self, client, &options, &lock);
    if (status == REDLOCK_OK) self->terms->by->release(lock);
    return status;
}

static redlock_status law_try(const law *self, redlock_client *client)
{
    return law_try_as(self, client, law_options(self, law_brief_ms(), 0));
}

static redlock_status law_try_rival(const law *self, redlock_client *client)
{
    return law_try_as(self, client, law_rival(self, law_brief_ms(), 0));
}

/* ---- What the server has: the bands of docs/protocol.md ---------------------------------------*/

static long long law_holders(server *from)
{
    const long long band = 20000000000000, now_ms = server_clock_ms(from);
    return server_number(from, "ZCOUNT redlock:{law} (%lld (%lld", now_ms, band) +
           server_number(from, "ZCOUNT redlock:{law} (%lld (100000000000000", now_ms + band);
}

static bool law_is_free(void *arg) { return law_holders(((law *)arg)->server) == 0; }
static bool law_has_a_waiter(void *arg) { return server_waiters(((law *)arg)->server, "law") == 1; }
static bool law_has_no_waiter(void *arg)
{
    return server_waiters(((law *)arg)->server, "law") == 0;
}

/* ---- Somebody who waits on a thread of its own ------------------------------------------------*/

typedef struct law_waiter {
    pthread_t thread;
    const law *self;
    redlock_options options;
    redlock_lock *lock;
    redlock_status status;
} law_waiter;

static void *law_wait(void *arg)
{
    law_waiter *waiter = arg;
    law_actor = LAW_ACTORS + 1;
    waiter->status = law_take(waiter->self, waiter->self->theirs, &waiter->options, &waiter->lock);
    return NULL;
}

static void law_begin_to_wait(law *self, law_waiter *waiter, redlock_options options)
{
    *waiter = (law_waiter){.self = self, .options = options};
    assert_int_equal(pthread_create(&waiter->thread, NULL, law_wait, waiter), 0);
    eventually(law_has_a_waiter, self);
}

static redlock_status law_end_wait(law_waiter *waiter)
{
    pthread_join(waiter->thread, NULL);
    return waiter->status;
}

/* ---- The laws ---------------------------------------------------------------------------------*/

/* Read and written in several steps, so that two at a time would show; atomic for the eyes of the
 * sanitizers alone. */
typedef struct law_common {
    law *self;
    _Atomic int inside[2]; /* by whether it is a rival */
    _Atomic int turns;
    _Atomic uint64_t fence;
    _Atomic bool was_shared, fence_fell, has_failed;
} law_common;

static bool law_excludes_itself(const law_terms *terms)
{
    return terms->options.mode == REDLOCK_EXCLUSIVE || terms->options.permits == 1;
}

static void law_section(law_common *common, const redlock_lock *lock, bool is_rival)
{
    bool is_exclusive = redlock_lock_mode(lock) == REDLOCK_EXCLUSIVE;
    int same = ++common->inside[is_rival];
    bool is_alone = common->inside[!is_rival] == 0 &&
                    (same == 1 || !(is_rival || law_excludes_itself(common->self->terms)));
    if (!is_alone) common->was_shared = true;
    if (redlock_fence(lock) < common->fence + is_exclusive) common->fence_fell = true;
    if (is_exclusive) common->fence = redlock_fence(lock);
    common->turns++;
    common->inside[is_rival]--;
}

typedef struct law_turns {
    law_common *common;
    pthread_t thread;
    int actor;
} law_turns;

static void *law_take_turns(void *arg)
{
    const law_turns *own = arg;
    const law *self = own->common->self;
    redlock_options options = law_options(self, 30000, REDLOCK_WAIT_FOREVER);
    redlock_options rival = law_rival(self, 30000, REDLOCK_WAIT_FOREVER);
    law_actor = own->actor;
    for (int i = 0; i < LAW_TURNS; i++) {
        redlock_lock *lock = NULL;
        bool is_rival = i % 3 == 2;
        redlock_status status =
            law_take(self, i % 2 ? self->ours : self->theirs, is_rival ? &rival : &options, &lock);
        if (status == REDLOCK_OK) law_section(own->common, lock, is_rival);
        if (status != REDLOCK_OK || self->terms->by->release(lock) != REDLOCK_OK)
            own->common->has_failed = true;
    }
    return NULL;
}

/* Nobody is inside beside a rival, and the fence of an exclusive holder is higher than all before
 * it. */
static void exclusion(void **state)
{
    law_common common = {.self = *state};
    law_turns actors[LAW_ACTORS];
    for (int i = 0; i < LAW_ACTORS; i++) {
        actors[i] = (law_turns){.common = &common, .actor = i + 1};
        assert_int_equal(pthread_create(&actors[i].thread, NULL, law_take_turns, &actors[i]), 0);
    }
    for (int i = 0; i < LAW_ACTORS; i++) pthread_join(actors[i].thread, NULL);
    assert_false(common.has_failed);
    assert_false(common.was_shared);
    assert_false(common.fence_fell);
    assert_int_equal(common.turns, LAW_ACTORS * LAW_TURNS);
    assert_true(law_is_free(common.self));
}

/* Pitfalls 2, 7 and 9: whoever comes late, or does not know yet, leaves the next owner alone. */
static void only_the_owner_releases(void **state)
{
    law *self = *state;
    redlock_lock *late = law_hold(self, self->third, law_brief_ms());
    eventually(law_is_free, self);
    assert_false(redlock_is_held(late));
    redlock_lock *unaware = law_hold(self, self->ours, 30000);
    server_number(self->server, "DEL redlock:{law}");
    redlock_lock *next = law_hold_as(self, self->theirs, law_rival(self, 30000, 0));
    assert_true(redlock_is_held(unaware));
    assert_int_equal(self->terms->by->release(late), REDLOCK_LOST);
    assert_int_equal(self->terms->by->release(unaware), REDLOCK_LOST);
    assert_int_equal(law_try(self, self->ours), REDLOCK_BUSY);
    assert_true(redlock_is_held(next));
    assert_int_equal(self->terms->by->release(next), REDLOCK_OK);
}

/* Pitfall 7: nothing brings back a lease that ended, whether the holder knows that already or
 * not. */
static void no_resurrection(void **state)
{
    law *self = *state;
    redlock_lock *expired = law_hold(self, self->ours, law_brief_ms());
    eventually(law_is_free, self);
    assert_int_equal(redlock_extend(expired, 30000), REDLOCK_LOST);
    redlock_lock *deleted = law_hold(self, self->third, 30000);
    server_number(self->server, "DEL redlock:{law}");
    assert_int_equal(redlock_extend(deleted, 60000), REDLOCK_LOST);
    assert_false(redlock_is_held(deleted));
    assert_true(law_is_free(self));
    assert_int_equal(self->terms->by->release(expired), REDLOCK_LOST);
    assert_int_equal(self->terms->by->release(deleted), REDLOCK_LOST);
    assert_true(law_is_free(self));
}

/* Pitfall 24 */
static void renewal_keeps(void **state)
{
    law *self = *state;
    int64_t ttl_ms = 2 * law_brief_ms();
    redlock_options options = law_options(self, ttl_ms, 0);
    options.auto_renew = true;
    redlock_lock *lock = law_hold_as(self, self->ours, options);
    for (int64_t end_ms = boot_ms() + ttl_ms * 3 / 2; boot_ms() < end_ms; patience_pause()) {
        assert_int_equal(law_try_rival(self, self->theirs), REDLOCK_BUSY);
        assert_true(redlock_is_held(lock));
    }
    assert_int_equal(self->terms->by->release(lock), REDLOCK_OK);
    assert_int_equal(law_try_rival(self, self->theirs), REDLOCK_OK);
}

static void law_wake(law *self, redlock_options holder, redlock_options waiting)
{
    law_waiter waiter;
    uint64_t handed_over = stats_of(self->theirs).handed_over;
    redlock_lock *first = law_hold_as(self, self->ours, holder);
    law_begin_to_wait(self, &waiter, waiting);
    assert_int_equal(self->terms->by->release(first), REDLOCK_OK);
    assert_int_equal(law_end_wait(&waiter), REDLOCK_OK);
    assert_true(redlock_is_held(waiter.lock));
    assert_int_equal(stats_of(self->theirs).handed_over, handed_over + 1);
    assert_int_equal(stats_of(self->theirs).rechecks, 0);
    assert_int_equal(self->terms->by->release(waiter.lock), REDLOCK_OK);
}

/* Pitfall 15: by the release itself, with no need to ask again; behind a rival, and a rival behind
 * it. */
static void a_waiter_wakes(void **state)
{
    law *self = *state;
    law_wake(self, law_rival(self, 30000, 0), law_options(self, 30000, REDLOCK_WAIT_FOREVER));
    law_wake(self, law_options(self, 30000, 0), law_rival(self, 30000, REDLOCK_WAIT_FOREVER));
}

/* Pitfall 19: a cancelled waiter is out of the queue, and the lock never idles for it. */
static void cancel_completes(void **state)
{
    law *self = *state;
    law_waiter waiter;
    redlock_options waiting = law_options(self, 30000, REDLOCK_WAIT_FOREVER);
    assert_int_equal(redlock_canceller_open(&waiting.canceller), REDLOCK_OK);
    redlock_lock *first = law_hold_as(self, self->ours, law_rival(self, 30000, 0));
    law_begin_to_wait(self, &waiter, waiting);
    redlock_cancel(waiting.canceller);
    assert_int_equal(law_end_wait(&waiter), REDLOCK_CANCELLED);
    assert_null(waiter.lock);
    eventually(law_has_no_waiter, self);
    assert_int_equal(self->terms->by->release(first), REDLOCK_OK);
    assert_int_equal(law_try(self, self->ours), REDLOCK_OK);
    redlock_canceller_close(waiting.canceller);
}

static void a_loss_is_told(void **state)
{
    law *self = *state;
    witness seen = {.held = stall_begin()};
    redlock_options options = law_options(self, law_brief_ms(), 0);
    options.auto_renew = true;
    options.on_lost = witness_told;
    options.on_lost_arg = &seen;
    assert_int_equal(law_take(self, self->ours, &options, &seen.lock), REDLOCK_OK);
    server_number(self->server, "DEL redlock:{law}");
    eventually(witness_was_told, &seen);
    assert_int_equal(seen.told, 1);
    assert_false(seen.saw_it_held);
    expect_told_in_time(&seen);
    assert_int_equal(self->terms->by->release(seen.lock), REDLOCK_LOST);
}

/* Pitfalls 10 and 11: each request takes effect, its reply is lost, and it is sent again. */
static void a_retry_is_harmless(void **state)
{
    law *self = *state;
    assert_int_equal(law_try(self, self->ours), REDLOCK_OK);
    proxy_drop_reply_to(self->proxy, "law");
    redlock_lock *lock = law_hold(self, self->ours, 30000);
    assert_true(proxy_has_dropped(self->proxy));
    assert_int_equal(law_holders(self->server), 1);
    proxy_drop_reply_to(self->proxy, "law");
    assert_int_equal(redlock_extend(lock, 60000), REDLOCK_OK);
    assert_true(proxy_has_dropped(self->proxy));
    proxy_drop_reply_to(self->proxy, "law");
    assert_int_equal(self->terms->by->release(lock), REDLOCK_OK);
    assert_true(proxy_has_dropped(self->proxy));
    assert_true(law_is_free(self));
    assert_int_equal(law_try_rival(self, self->theirs), REDLOCK_OK);
}

/* ---- Setting up -------------------------------------------------------------------------------*/

/* Of all laws of the terms, one after the other: none stops it, and a start costs more than a
 * law. */
static server *law_server;

static int law_server_start(void **state)
{
    (void)state;
    law_server = server_start_tcp(NULL);
    return 0;
}

static int law_server_stop(void **state)
{
    (void)state;
    server_stop(law_server);
    return 0;
}

static shards *law_cluster;

static int law_cluster_start(void **state)
{
    (void)state;
    law_cluster = shards_start(1, 0, NULL);
    law_server = shards_server(law_cluster, 0);
    return 0;
}

static int law_cluster_stop(void **state)
{
    (void)state;
    shards_stop(law_cluster);
    return 0;
}

static redlock_status law_connect(const law *self, redlock_client **client, const char *socket,
                                  int port)
{
    static const char *const schemes[] = {[LAW_TCP] = "redis", [LAW_CLUSTER] = "redis+cluster"};
    char uri[64];
    law_transport by = self->terms->transport;
    if (by == LAW_UNIX) return self->terms->by->open(socket, client);
    snprintf(uri, sizeof uri, "%s://127.0.0.1:%d", schemes[by], port);
    return self->terms->by->open(uri, client);
}

/* A node that has two addresses is two nodes to its clients. So the map of a cluster names the
 * proxy, and nobody goes around it: no law needs that. */
static int law_announce_proxy(const law *self)
{
    int port = proxy_tcp_port(self->proxy);
    server_order(self->server, "CONFIG SET cluster-announce-port %d", port);
    return port;
}

/* Is given the terms, and leaves the law. */
static int law_start(void **state)
{
    static law the;
    the = (law){.terms = *state, .server = law_server};
    server_order(the.server, "FLUSHALL");
    the.proxy = proxy_start(the.server);
    const char *past = server_uri(the.server);
    int past_port = the.terms->transport == LAW_CLUSTER ? law_announce_proxy(&the)
                                                        : server_tcp_port(the.server);
    *state = &the;
    if (law_connect(&the, &the.ours, proxy_uri(the.proxy), proxy_tcp_port(the.proxy)) != REDLOCK_OK)
        return -1;
    if (law_connect(&the, &the.third, past, past_port) != REDLOCK_OK) return -1;
    return law_connect(&the, &the.theirs, past, past_port);
}

static int law_stop(void **state)
{
    law *the = *state;
    const law_driver *by = the->terms->by;
    redlock_status ours = by->close(the->ours), theirs = by->close(the->theirs),
                   third = by->close(the->third);
    proxy_stop(the->proxy);
    return ours != REDLOCK_OK || theirs != REDLOCK_OK || third != REDLOCK_OK;
}

#define LAW(name, terms)                                                                           \
    cmocka_unit_test_prestate_setup_teardown(name, law_start, law_stop, (void *)(terms))

/* clang-format off */
#define LAWS(terms)                                                                                \
    LAW(exclusion, terms), LAW(only_the_owner_releases, terms), LAW(no_resurrection, terms),       \
    LAW(renewal_keeps, terms), LAW(a_waiter_wakes, terms), LAW(cancel_completes, terms),           \
    LAW(a_loss_is_told, terms), LAW(a_retry_is_harmless, terms)
/* clang-format on */

static inline int laws_run(const law_terms *terms)
{
    const struct CMUnitTest laws[] = {LAWS(terms)};
    bool is_cluster = terms->transport == LAW_CLUSTER;
    return cmocka_run_group_tests_name(terms->title, laws,
                                       is_cluster ? law_cluster_start : law_server_start,
                                       is_cluster ? law_cluster_stop : law_server_stop);
}

#endif
