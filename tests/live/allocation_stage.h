/* SPDX-License-Identifier: MIT
 * A client that runs out of memory at its n-th allocation, or from that on, during one step; and
 * what must be so afterwards. Rule: the fixture itself always has memory, before, after, and in its
 * own threads. */
#ifndef REDLOCK_TESTS_LIVE_ALLOCATION_STAGE_H
#define REDLOCK_TESTS_LIVE_ALLOCATION_STAGE_H

#include "live/async_stage.h"

enum { TRIES_MOST = 400 };

typedef struct scene {
    stage *stage;
    loop loop; /* its client is the one that is short of memory */
    account account;
    redlock_lock *lock, *inner;
    redlock_set *set;
    redlock_canceller *canceller;
    deed *what; /* the asynchronous operation of the step */
    long n;
    int64_t timeout_ms;
    bool is_last_resort; /* close had no memory to give back by: the lease ends by itself */
} scene;

/* One step, and which public functions run in it while memory is short. */
typedef struct trial {
    const char *name;
    const char *calls; /* each followed by a space */
    void (*prepare)(scene *the);
    redlock_status (*run)(scene *the);
    redlock_status good; /* what it answers with enough memory */
    bool allocates_nothing;
} trial;

/* A leak is a block of memory, or a lock or a waiter that stays on the server. */
typedef struct figures {
    long allocations_failed, leaks, without_status;
} figures;

static figures counted;

/* A server of the trial's own, if it needs another one; stopped when the trial is over. */
static server *own_server;

/* ---- Memory that is not the client's: what the library takes past its allocator, and what hiredis
 * takes by its own, which it has from 1.0 on. Refused, too, with REDLOCK_TEST_STARVES_ALL, and
 * --wrap=calloc for the linker ---- */

static account *_Atomic short_account; /* armed for the step that runs; NULL: none */
static _Thread_local bool has_memory_of_its_own;

static inline bool is_short(void)
{
    account *of = atomic_load(&short_account); /* another thread's step may be over at any moment */
    return of != NULL && !has_memory_of_its_own && account_refuses(of);
}

#ifdef REDLOCK_TEST_STARVES_ALL
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    if (!is_short()) return __real_calloc(count, size);
    errno = ENOMEM;
    return NULL;
}
#endif

#if defined(REDLOCK_TEST_STARVES_ALL) && HIREDIS_MAJOR >= 1
static void *hiredis_malloc(size_t size) { return is_short() ? NULL : malloc(size); }
static void *hiredis_realloc(void *memory, size_t size)
{
    return is_short() ? NULL : realloc(memory, size);
}
static char *hiredis_strdup(const char *text) { return is_short() ? NULL : strdup(text); }

static inline void starve_hiredis(void)
{
    static hiredisAllocFuncs functions = {hiredis_malloc, __wrap_calloc, hiredis_realloc,
                                          hiredis_strdup, free};
    hiredisSetAllocators(&functions);
}
#else
static inline void starve_hiredis(void) {}
#endif

/* ---- The client ------------------------------------------------------------------------------ */

static inline redlock_status scene_open(scene *the, const char *uri,
                                        const redlock_client_options *options)
{
    redlock_client_options own = *options;
    own.host = the->loop.host;
    own.timeout_ms = own.connect_timeout_ms = the->timeout_ms;
    own.log_level = REDLOCK_LOG_SILENT;
    own.allocator = (redlock_allocator){account_take, account_give, &the->account};
    return redlock_open(uri, &own, &the->loop.client);
}

static inline void has_client(scene *the)
{
    EXPECT(scene_open(the, server_uri(the->stage->server), REDLOCK_CLIENT_OPTIONS(.name = "short")),
           REDLOCK_OK);
}

/* So that it has to connect again. */
static inline void cut_connections(scene *the)
{
    server_number(the->stage->server, "CLIENT KILL TYPE normal");
}

/* What was submitted is waited for, with whatever memory there is. */
static inline redlock_status outcome(scene *the, redlock_status submitted)
{
    if (submitted != REDLOCK_OK) return submitted;
    loop_until(&the->loop, deed_is_done, the->what);
    return the->what->status;
}

/* ---- The proof ------------------------------------------------------------------------------ */

static inline void arm(scene *the, long n)
{
    the->n = n;
    atomic_store(&the->account.has_refused, false);
    short_account = &the->account;
    atomic_store(&the->account.until, n);
}

static inline void disarm(scene *the)
{
    atomic_store(&the->account.until, 0);
    short_account = NULL;
}

static inline void complain(const scene *the, const trial *what, const char *about)
{
    static const char *const hosts[] = {"keeper", "deliver", "manual"};
    print_error("%s [%s], allocation %ld%s: %s\n", what->name, hosts[the->loop.host], the->n,
                the->account.from_then_on ? " and all after it" : "", about);
}

