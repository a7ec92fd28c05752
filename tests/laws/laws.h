/* SPDX-License-Identifier: MIT
 * The laws of a lock that excludes: what holds for every mode, every transport and every way of calling. A test of such
 * a combination fills in law_terms and calls laws_run; a law knows of the combination nothing but its terms. */
#ifndef REDLOCK_TESTS_LAWS_H
#define REDLOCK_TESTS_LAWS_H

#include <pthread.h>
#include <stdio.h>

#include "support/proxy.h"
#include "support/witness.h"

/* How a lock is taken and given back: at once by the blocking calls; or by others that wait until it is done. */
typedef redlock_status law_acquire(redlock_client *client, const char *name, const redlock_options *options,
                                   redlock_lock **lock);
typedef redlock_status law_release(redlock_lock *lock);

typedef struct law_terms {
    const char *title;
    bool by_tcp;
    redlock_options options; /* what every acquisition has, such as a mode */
    law_acquire *acquire;
    law_release *release;
} law_terms;

typedef struct law {
    const law_terms *terms;
    server *server;
    proxy *proxy; /* between `ours` and the server */
    redlock_client *ours, *theirs;
    redlock_lock *lock;
} law;

enum { LAW_TTL_MS = 400, LAW_ACTORS = 4, LAW_TURNS = 50 };

/* ---- Acting on the terms ----------------------------------------------------------------------*/

static redlock_options law_options(const law *self, int64_t ttl_ms, int64_t wait_ms)
{
    redlock_options options = self->terms->options;
    options.struct_size = sizeof options;
    options.ttl_ms = ttl_ms;
    options.wait_ms = wait_ms;
    return options;
}

static redlock_status law_take(const law *self, redlock_client *client, const redlock_options *options,
                               redlock_lock **lock)
{
    return self->terms->acquire(client, "law", options, lock);
}

static redlock_lock *law_hold(const law *self, redlock_client *client, int64_t ttl_ms)
{
    redlock_lock *lock = NULL;
    redlock_options options = law_options(self, ttl_ms, 0);
    assert_int_equal(law_take(self, client, &options, &lock), REDLOCK_OK);
    assert_true(redlock_is_held(lock));
    return lock;
}

static redlock_status law_try(const law *self, redlock_client *client)
{
    redlock_lock *lock = NULL;
    redlock_options options = law_options(self, LAW_TTL_MS, 0);
    redlock_status status = law_take(self, client, &options, &lock);
    if (status == REDLOCK_OK) self->terms->release(lock);
    return status;
}

static bool law_is_free(void *arg) { return server_holders(((law *)arg)->server, "law") == 0; }
static bool law_has_a_waiter(void *arg) { return server_waiters(((law *)arg)->server, "law") == 1; }
static bool law_has_no_waiter(void *arg) { return server_waiters(((law *)arg)->server, "law") == 0; }

/* Somebody who waits on a thread of its own. */
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
    waiter->status = law_take(waiter->self, waiter->self->theirs, &waiter->options, &waiter->lock);
    return NULL;
}

static void law_begin_to_wait(law *self, law_waiter *waiter, redlock_canceller *canceller)
{
    waiter->self = self;
    waiter->options = law_options(self, 30000, REDLOCK_WAIT_FOREVER);
    waiter->options.canceller = canceller;
    assert_int_equal(pthread_create(&waiter->thread, NULL, law_wait, waiter), 0);
    eventually(law_has_a_waiter, self);
}

static redlock_status law_end_wait(law_waiter *waiter)
{
    pthread_join(waiter->thread, NULL);
    return waiter->status;
}

/* ---- The laws ---------------------------------------------------------------------------------*/

/* Read and written in two steps each, so that two at a time would show; atomic for the eyes of the sanitizers alone. */
typedef struct law_common {
    law *self;
    _Atomic int inside, turns;
    _Atomic uint64_t fence;
    _Atomic bool was_shared, fence_fell, has_failed;
} law_common;

static void law_section(law_common *common, const redlock_lock *lock)
{
    int turns = common->turns;
    if (++common->inside != 1) common->was_shared = true;
    if (redlock_fence(lock) <= common->fence) common->fence_fell = true;
    common->fence = redlock_fence(lock);
    common->turns = turns + 1;
    common->inside--;
}

