/* SPDX-License-Identifier: MIT
 * Out of memory at every allocation of every call: a status, no crash, no leak, and nothing left on the server. Each
 * step is run with its n-th allocation refused, for n = 1, 2, ... until one run meets no refusal. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "support/witness.h"

enum { TRIES_MOST = 200 };

/* Which allocations are refused: the n-th, and with `from_then_on` all that follow; counted while armed. */
typedef struct shortage {
    atomic_long live;  /* pieces that were given out and not given back */
    atomic_long until; /* allocations until the refusal; 0: not armed */
    atomic_bool has_refused;
    bool from_then_on;
} shortage;

typedef struct fixture {
    server *server;
    redlock_client *other; /* has all the memory that it wants */
    redlock_client *client;
    redlock_lock *lock;
    shortage memory;
} fixture;

static bool refuses(shortage *self)
{
    long left = atomic_load(&self->until);
    while (left > 1 && !atomic_compare_exchange_weak(&self->until, &left, left - 1)) continue;
    if (left != 1) return false;
    atomic_store(&self->has_refused, true);
    if (!self->from_then_on) atomic_store(&self->until, 0);
    return true;
}

static void *allocate(void *arg, size_t size)
{
    shortage *self = arg;
    if (refuses(self)) return NULL;
    atomic_fetch_add(&self->live, 1);
    return malloc(size);
}

static void give_back(void *arg, void *memory)
{
    if (memory != NULL) atomic_fetch_sub(&((shortage *)arg)->live, 1);
    free(memory);
}

static int start(void **state)
{
    static fixture the;
    memset(&the, 0, sizeof the);
    the.server = server_start(NULL);
    *state = &the;
    return redlock_open(server_uri(the.server), NULL, &the.other);
}

static int stop(void **state)
{
    fixture *the = *state;
    redlock_close(the->other);
    server_stop(the->server);
    return 0;
}

static redlock_status open_client(fixture *the)
{
    redlock_allocator short_of_it = {allocate, give_back, &the->memory};
    const redlock_client_options *options = REDLOCK_CLIENT_OPTIONS(.name = "short", .timeout_ms = 1000,
                                                                   .log_level = REDLOCK_LOG_SILENT,
                                                                   .allocator = short_of_it);
    return redlock_open(server_uri(the->server), options, &the->client);
}

/* ---- Steps: what runs while memory is short ---------------------------------------------------*/

static redlock_status opens(fixture *the) { return open_client(the); }

static redlock_status acquires(fixture *the)
{
    return redlock_acquire(the->client, "a", REDLOCK_OPTIONS(.ttl_ms = 30000, .auto_renew = true), &the->lock);
}

typedef struct yielder {
    pthread_t thread;
    fixture *the;
    redlock_lock *held;
    atomic_bool is_over;
    redlock_status released;
} yielder;

/* Gives its lock up once somebody queues for it, or nobody will any more. */
static void *yield_it(void *arg)
{
    yielder *self = arg;
    while (!atomic_load(&self->is_over) && server_waiters(self->the->server, "a") == 0) patience_pause();
    self->released = redlock_release(self->held);
    return NULL;
}

static redlock_status queues(fixture *the)
{
    yielder other = {.the = the};
    long until = atomic_exchange(&the->memory.until, 0);
    assert_int_equal(redlock_acquire(the->other, "a", NULL, &other.held), REDLOCK_OK);
    assert_int_equal(pthread_create(&other.thread, NULL, yield_it, &other), 0);
    atomic_store(&the->memory.until, until);
    redlock_status status = redlock_acquire(the->client, "a", REDLOCK_OPTIONS(.wait_ms = 5000), &the->lock);
    atomic_store(&other.is_over, true);
    pthread_join(other.thread, NULL);
    assert_int_equal(other.released, REDLOCK_OK);
    return status;
}

static redlock_status releases(fixture *the) { return redlock_release_and_clear(&the->lock); }

static redlock_status extends(fixture *the) { return redlock_extend(the->lock, 60000); }

