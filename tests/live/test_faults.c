/* SPDX-License-Identifier: MIT
 * Exclusion under faults. Worker processes take turns at one lock and write down every critical section, while servers,
 * networks and workers fail in a seeded random order; a checker then proves what held at every instant.
 * $REDLOCK_TEST_SEED repeats a run's order of faults. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/proxy.h"
#include "support/witness.h"

enum { WORKERS = 6, SECTIONS = 1 << 14, FAULTS_MS = 6000, TTL_MS = 300, LINGER_MS = 1000 };

/* One critical section. It is promised until `promised_us` at least; renewals may have prolonged that. */
typedef struct section {
    uint64_t fence;
    int64_t enter_us;
    int64_t promised_us;
    int64_t leave_us; /* 0: it was killed inside */
    bool ended_valid; /* still ours, by the library's word, after leave_us was read */
} section;

/* Written by one process at a time. */
typedef struct diary {
    _Atomic int count;
    _Atomic int stale; /* grants that were over before they were looked at */
    section sections[SECTIONS];
} diary;

typedef struct record {
    _Atomic bool is_over;
    diary diaries[WORKERS];
} record;

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* Xorshift: the same on every machine. */
static uint32_t below(uint32_t *seed, uint32_t bound)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % bound;
}

/* ---- A worker ---------------------------------------------------------------------------------*/

static void work(int64_t span_us) { nanosleep(&(struct timespec){.tv_nsec = span_us * 1000}, NULL); }

static void write_down(diary *self, const redlock_lock *lock, int64_t span_us)
{
    int index = atomic_load(&self->count);
    section *one = &self->sections[index];
    one->leave_us = 0;
    one->ended_valid = false;
    one->fence = redlock_fence(lock);
    one->enter_us = now_us();
    one->promised_us = one->enter_us + redlock_remaining_ms(lock) * 1000;
    if (one->promised_us == one->enter_us || index == SECTIONS - 1) {
        atomic_fetch_add(&self->stale, 1);
        return;
    }
    atomic_store(&self->count, index + 1);
    work(span_us);
    int64_t leave_us = now_us();
    one->ended_valid = redlock_is_held(lock);
    one->leave_us = leave_us;
}

/* Every other worker is renewed, and now and then works for longer than its ttl. */
static int run_worker(const char *uri, record *all, int number)
{
    redlock_client *client;
    uint32_t seed = (uint32_t)getpid();
    bool renews = number % 2 == 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (redlock_open(uri,
                     REDLOCK_CLIENT_OPTIONS(.timeout_ms = 400, .linger_ms = LINGER_MS, .log_level = REDLOCK_LOG_SILENT),
                     &client) != REDLOCK_OK)
        return 1;
    while (!atomic_load(&all->is_over)) {
        redlock_lock *lock;
        const redlock_options *options = REDLOCK_OPTIONS(.ttl_ms = TTL_MS, .wait_ms = 2000, .auto_renew = renews);
        if (redlock_acquire(client, "f", options, &lock) != REDLOCK_OK) continue;
        bool is_long = renews && below(&seed, 300) == 0;
        write_down(&all->diaries[number], lock, is_long ? TTL_MS * 1200 : below(&seed, 1200));
        redlock_release(lock);
    }
    return redlock_close(client) == REDLOCK_OK ? 0 : 1;
}

/* A program of its own: argv is "worker", a number, the record's descriptor, the URI. */
static int main_of_worker(char **argv)
{
    void *all = mmap(NULL, sizeof(record), PROT_READ | PROT_WRITE, MAP_SHARED, (int)strtol(argv[3], NULL, 10), 0);
    return all == MAP_FAILED ? 1 : run_worker(argv[4], all, (int)strtol(argv[2], NULL, 10));
}

/* ---- The stage --------------------------------------------------------------------------------*/

typedef struct fixture {
    server *server;
    proxy *proxy;
    int record_fd;
    record *record;
    uint32_t seed;
    pid_t workers[WORKERS];
    int64_t thaw_us[WORKERS]; /* 0: it runs */
    int before[WORKERS];      /* sections, when progress was last looked at */
} fixture;

