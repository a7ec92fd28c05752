/* SPDX-License-Identifier: MIT
 * What it costs a client to keep many locks renewed: processor time of the whole process over one
 * renewal period, memory of the library as malloc really gives it (its chunks, not the sizes asked
 * for), and system calls that write. */
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bench.h"
#include "stopwatch.h"

static _Atomic int64_t live_bytes;

/* A chunk has one word before what malloc calls usable. */
static int64_t chunk_size(void *memory)
{
    return (int64_t)(malloc_usable_size(memory) + sizeof(size_t));
}

static void *count_allocate(void *arg, size_t size)
{
    (void)arg;
    void *memory = malloc(size);
    if (memory != NULL) atomic_fetch_add(&live_bytes, chunk_size(memory));
    return memory;
}

static void count_release(void *arg, void *memory)
{
    (void)arg;
    if (memory != NULL) atomic_fetch_sub(&live_bytes, chunk_size(memory));
    free(memory);
}

static bool acquire_all(redlock_client *client, redlock_lock **locks, int size, int64_t ttl_ms)
{
    for (int i = 0; i < size; i++) {
        char name[32];
        snprintf(name, sizeof name, "renew:%d", i);
        const redlock_status acquired = redlock_acquire(
            client, name, REDLOCK_OPTIONS(.ttl_ms = ttl_ms, .auto_renew = true), &locks[i]);
        if (!is_ok(acquired, "acquire of a lock to be renewed")) return false;
    }
    return true;
}

static bool release_all(redlock_lock **locks, int size)
{
    for (int i = 0; i < size; i++) {
        if (!is_ok(redlock_release(locks[i]), "release of a renewed lock")) return false;
    }
    return true;
}

/* The account at one moment: the client's, and how many scripts the server ran, which is no
 * hearsay. */
typedef struct account {
    int64_t at_ns;
    int64_t processor_ns;
    int64_t commands;
    redlock_stats stats;
} account;

static account account_now(const redlock_client *client, redisContext *observer)
{
    account now = {.commands = floor_commands_sent(observer), .at_ns = now_ns()};
    now.processor_ns = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
    redlock_stats_read(client, &now.stats, sizeof now.stats);
    return now;
}

/* A keeper that does nothing costs nothing: nearly all the locks must have been renewed in the
 * slice. */
static bool were_renewed(const account *first, const account *last, int size)
{
    const int64_t renewals = last->commands - first->commands;
    if (first->commands >= 0 && renewals >= size * INT64_C(9) / 10 && last->stats.lost == 0)
        return true;
    fprintf(stderr, "bench: %" PRId64 " renewals of %d locks, %" PRIu64 " lost\n", renewals, size,
            last->stats.lost);
    return false;
}

static void tell(const benchmark *bench, int size, int64_t ttl_ms, const account *first,
                 const account *last, double bytes)
{
    const double seconds = (double)(last->at_ns - first->at_ns) / 1e9;
    const double percent = (double)(last->processor_ns - first->processor_ns) / 1e7 / seconds;
    const double renewals = (double)(last->commands - first->commands) / seconds;
    const double writes = (double)(last->stats.writes - first->stats.writes) / seconds;
    char what[32];
    snprintf(what, sizeof what, "renew %d locks", size);
    report_row(bench->report, what, "% cpu", NAN, percent, NAN,
               "%.0f bytes a lock, %.1f writes/s, %.0f renewals/s (ttl %.0f s)", bytes, writes,
               renewals, (double)ttl_ms / 1000);
    if (size != 10000) return;
    report_figure(bench->report, FIGURE_renew10k_cpu_percent, percent);
    report_figure(bench->report, FIGURE_renew10k_bytes_per_lock, bytes);
    report_figure(bench->report, FIGURE_renew10k_writes_per_second, writes);
    report_figure(bench->report, FIGURE_renew10k_ttl_ms, (double)ttl_ms);
}

/* The slice is one renewal period, so that every lock is renewed once in it. The bytes are counted
 * at its end: what renewals need is in them. */
static bool hold(const benchmark *bench, redlock_client *client, redlock_lock **locks, int size)
{
    redisContext *observer = floor_connect(&bench->local);
    if (observer == NULL) return false;
    const int64_t ttl_ms = bench->is_quick ? 15000 : 30000;
    const int64_t bytes_before = atomic_load(&live_bytes);
    if (!acquire_all(client, locks, size, ttl_ms)) return false;
    const account first = account_now(client, observer);
    sleep_ns(ttl_ms / 3 * NS_PER_MS);
    const account last = account_now(client, observer);
    const double bytes = (double)(atomic_load(&live_bytes) - bytes_before) / size;
    redisFree(observer);
    if (!were_renewed(&first, &last, size)) return false;
    tell(bench, size, ttl_ms, &first, &last, bytes);
    return release_all(locks, size);
}

bool measure_renew(const benchmark *self, int size)
{
    redlock_client *client;
    redlock_lock **locks = calloc((size_t)size, sizeof(redlock_lock *));
    if (locks == NULL) return false;
    const redlock_client_options *options =
        REDLOCK_CLIENT_OPTIONS(.connect_now = true,
                               .allocator = {.allocate = count_allocate, .release = count_release});
    if (!is_ok(redlock_open(self->local.uri, options, &client), "open")) return false;
    const bool is_measured = hold(self, client, locks, size);
    free(locks);
    return is_ok(redlock_close(client), "close") && is_measured;
}
