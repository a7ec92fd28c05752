/* SPDX-License-Identifier: MIT
 * What the asynchronous tests share: clients on each host, an event loop on the test's own thread,
 * and deeds: operations that count how often, where and when they were completed. Rule: the loop
 * calls redlock_process only when redlock_fd says so, hence every test here proves that the
 * descriptor suffices. */
#ifndef REDLOCK_TESTS_LIVE_ASYNC_STAGE_H
#define REDLOCK_TESTS_LIVE_ASYNC_STAGE_H

#include <dirent.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "live/stage.h"

/* ---- Threads, descriptors, memory -------------------------------------------------------------*/

static inline pid_t thread_id(void) { return (pid_t)syscall(SYS_gettid); }

static inline int entries_in(const char *directory)
{
    int count = 0;
    DIR *all = opendir(directory);
    assert_non_null(all);
    for (struct dirent *one; (one = readdir(all)) != NULL;) count += one->d_name[0] != '.';
    closedir(all);
    return count;
}

static inline int open_descriptors(void) { return entries_in("/proc/self/fd"); }
static inline int running_threads(void) { return entries_in("/proc/self/task"); }

/* An allocator that counts what is out, and refuses the n-th allocation, or that and all after it,
 * while armed. */
typedef struct account {
    atomic_long blocks, bytes;
    atomic_long until; /* allocations until the refusal; 0: not armed */
    atomic_bool has_refused;
    bool from_then_on;
} account;

enum { ACCOUNT_HEAD = 16 };

static inline bool account_refuses(account *self)
{
    long left = atomic_load(&self->until);
    while (left > 1 && !atomic_compare_exchange_weak(&self->until, &left, left - 1)) continue;
    if (left != 1) return false;
    atomic_store(&self->has_refused, true);
    if (!self->from_then_on) atomic_store(&self->until, 0);
    return true;
}

static inline void *account_take(void *arg, size_t size)
{
    account *self = arg;
    char *memory = account_refuses(self) ? NULL : malloc(size + ACCOUNT_HEAD);
    if (memory == NULL) return NULL;
    memcpy(memory, &size, sizeof size);
    atomic_fetch_add(&self->blocks, 1);
    atomic_fetch_add(&self->bytes, (long)size);
    return memory + ACCOUNT_HEAD;
}

static inline void account_give(void *arg, void *memory)
{
    account *self = arg;
    size_t size;
    if (memory == NULL) return;
    char *whole = (char *)memory - ACCOUNT_HEAD;
    memcpy(&size, whole, sizeof size);
    free(whole);
    atomic_fetch_sub(&self->bytes, (long)size);
    atomic_fetch_sub(&self->blocks, 1); /* last: whoever sees none may put the account away */
}

#define COUNTED_BY(account_) .allocator = {account_take, account_give, (account_)}

static inline bool is_all_given_back(void *arg)
{
    return atomic_load(&((account *)arg)->blocks) == 0;
}

/* ---- The loop ---------------------------------------------------------------------------------*/

typedef struct loop {
    redlock_client *client; /* NULL once a completion closed it */
    redlock_host host;
    pid_t thread;     /* the test's */
    unsigned rounds;  /* how often redlock_process was called */
    int64_t worst_us; /* the longest of those calls */
} loop;

typedef struct stopwatch {
    stall began;
    int64_t busy_us;
    struct rusage used;
} stopwatch;

static inline struct rusage usage(void)
{
    struct rusage used;
    getrusage(RUSAGE_THREAD, &used);
    return used;
}

static inline int64_t busy_us(void)
{
    struct timespec busy;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &busy);
    return (int64_t)busy.tv_sec * 1000000 + busy.tv_nsec / 1000;
}

/* The switches are counted first here and last below: what happens between two readings is counted,
 * too. */
static inline stopwatch stopwatch_start(void)
{
    stopwatch self = {.used = usage()};
    self.busy_us = busy_us();
    self.began = stall_begin();
    return self;
}

/* The processor's time since then; but the time that passed, without what the machine stalled, if
 * the thread fell asleep meanwhile and nobody else took the processor from it. */
static inline int64_t stopwatch_us(const stopwatch *self)
{
    int64_t passed_us = now_us() - self->began.began_us - stall_us(&self->began),
            worked_us = busy_us() - self->busy_us;
    struct rusage used = usage();
    bool slept = used.ru_nvcsw > self->used.ru_nvcsw,
         was_preempted = used.ru_nivcsw > self->used.ru_nivcsw;
    return slept && !was_preempted && passed_us > worked_us ? passed_us : worked_us;
}