static void *law_take_turns(void *arg)
{
    law_common *common = arg;
    const law *self = common->self;
    redlock_options options = law_options(self, 30000, REDLOCK_WAIT_FOREVER);
    for (int i = 0; i < LAW_TURNS; i++) {
        redlock_lock *lock = NULL;
        redlock_status status = law_take(self, i % 2 ? self->ours : self->theirs, &options, &lock);
        if (status == REDLOCK_OK) law_section(common, lock);
        if (status != REDLOCK_OK || self->terms->release(lock) != REDLOCK_OK) common->has_failed = true;
    }
    return NULL;
}

/* One holder at a time, and each has a higher fence than all before it. */
static void exclusion(void **state)
{
    pthread_t actors[LAW_ACTORS];
    law_common common = {.self = *state};
    for (int i = 0; i < LAW_ACTORS; i++) assert_int_equal(pthread_create(&actors[i], NULL, law_take_turns, &common), 0);
    for (int i = 0; i < LAW_ACTORS; i++) pthread_join(actors[i], NULL);
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
    redlock_lock *late = law_hold(self, self->ours, LAW_TTL_MS);
    eventually(law_is_free, self);
    assert_false(redlock_is_held(late));
    redlock_lock *unaware = law_hold(self, self->ours, 30000);
    server_number(self->server, "DEL redlock:{law}");
    redlock_lock *next = law_hold(self, self->theirs, 30000);
    assert_true(redlock_is_held(unaware));
    assert_int_equal(self->terms->release(late), REDLOCK_LOST);
    assert_int_equal(self->terms->release(unaware), REDLOCK_LOST);
    assert_int_equal(law_try(self, self->ours), REDLOCK_BUSY);
    assert_true(redlock_is_held(next));
    assert_int_equal(self->terms->release(next), REDLOCK_OK);
}

/* Pitfall 7: nothing brings back a lease that ended, whether the holder knows that already or not. */
static void no_resurrection(void **state)
{
    law *self = *state;
    redlock_lock *expired = law_hold(self, self->ours, LAW_TTL_MS);
    eventually(law_is_free, self);
    assert_int_equal(redlock_extend(expired, 30000), REDLOCK_LOST);
    redlock_lock *deleted = law_hold(self, self->ours, 30000);
    server_number(self->server, "DEL redlock:{law}");
    assert_int_equal(redlock_extend(deleted, 60000), REDLOCK_LOST);
    assert_false(redlock_is_held(deleted));
    assert_true(law_is_free(self));
    assert_int_equal(self->terms->release(expired), REDLOCK_LOST);
    assert_int_equal(self->terms->release(deleted), REDLOCK_LOST);
    assert_true(law_is_free(self));
}

/* Pitfall 24 */
static void renewal_keeps(void **state)
{
    law *self = *state;
    redlock_options options = law_options(self, LAW_TTL_MS, 0);
    options.auto_renew = true;
    assert_int_equal(law_take(self, self->ours, &options, &self->lock), REDLOCK_OK);
    for (int64_t end_ms = boot_ms() + 3 * LAW_TTL_MS; boot_ms() < end_ms; patience_pause()) {
        assert_true(redlock_is_held(self->lock));
        assert_int_equal(law_try(self, self->theirs), REDLOCK_BUSY);
    }
    assert_int_equal(self->terms->release(self->lock), REDLOCK_OK);
    assert_int_equal(law_try(self, self->theirs), REDLOCK_OK);
}

/* Pitfall 15: by the release itself, with no need to ask again. */
static void a_waiter_wakes(void **state)
{
    law *self = *state;
    law_waiter waiter;
    redlock_lock *first = law_hold(self, self->ours, 30000);
    law_begin_to_wait(self, &waiter, NULL);
    assert_int_equal(self->terms->release(first), REDLOCK_OK);
    assert_int_equal(law_end_wait(&waiter), REDLOCK_OK);
    assert_true(redlock_is_held(waiter.lock));
    assert_int_equal(stats_of(self->theirs).handed_over, 1);
    assert_int_equal(stats_of(self->theirs).rechecks, 0);
    assert_int_equal(self->terms->release(waiter.lock), REDLOCK_OK);
}