static void start_worker(fixture *the, int number)
{
    char number_text[16], fd_text[16], program[] = "/proc/self/exe", word[] = "worker", uri[256];
    snprintf(number_text, sizeof number_text, "%d", number);
    snprintf(fd_text, sizeof fd_text, "%d", the->record_fd);
    /* Two go straight to the server, two through the proxy, two through it by TCP. */
    const char *uris[3] = {server_uri(the->server), proxy_uri(the->proxy), proxy_tcp_uri(the->proxy)};
    snprintf(uri, sizeof uri, "%s", uris[number / 2 % 3]);
    char *words[] = {program, word, number_text, fd_text, uri, NULL};
    the->thaw_us[number] = 0;
    the->workers[number] = fork();
    assert_true(the->workers[number] >= 0);
    if (the->workers[number] > 0) return;
    execv(program, words);
    _exit(127);
}

static int reap(pid_t worker)
{
    int status = 0;
    while (waitpid(worker, &status, 0) < 0 && errno == EINTR) continue;
    return status;
}

static uint32_t choose_seed(void)
{
    const char *given = getenv("REDLOCK_TEST_SEED");
    uint32_t seed = given != NULL ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)(now_us() ^ getpid());
    print_message("REDLOCK_TEST_SEED=%u\n", seed);
    return seed != 0 ? seed : 1;
}

static int start(void **state)
{
    static fixture the;
    the = (fixture){.server = server_start(NULL)};
    the.proxy = proxy_start(the.server);
    the.seed = choose_seed();
    the.record_fd = memfd_create("record", 0); /* kept across execv */
    assert_int_equal(ftruncate(the.record_fd, sizeof(record)), 0);
    the.record = mmap(NULL, sizeof(record), PROT_READ | PROT_WRITE, MAP_SHARED, the.record_fd, 0);
    assert_true(the.record != MAP_FAILED);
    for (int i = 0; i < WORKERS; i++) start_worker(&the, i);
    *state = &the;
    return 0;
}

static int stop(void **state)
{
    fixture *the = *state;
    for (int i = 0; i < WORKERS; i++) {
        if (the->workers[i] <= 0) continue;
        kill(the->workers[i], SIGKILL);
        reap(the->workers[i]);
    }
    munmap(the->record, sizeof(record));
    close(the->record_fd);
    proxy_stop(the->proxy);
    server_stop(the->server);
    return 0;
}

/* ---- Faults -----------------------------------------------------------------------------------*/

static void order(fixture *the, const char *command) { freeReplyObject(server_command(the->server, command)); }

static void thaw(fixture *the, int64_t at_us)
{
    for (int i = 0; i < WORKERS; i++) {
        if (the->thaw_us[i] == 0 || the->thaw_us[i] > at_us) continue;
        kill(the->workers[i], SIGCONT);
        the->thaw_us[i] = 0;
    }
}

static int sections(const fixture *the)
{
    int sum = 0;
    for (int i = 0; i < WORKERS; i++) sum += atomic_load(&the->record->diaries[i].count);
    return sum;
}

/* What a fault lasts. Frozen workers wake meanwhile. */
static void keep_up(fixture *the, int64_t span_ms)
{
    int64_t end_us = now_us() + span_ms * 1000;
    for (; now_us() < end_us; patience_pause()) thaw(the, now_us());
}

/* The next fault comes after a few more sections, or when there are none for a while. */
static void await_some_sections(fixture *the)
{
    int target = sections(the) + (int)below(&the->seed, 40);
    int64_t end_us = now_us() + 250000;
    for (; now_us() < end_us && sections(the) < target; patience_pause()) thaw(the, now_us());
}

static void freeze_a_worker(fixture *the)
{
    uint32_t victim = below(&the->seed, WORKERS);
    if (the->thaw_us[victim] != 0) return;
    kill(the->workers[victim], SIGSTOP);
    the->thaw_us[victim] = now_us() + (TTL_MS + 50 + (int64_t)below(&the->seed, 500)) * 1000;
}

static void replace_a_worker(fixture *the)
{
    int victim = (int)below(&the->seed, WORKERS);
    kill(the->workers[victim], SIGKILL);
    reap(the->workers[victim]);
    start_worker(the, victim);
}

static void freeze_the_server(fixture *the)
{
    server_freeze(the->server);
    keep_up(the, 100 + below(&the->seed, 600));
    server_thaw(the->server);
}

static void run_out_of_memory(fixture *the)
{
    order(the, "CONFIG SET maxmemory 1");
    keep_up(the, 20 + below(&the->seed, 150));
    order(the, "CONFIG SET maxmemory 0");
}

static void hold_replies(fixture *the)
{
    proxy_hold(the->proxy, true);
    keep_up(the, 20 + below(&the->seed, 500));
    proxy_hold(the->proxy, false);
}

