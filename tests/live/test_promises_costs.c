/* SPDX-License-Identifier: MIT
 * What a client, a lock and a call take: connections, descriptors, threads, memory and stack. The
 * header and README say these figures. They are printed. */
#include <sys/mman.h>

#include "live/async_stage.h"
#ifdef REDLOCK_WITH_TLS
#include "support/certificates.h"
#endif

/* ---- Connections, descriptors, threads --------------------------------------------------------*/

static void one_thread_needs_one_connection_for_all_its_locks(void **state)
{
    enum { FEW = 5 };
    async_stage *the = *state;
    redlock_lock *locks[FEW];
    loop *on = async_open_plain(the);
    for (int i = 0; i < FEW; i++) locks[i] = take(on->client, &"abcde"[i], NULL);
    for (int i = 0; i < FEW; i++) EXPECT(redlock_release(locks[i]), REDLOCK_OK);
    assert_int_equal(stats_of(on->client).connections, 1);
}

/* They stay for whoever calls next. */
static void each_thread_that_waits_has_two_connections(void **state)
{
    enum { WAITERS = 4, ROUNDS = 2 };
    async_stage *the = *state;
    taker *waiters[WAITERS];
    loop *on = async_open_plain(the);
    for (int round = 0; round < ROUNDS; round++) {
        redlock_lock *busy = take(the->stage->client, "r", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
        for (int i = 0; i < WAITERS; i++) {
            waiters[i] = queued(the->stage, on->client, i + 1, FOR_EVER);
        }
        assert_int_equal(stats_of(on->client).connections, 2 * WAITERS);
        EXPECT(redlock_release(busy), REDLOCK_OK);
        for (int i = 0; i < WAITERS; i++) {
            expect_taker(waiters[i], REDLOCK_OK);
            taker_release(waiters[i]);
        }
    }
    assert_int_equal(stats_of(on->client).connections_lost, 0);
}

static void operations_share_two_connections(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deeds waiters = deeds_new(on, 20);
    redlock_lock *busy = take(the->stage->other, "r", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    const redlock_options *shared = REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .wait_ms = LONG_MS);
    for (size_t i = 0; i < waiters.count; i++) deed_acquire(&waiters.first[i], "r", shared);
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 20}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
    deeds_expect(&waiters, REDLOCK_OK);
    deeds_release(&waiters);
    assert_int_equal(stats_of(on->client).connections, 2);
}

static void a_client_has_three_or_four_descriptors_beside_its_connections(void **state)
{
    async_stage *the = *state;
    int before = open_descriptors();
    loop *on = async_open_plain(the);
    assert_int_equal(open_descriptors() - before, on->host == REDLOCK_HOST_KEEPER ? 3 : 4);
    expect_free(on->client, "r");
    assert_int_equal(open_descriptors() - before, on->host == REDLOCK_HOST_KEEPER ? 4 : 5);
}

/* One, from when something has to happen in the background. */
static void a_client_has_one_thread_once_it_needs_it(void **state)
{
    async_stage *the = *state;
    int before = running_threads(), due = the->loop.host == REDLOCK_HOST_MANUAL ? 0 : 1;
    loop *on = async_open_plain(the);
    expect_free(on->client, "r");
    assert_int_equal(running_threads() - before, 0);
    redlock_lock *one = take(on->client, "a", REDLOCK_OPTIONS(.auto_renew = true));
    redlock_lock *two = take(on->client, "b", REDLOCK_OPTIONS(.auto_renew = true));
    assert_int_equal(running_threads() - before, due);
    EXPECT(redlock_release(one), REDLOCK_OK);
    EXPECT(redlock_release(two), REDLOCK_OK);
}

/* ---- Memory -----------------------------------------------------------------------------------*/

enum { LOCKS = 500 };