/* Pitfall 19: a cancelled waiter is out of the queue, and the lock never idles for it. */
static void cancel_completes(void **state)
{
    law *self = *state;
    law_waiter waiter;
    redlock_canceller *canceller;
    assert_int_equal(redlock_canceller_open(&canceller), REDLOCK_OK);
    redlock_lock *first = law_hold(self, self->ours, 30000);
    law_begin_to_wait(self, &waiter, canceller);
    redlock_cancel(canceller);
    assert_int_equal(law_end_wait(&waiter), REDLOCK_CANCELLED);
    assert_null(waiter.lock);
    eventually(law_has_no_waiter, self);
    assert_int_equal(self->terms->release(first), REDLOCK_OK);
    assert_int_equal(law_try(self, self->ours), REDLOCK_OK);
    redlock_canceller_close(canceller);
}

static void a_loss_is_told(void **state)
{
    law *self = *state;
    witness seen = {0};
    redlock_options options = law_options(self, LAW_TTL_MS, 0);
    options.auto_renew = true;
    options.on_lost = witness_told;
    options.on_lost_arg = &seen;
    assert_int_equal(law_take(self, self->ours, &options, &seen.lock), REDLOCK_OK);
    server_number(self->server, "DEL redlock:{law}");
    eventually(witness_was_told, &seen);
    assert_true(witness_was_told_in_time(&seen));
    assert_false(seen.saw_it_held);
    assert_int_equal(self->terms->release(seen.lock), REDLOCK_LOST);
}

/* Pitfalls 10 and 11: each request takes effect, its reply is lost, and it is sent again. */
static void a_retry_is_harmless(void **state)
{
    law *self = *state;
    assert_int_equal(law_try(self, self->ours), REDLOCK_OK);
    proxy_drop_reply_to(self->proxy, "law");
    redlock_lock *lock = law_hold(self, self->ours, 30000);
    assert_true(proxy_has_dropped(self->proxy));
    assert_int_equal(server_holders(self->server, "law"), 1);
    proxy_drop_reply_to(self->proxy, "law");
    assert_int_equal(redlock_extend(lock, 60000), REDLOCK_OK);
    assert_true(proxy_has_dropped(self->proxy));
    proxy_drop_reply_to(self->proxy, "law");
    assert_int_equal(self->terms->release(lock), REDLOCK_OK);
    assert_true(proxy_has_dropped(self->proxy));
    assert_true(law_is_free(self));
    assert_int_equal(law_try(self, self->theirs), REDLOCK_OK);
}

/* ---- Setting up -------------------------------------------------------------------------------*/

/* Is given the terms, and leaves the law. */
static int law_start(void **state)
{
    static law the;
    the = (law){.terms = *state, .server = server_start_tcp(NULL)};
    the.proxy = proxy_start(the.server);
    bool by_tcp = the.terms->by_tcp;
    const char *ours = by_tcp ? proxy_tcp_uri(the.proxy) : proxy_uri(the.proxy);
    const char *theirs = by_tcp ? server_tcp_uri(the.server) : server_uri(the.server);
    if (redlock_open(ours, NULL, &the.ours) != REDLOCK_OK) return -1;
    *state = &the;
    return redlock_open(theirs, NULL, &the.theirs);
}

static int law_stop(void **state)
{
    law *the = *state;
    redlock_status ours = redlock_close(the->ours), theirs = redlock_close(the->theirs);
    proxy_stop(the->proxy);
    server_stop(the->server);
    return ours != REDLOCK_OK || theirs != REDLOCK_OK;
}

#define LAW(name, terms) cmocka_unit_test_prestate_setup_teardown(name, law_start, law_stop, (void *)(terms))

/* clang-format off */
#define LAWS(terms)                                                                                \
    LAW(exclusion, terms), LAW(only_the_owner_releases, terms), LAW(no_resurrection, terms),       \
    LAW(renewal_keeps, terms), LAW(a_waiter_wakes, terms), LAW(cancel_completes, terms),           \
    LAW(a_loss_is_told, terms), LAW(a_retry_is_harmless, terms)
/* clang-format on */

static inline int laws_run(const law_terms *terms)
{
    const struct CMUnitTest laws[] = {LAWS(terms)};
    return cmocka_run_group_tests_name(terms->title, laws, NULL, NULL);
}

#endif