static inline redlock_status loop_process(loop *self)
{
    stopwatch began = stopwatch_start();
    redlock_status status = redlock_process(self->client);
    int64_t took_us = stopwatch_us(&began);
    if (took_us > self->worst_us) self->worst_us = took_us;
    self->rounds++;
    if (status == REDLOCK_ERR_CLOSED) self->client = NULL;
    return status;
}

/* One round: whatever comes within so long. */
static inline void loop_turn(loop *self, int most_ms)
{
    if (self->client == NULL || self->host == REDLOCK_HOST_KEEPER) {
        patience_pause();
        return;
    }
    struct pollfd look = {.fd = redlock_fd(self->client), .events = POLLIN};
    assert_true(look.fd >= 0);
    if (poll(&look, 1, most_ms) <= 0) return;
    redlock_status status = loop_process(self);
    assert_true(status == REDLOCK_OK || status == REDLOCK_ERR_CLOSED);
}

static inline void loop_until_at(loop *self, bool (*is_so)(void *arg), void *arg, const char *what,
                                 int line)
{
    for (patience left = patience_begin(); !is_so(arg); loop_turn(self, 5)) {
        if (!patience_is_over(&left)) continue;
        print_error("%s:%d: never became true: %s\n", __FILE__, line, what);
        _fail(__FILE__, line);
    }
}
#define loop_until(self, is_so, arg) loop_until_at((self), (is_so), (arg), #is_so, __LINE__)

static inline bool loop_is_closed(void *arg) { return ((loop *)arg)->client == NULL; }

/* A callback closed the client: the round that it ran in ends with that. On the KEEPER nobody tells
 * when. */
static inline void loop_await_close(loop *self)
{
    if (self->host == REDLOCK_HOST_KEEPER) self->client = NULL;
    loop_until(self, loop_is_closed, self);
}

static inline void loop_for(loop *self, int64_t span_ms)
{
    for (int64_t until_us = now_us() + span_ms * 1000; now_us() < until_us;) loop_turn(self, 2);
}

/* ---- Deeds ------------------------------------------------------------------------------------*/

typedef struct deed deed;
struct deed {
    loop *on;
    _Atomic int completions;
    redlock_status status;
    redlock_lock *lock;
    redlock_operation id;
    pid_t thread;    /* that ran the completion */
    bool was_inside; /* it ran inside the submitting call */
    _Atomic int64_t at_us;
    unsigned order;           /* among all completions */
    void (*then)(deed *self); /* called in the completion; may be NULL */
    void *arg;
};

static _Thread_local int submitting;
static _Atomic unsigned completed;

static inline void deed_note(deed *self, redlock_status status, redlock_lock *lock)
{
    self->status = status;
    self->lock = lock;
    self->thread = thread_id();
    self->was_inside = self->was_inside || submitting > 0;
    self->at_us = now_us();
    self->order = atomic_fetch_add(&completed, 1);
    if (self->then != NULL) self->then(self);
    atomic_fetch_add(&self->completions, 1); /* last: the test's thread may look from now on */
}

static inline void deed_acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    deed_note(arg, status, lock);
}
static inline void deed_done(void *arg, redlock_status status)
{
    deed_note(arg, status, ((deed *)arg)->lock);
}

static inline redlock_status deed_submit(deed *self, const char *name,
                                         const redlock_options *options)
{
    submitting++;
    redlock_status status = redlock_acquire_async(self->on->client, name, strlen(name), options,
                                                  deed_acquired, self, &self->id);
    submitting--;
    return status;
}

static inline void deed_acquire(deed *self, const char *name, const redlock_options *options)
{
    EXPECT(deed_submit(self, name, options), REDLOCK_OK);
}

static inline void deed_release(deed *self, redlock_lock *lock)
{
    submitting++;
    redlock_status status = redlock_release_async(lock, deed_done, self);
    submitting--;
    EXPECT(status, REDLOCK_OK);
}

static inline void deed_extend(deed *self, redlock_lock *lock, int64_t ttl_ms)
{
    self->lock = lock;
    submitting++;
    redlock_status status = redlock_extend_async(lock, ttl_ms, deed_done, self);
    submitting--;
    EXPECT(status, REDLOCK_OK);
}

static inline bool deed_is_done(void *arg) { return atomic_load(&((deed *)arg)->completions) > 0; }

static inline bool is_where_the_host_says(const deed *self)
{
    bool is_ours = self->thread == self->on->thread;
    return self->on->host == REDLOCK_HOST_KEEPER ? !is_ours : is_ours;
}