/* Of each of many locks whose names have so many bytes, the library's allocations alone. */
static long bytes_a_lock(async_stage *the, int name_length)
{
    char name[256];
    static redlock_lock *locks[LOCKS];
    redlock_client *client = the->loop.client;
    expect_free(client, "w");
    long before = atomic_load(&the->account.bytes);
    for (int i = 0; i < LOCKS; i++) {
        snprintf(name, sizeof name, "%0*d", name_length, i);
        locks[i] = take(client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS, .auto_renew = true));
    }
    long taken = atomic_load(&the->account.bytes) - before;
    for (int i = 0; i < LOCKS; i++) EXPECT(redlock_release(locks[i]), REDLOCK_OK);
    return taken / LOCKS;
}

/* What the first of them take with it, since the tables grow, others find there. */
static void a_lock_takes_400_bytes_and_its_name_twice(void **state)
{
    enum { SHORT = 10, LONG = 210, MOST = 400 };
    async_stage *the = *state;
    async_open_plain(the);
    long first = bytes_a_lock(the, SHORT), brief = bytes_a_lock(the, SHORT);
    long wordy = bytes_a_lock(the, LONG);
    print_message("a lock takes %ld bytes, then %ld, and %ld\n", first, brief, wordy);
    assert_in_range(brief, 1, first);
    assert_in_range(first, 1, MOST + 2 * SHORT);
    assert_in_range(wordy - brief, 2 * (LONG - SHORT), 2 * (LONG - SHORT) + 16);
}

static void a_client_takes_10_kilobytes_and_each_thread_in_a_call_50(void **state)
{
    enum { CLIENT_MOST = 10 << 10, THREAD_MOST = 50 << 10 };
    async_stage *the = *state;
    redlock_lock *none, *busy = take(the->stage->other, "busy", NULL);
    loop *on = async_open_plain(the);
    long opened = atomic_load(&the->account.bytes);
    expect_free(on->client, "r");
    long tried = atomic_load(&the->account.bytes) - opened;
    const redlock_options *wait = REDLOCK_OPTIONS(.wait_ms = 20);
    EXPECT(redlock_acquire(on->client, "busy", wait, &none), REDLOCK_TIMED_OUT);
    long waited = atomic_load(&the->account.bytes) - opened;
    print_message("a client takes %ld bytes, a try %ld, a wait %ld\n", opened, tried, waited);
    assert_in_range(opened, 1, CLIENT_MOST);
    assert_in_range(waited, tried, THREAD_MOST);
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

/* ---- Stack ------------------------------------------------------------------------------------*/

enum { STACK_BYTES = 1 << 20, STACK_MOST = 32 << 10, PAINT = 0x5a };

typedef struct dive {
    redlock_client *client;
    void (*calls)(struct dive *self);
    char *base;
} dive;

static void *dive_run(void *arg)
{
    dive *self = arg;
    char here = 0;
    self->base = &here;
    self->calls(self);
    return NULL;
}

/* How deep the calls went, from the function that made them. */
static long depth_of(dive *self)
{
    pthread_t thread;
    pthread_attr_t attributes;
    const int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK;
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, how, -1, 0);
    assert_true(stack != MAP_FAILED);
    memset(stack, PAINT, STACK_BYTES);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, STACK_BYTES);
    assert_int_equal(pthread_create(&thread, &attributes, dive_run, self), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    char *lowest = stack;
    while (*lowest == PAINT) lowest++;
    long depth = (long)(self->base - lowest);
    munmap(stack, STACK_BYTES);
    return depth;
}

static void takes_and_gives_back(dive *self)
{
    redlock_lock *lock = NULL;
    const redlock_options *options = REDLOCK_OPTIONS(.ttl_ms = LONG_MS);
    if (redlock_acquire(self->client, "r", options, &lock) != REDLOCK_OK) return;
    (void)redlock_extend(lock, 2 * LONG_MS);
    (void)redlock_downgrade(lock);
    (void)!redlock_upgrade(lock);
    (void)redlock_release(lock);
}