static void kill_connections(fixture *the) { order(the, "CLIENT KILL TYPE normal"); }
static void kill_inboxes(fixture *the) { order(the, "CLIENT KILL TYPE pubsub"); }
static void forget_scripts(fixture *the) { order(the, "SCRIPT FLUSH"); }
static void cut_connections(fixture *the) { proxy_cut(the->proxy); }
static void lose_a_reply(fixture *the) { proxy_drop_reply_to(the->proxy, "EVALSHA"); }

static void inject_faults(fixture *the)
{
    static void (*const faults[])(fixture *) = {kill_connections,  kill_inboxes,     kill_inboxes,    forget_scripts,
                                                cut_connections,   lose_a_reply,     lose_a_reply,    lose_a_reply,
                                                hold_replies,      freeze_a_worker,  freeze_a_worker, replace_a_worker,
                                                freeze_the_server, run_out_of_memory};
    int count = 0;
    for (int64_t end_us = now_us() + FAULTS_MS * 1000; now_us() < end_us; count++) {
        await_some_sections(the);
        faults[below(&the->seed, sizeof faults / sizeof *faults)](the);
    }
    thaw(the, INT64_MAX);
    print_message("%d faults, %d sections\n", count, sections(the));
}

/* ---- The checker ------------------------------------------------------------------------------*/

static int by_entry(const void *a, const void *b)
{
    int64_t left = ((const section *)a)->enter_us, right = ((const section *)b)->enter_us;
    return (left > right) - (left < right);
}

static size_t gather(const fixture *the, section *out)
{
    size_t count = 0;
    for (int i = 0; i < WORKERS; i++) {
        const diary *from = &the->record->diaries[i];
        size_t length = (size_t)atomic_load(&from->count);
        assert_in_range(length, 1, SECTIONS - 2); /* else it is to be larger */
        memcpy(out + count, from->sections, length * sizeof *out);
        count += length;
    }
    qsort(out, count, sizeof *out, by_entry);
    return count;
}

/* Nobody else may enter before this instant. One that was killed keeps what was promised to it. */
static int64_t end_of(const section *one)
{
    if (one->ended_valid) return one->leave_us;
    return one->leave_us != 0 && one->leave_us < one->promised_us ? one->leave_us : one->promised_us;
}

static void assert_one_after_the_other(const fixture *the)
{
    section *all = calloc((size_t)WORKERS * SECTIONS, sizeof *all);
    assert_non_null(all);
    size_t count = gather(the, all);
    int64_t end_us = 0;
    for (size_t i = 0; i < count; i++) {
        if (all[i].enter_us < end_us)
            fail_msg("section %zu of %zu overlaps one before it by %lld us", i, count,
                     (long long)(end_us - all[i].enter_us));
        if (i > 0 && all[i].fence <= all[i - 1].fence)
            fail_msg("section %zu of %zu: the fence fell by %lld", i, count,
                     (long long)(all[i - 1].fence - all[i].fence));
        if (end_of(&all[i]) > end_us) end_us = end_of(&all[i]);
    }
    free(all);
}

static bool all_made_progress(void *arg)
{
    fixture *the = arg;
    for (int i = 0; i < WORKERS; i++)
        if (atomic_load(&the->record->diaries[i].count) < the->before[i] + 3) return false;
    return true;
}

static void end_workers(fixture *the)
{
    atomic_store(&the->record->is_over, true);
    for (int i = 0; i < WORKERS; i++) {
        int status = reap(the->workers[i]);
        the->workers[i] = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("worker %d ended with status %x", i, status);
    }
}

static bool has_no_key(void *arg) { return server_number(((fixture *)arg)->server, "DBSIZE") == 0; }

/* Pitfalls 7, 8, 10, 11, 16, 17, 18, 19, 27, 32 */
static void sections_exclude_each_other_whatever_fails(void **state)
{
    fixture *the = *state;
    inject_faults(the);
    for (int i = 0; i < WORKERS; i++) the->before[i] = atomic_load(&the->record->diaries[i].count);
    eventually(all_made_progress, the);
    end_workers(the);
    assert_one_after_the_other(the);
    assert_int_equal(server_holders(the->server, "f"), 0);
    assert_int_equal(server_waiters(the->server, "f"), 0);
    assert_in_range(server_number(the->server, "PTTL redlock:{f}"), 1, LINGER_MS);
    eventually(has_no_key, the);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sections_exclude_each_other_whatever_fails, start, stop),
    };
    if (argc == 5 && strcmp(argv[1], "worker") == 0) return main_of_worker(argv);
    return cmocka_run_group_tests_name("live faults", tests, NULL, NULL);
}