static inline void check_deed(const deed *self, const char *status)
{
    assert_int_equal(atomic_load(&self->completions), 1);
    assert_string_equal(redlock_status_name(self->status), status);
    assert_false(self->was_inside);
    assert_true(is_where_the_host_says(self));
}

/* Runs the loop until it is complete. */
#define COMPLETES(deed_, status_)                                                                  \
    do {                                                                                           \
        loop_until((deed_)->on, deed_is_done, (deed_));                                            \
        check_deed((deed_), #status_);                                                             \
    } while (0)

typedef struct deeds {
    deed *first;
    size_t count;
} deeds;

/* They live until the stage ends: the client of a test that failed completes what is left of
 * them. */
enum { DEEDS_KEPT = 1024 };
static deed *kept_deeds[DEEDS_KEPT];
static size_t kept_count;

static inline deeds deeds_new(loop *on, size_t count)
{
    deeds made = {calloc(count, sizeof(deed)), count};
    assert_non_null(made.first);
    assert_true(kept_count < DEEDS_KEPT);
    kept_deeds[kept_count++] = made.first;
    for (size_t i = 0; i < count; i++) made.first[i].on = on;
    return made;
}

static inline bool deeds_are_done(void *arg)
{
    const deeds *self = arg;
    for (size_t i = 0; i < self->count; i++)
        if (atomic_load(&self->first[i].completions) == 0) return false;
    return true;
}

static inline deed *deed_new(loop *on) { return deeds_new(on, 1).first; }

static inline void deeds_expect(deeds *self, redlock_status status)
{
    loop_until(self->first->on, deeds_are_done, self);
    for (size_t i = 0; i < self->count; i++)
        check_deed(&self->first[i], redlock_status_name(status));
}

/* Gives back every lock that is held, and waits for that. */
static inline void deeds_release(deeds *self)
{
    deeds released = deeds_new(self->first->on, self->count);
    for (size_t i = 0; i < self->count; i++) {
        if (self->first[i].lock == NULL) released.first[i].completions = 1;
        else deed_release(&released.first[i], self->first[i].lock);
        self->first[i].lock = NULL;
    }
    loop_until(self->first->on, deeds_are_done, &released);
}

/* ---- The asynchronous stage: `the->client` and `the->other` block, and `loop` is what is looked
 * at ------------ */

typedef struct async_stage {
    stage *stage; /* `server`, `proxy`, blocking clients, `journal` */
    loop loop;
    account account;
} async_stage;

static async_stage the_async_stage;

/* A client on the stage's host. It is closed by the end of the test, unless that was done
 * before. */
static inline loop *async_open(async_stage *self, const char *uri,
                               const redlock_client_options *options)
{
    redlock_client_options own = *options;
    own.host = self->loop.host;
    own.log = journal_note;
    own.log_arg = &self->stage->journal;
    EXPECT(redlock_open(uri, &own, &self->loop.client), REDLOCK_OK);
    return &self->loop;
}

#define async_open_plain(self)                                                                     \
    async_open((self), server_uri((self)->stage->server),                                          \
               REDLOCK_CLIENT_OPTIONS(COUNTED_BY(&(self)->account)))

static inline void async_close(async_stage *self)
{
    redlock_client *client = self->loop.client;
    self->loop.client = NULL;
    EXPECT(redlock_close(client), REDLOCK_OK);
}

/* Is given a pointer to the host, and leaves the stage. */
static inline int async_begin(void **state)
{
    const redlock_host *host = *state;
    async_stage *self = &the_async_stage;
    memset(self, 0, sizeof *self);
    void *plain = NULL;
    stage_begin(&plain);
    self->stage = plain;
    self->loop = (loop){.host = *host, .thread = thread_id()};
    *state = self;
    return 0;
}

static inline int async_end(void **state)
{
    async_stage *self = *state;
    redlock_close(self->loop.client);
    void *plain = self->stage;
    stage_end(&plain);
    while (kept_count > 0) free(kept_deeds[--kept_count]);
    return atomic_load(&self->account.blocks) != 0;
}

static const redlock_host on_the_keeper = REDLOCK_HOST_KEEPER, delivered = REDLOCK_HOST_DELIVER,
                          by_hand = REDLOCK_HOST_MANUAL;

#define ON_HOST(test, host)                                                                        \
    {                                                                                              \
#test " [" #host "]", test, async_begin, async_end, (void *)(uintptr_t) & (host)           \
    }
#define ON_EVERY_HOST(test)                                                                        \
    ON_HOST(test, on_the_keeper), ON_HOST(test, delivered), ON_HOST(test, by_hand)

#endif