static void waits_in_vain(dive *self)
{
    redlock_lock *none;
    (void)!redlock_acquire(self->client, "busy", REDLOCK_OPTIONS(.wait_ms = 50), &none);
}

static void does_the_rest(dive *self)
{
    const redlock_name_bytes names[] = {{"a", 1}, {"b", 1}};
    redlock_set *set = NULL;
    redlock_inspection *seen = NULL;
    if (redlock_acquire_set(self->client, names, 2, NULL, &set) != REDLOCK_OK) return;
    (void)redlock_release_set(set);
    (void)!redlock_inspect(self->client, "busy", 4, &seen, NULL);
    redlock_inspection_free(seen);
    (void)redlock_force_release(self->client, "free", 4, NULL, NULL);
}

static long deepest(async_stage *the, const char *uri, const redlock_client_options *options)
{
    void (*const all[])(dive * self) = {takes_and_gives_back, waits_in_vain, does_the_rest};
    long most = 0;
    redlock_client *holder = stage_open(the->stage, uri, options);
    redlock_lock *busy = take(holder, "busy", NULL);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        redlock_client *client = stage_open(the->stage, uri, options);
        long depth = depth_of(&(dive){.client = client, .calls = all[i]});
        if (depth > most) most = depth;
        stage_close(the->stage, client);
    }
    EXPECT(redlock_release(busy), REDLOCK_OK);
    stage_close(the->stage, holder);
    print_message("%.7s %ld bytes of stack\n", uri, most);
    return most;
}

/* With an instrument its frames are in it. */
static long stack_most(void) { return patience_is_instrumented() ? STACK_BYTES : STACK_MOST; }

static void a_call_takes_less_than_32_kilobytes_of_stack(void **state)
{
    async_stage *the = *state;
    assert_in_range(deepest(the, server_uri(the->stage->server), NULL), 1, stack_most());
    assert_in_range(deepest(the, proxy_tcp_uri(the->stage->proxy), NULL), 1, stack_most());
}

#ifdef REDLOCK_WITH_TLS
static void over_tls_too(void **state)
{
    async_stage *the = *state;
    char arguments[1024], uri[64];
    authority *ca = authority_open();
    authority_issue(ca, "server", "IP:127.0.0.1", CERTIFICATE_VALID);
    const char *trusted = authority_path(ca, "ca.pem");
    snprintf(arguments, sizeof arguments,
             "--port 0 --tls-port {port} --tls-auth-clients no --tls-cert-file %s "
             "--tls-key-file %s --tls-ca-cert-file %s",
             authority_path(ca, "server.pem"), authority_path(ca, "server.key"), trusted);
    server *own = server_start_tcp(arguments);
    snprintf(uri, sizeof uri, "rediss://127.0.0.1:%d", server_tcp_port(own));
    const redlock_client_options *options = REDLOCK_CLIENT_OPTIONS(.tls_ca_file = trusted);
    long most = deepest(the, uri, options);
    server_stop(own);
    authority_close(ca);
    assert_in_range(most, 1, stack_most());
}
#endif

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        ON_EVERY_HOST(one_thread_needs_one_connection_for_all_its_locks),
        ON_HOST(each_thread_that_waits_has_two_connections, on_the_keeper),
        ON_EVERY_HOST(operations_share_two_connections),
        ON_EVERY_HOST(a_client_has_three_or_four_descriptors_beside_its_connections),
        ON_EVERY_HOST(a_client_has_one_thread_once_it_needs_it),
        ON_HOST(a_lock_takes_400_bytes_and_its_name_twice, on_the_keeper),
        ON_HOST(a_client_takes_10_kilobytes_and_each_thread_in_a_call_50, on_the_keeper),
        ON_HOST(a_call_takes_less_than_32_kilobytes_of_stack, on_the_keeper),
#ifdef REDLOCK_WITH_TLS
        ON_HOST(over_tls_too, on_the_keeper),
#endif
    };
    /* clang-format on */
    return cmocka_run_group_tests_name("live promises, costs", tests, NULL, NULL);
}