static redlock_status inspects(fixture *the)
{
    redlock_inspection *seen = NULL;
    redlock_status status = redlock_inspect(the->client, "a", 1, &seen, NULL);
    assert_true((status == REDLOCK_OK) == (seen != NULL));
    redlock_inspection_free(seen);
    return status;
}

static redlock_status closes(fixture *the)
{
    redlock_status status = redlock_close(the->client);
    the->client = NULL;
    redlock_release_and_clear(&the->lock);
    return status;
}

/* ---- The proof --------------------------------------------------------------------------------*/

typedef redlock_status step_fn(fixture *the);

static bool is_free_on_the_server(void *arg) { return server_holders(((fixture *)arg)->server, "a") == 0; }
static bool has_no_waiter(void *arg) { return server_waiters(((fixture *)arg)->server, "a") == 0; }

static void prepare(fixture *the, step_fn *step)
{
    the->client = NULL;
    the->lock = NULL;
    if (step == opens) return;
    assert_int_equal(open_client(the), REDLOCK_OK);
    if (step == releases || step == extends || step == inspects || step == closes)
        assert_int_equal(acquires(the), REDLOCK_OK);
    /* So that they have to connect again. */
    if (step == releases || step == extends) server_number(the->server, "CLIENT KILL TYPE normal");
}

/* With enough memory again, everything that is left must go, long before a lease ends. */
static void clean_up(fixture *the)
{
    if (the->lock != NULL) redlock_release(the->lock);
    eventually(is_free_on_the_server, the);
    eventually(has_no_waiter, the);
    assert_int_equal(redlock_close(the->client), REDLOCK_OK);
    assert_int_equal(atomic_load(&the->memory.live), 0);
}

/* True when nothing was refused: all allocations of the step are behind us. */
static bool run_once(fixture *the, step_fn *step, long n)
{
    prepare(the, step);
    atomic_store(&the->memory.has_refused, false);
    atomic_store(&the->memory.until, n);
    redlock_status status = step(the);
    atomic_store(&the->memory.until, 0);
    bool has_refused = atomic_load(&the->memory.has_refused);
    if (status != REDLOCK_OK && !(has_refused && status == REDLOCK_ERR_MEMORY))
        fail_msg("allocation %ld: %s", n, redlock_status_name(status));
    /* Whoever closes without any memory cannot connect to give back; that lease ends by itself. */
    if (step == closes && has_refused && the->memory.from_then_on) server_number(the->server, "DEL redlock:{a}");
    clean_up(the);
    return !has_refused;
}

static void survives(fixture *the, step_fn *step)
{
    for (int from_then_on = 0; from_then_on <= 1; from_then_on++) {
        long n = 1;
        the->memory.from_then_on = from_then_on;
        while (!run_once(the, step, n)) assert_true(++n < TRIES_MOST);
        print_message("%ld allocations%s\n", n - 1, from_then_on ? ", none after the first refusal" : "");
    }
}

static void open_survives_a_lack_of_memory(void **state) { survives(*state, opens); }
static void acquire_survives_a_lack_of_memory(void **state) { survives(*state, acquires); }
static void a_wait_in_the_queue_survives_a_lack_of_memory(void **state) { survives(*state, queues); }
static void release_survives_a_lack_of_memory(void **state) { survives(*state, releases); }
static void extend_survives_a_lack_of_memory(void **state) { survives(*state, extends); }
static void inspect_survives_a_lack_of_memory(void **state) { survives(*state, inspects); }
static void close_survives_a_lack_of_memory(void **state) { survives(*state, closes); }

#define LIVE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE(open_survives_a_lack_of_memory),
        LIVE(acquire_survives_a_lack_of_memory),
        LIVE(a_wait_in_the_queue_survives_a_lack_of_memory),
        LIVE(release_survives_a_lack_of_memory),
        LIVE(extend_survives_a_lack_of_memory),
        LIVE(inspect_survives_a_lack_of_memory),
        LIVE(close_survives_a_lack_of_memory),
    };
    return cmocka_run_group_tests_name("live allocation", tests, NULL, NULL);
}