static inline void judge(const scene *the, const trial *what, redlock_status status)
{
    bool has_refused = atomic_load(&the->account.has_refused);
    counted.allocations_failed += has_refused;
    if (has_refused && what->allocates_nothing)
        complain(the, what, "was not expected to allocate at all");
    else if (status == what->good || (has_refused && status == REDLOCK_ERR_MEMORY)) return;
    else complain(the, what, redlock_status_name(status));
    counted.without_status++;
}

static inline void leaked(const scene *the, const trial *what, long count, const char *about)
{
    complain(the, what, about);
    counted.leaks += count;
}

static inline bool has_left(scene *the)
{
    stage *on = the->stage;
    return stage_holders(on, "r") + stage_holders(on, "q") + stage_waiters(on, "r") +
               stage_waiters(on, "busy") ==
           0;
}

/* With enough memory again, everything that is left goes, long before a lease ends. */
static inline void await_leaving(scene *the, const trial *what)
{
    patience left = patience_begin();
    while (!has_left(the) && !patience_is_over(&left)) loop_turn(&the->loop, 5);
    if (has_left(the)) return;
    leaked(the, what, 1, "left a lock or a waiter on the server");
    server_number(the->stage->server, "DEL redlock:{r} redlock:{q}");
}

/* What ends with its lease, and who waits until somebody finds that nobody listens. */
static inline void forget_at_last(scene *the)
{
    server_number(the->stage->server, "DEL redlock:{r}");
    server_number(the->stage->server, "ZREMRANGEBYSCORE redlock:{busy} 100000000000000 +inf");
}

static inline void clean_up(scene *the, const trial *what)
{
    redlock_release_set(the->set);
    redlock_release_and_clear(&the->inner);
    redlock_release_and_clear(&the->lock);
    redlock_canceller_close(the->canceller);
    if (the->is_last_resort) forget_at_last(the);
    await_leaving(the, what);
    if (the->loop.client != NULL) EXPECT(redlock_close(the->loop.client), REDLOCK_OK);
    if (is_all_given_back(&the->account)) return;
    leaked(the, what, atomic_load(&the->account.blocks), "did not give back all memory");
    atomic_store(&the->account.blocks, 0);
}

/* True when nothing was refused: all allocations of the step are behind us. */
static inline bool try_once(scene *the, const trial *what, long n)
{
    the->loop.client = NULL;
    the->lock = the->inner = NULL;
    the->set = NULL;
    the->canceller = NULL;
    the->timeout_ms = 10000;
    the->is_last_resort = false;
    the->what = deed_new(&the->loop);
    if (what->prepare != NULL) what->prepare(the);
    arm(the, n);
    redlock_status status = what->run(the);
    disarm(the);
    judge(the, what, status);
    clean_up(the, what);
    free(kept_deeds[--kept_count]);
    return !atomic_load(&the->account.has_refused);
}

static inline long try_every_allocation(scene *the, const trial *what)
{
    long n = 1;
    while (!try_once(the, what, n)) assert_true(++n < TRIES_MOST);
    return n - 1;
}

/* The slowest of the instruments is shown two of six ways of each trial; the others see all. */
static inline bool is_left_out(const trial *what, int way)
{
    size_t sum = (size_t)way;
    for (const char *at = what->name; *at != '\0'; at++) sum += (unsigned char)*at;
    return patience_is_below_valgrind() && sum % 3 != 0;
}

/* The initial state of a test is its trial. */
static inline void survives(void **state)
{
    static const redlock_host hosts[] = {REDLOCK_HOST_KEEPER, REDLOCK_HOST_DELIVER,
                                         REDLOCK_HOST_MANUAL};
    static scene the;
    const trial *what = *state;
    void *plain = NULL;
    long before = counted.without_status + counted.leaks;
    stage_begin(&plain);
    redlock_lock *busy = take(((stage *)plain)->other, "busy", REDLOCK_OPTIONS(.ttl_ms = 3600000));
    for (int i = 0; i < 6; i++) {
        if (is_left_out(what, i)) continue;
        the = (scene){.stage = plain, .loop = {.host = hosts[i / 2], .thread = thread_id()}};
        the.account.from_then_on = i % 2;
        long allocations = try_every_allocation(&the, what);
        if (i == 0) print_message("%s: %ld allocations\n", what->name, allocations);
    }
    EXPECT(redlock_release(busy), REDLOCK_OK);
    server_stop(own_server);
    own_server = NULL;
    stage_end(&plain);
    assert_int_equal(counted.without_status + counted.leaks, before);
}

#endif
